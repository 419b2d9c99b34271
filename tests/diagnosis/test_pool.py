"""A pool of files, diagnosed with the logits and records that the workflow has stored."""

import numpy as np
import pytest

from modelsoups.base.files import write_json
from modelsoups.diagnosis import pool as module
from modelsoups.diagnosis.pool import diagnose_pool, read_decisions
from modelsoups.evaluation.failures import write_no_logits
from modelsoups.evaluation.logits import write_logits
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import write_run, write_weights


@pytest.fixture
def files(tmp_path, kitchen):
    """Weights and logits of the start, three runs and one that failed, and of their soup."""
    states = {"initialization": kitchen.start}
    states |= {name: kitchen.good[name] for name in ("run1", "run2", "run3")}
    weights = {name: tmp_path / f"{name}.safetensors" for name in [*states, "broken"]}
    logits = {name: tmp_path / f"{name}.parquet" for name in weights}
    labels = kitchen.examples.labels
    for name, each in states.items():
        write_weights(weights[name], each)
        write_logits(logits[name], kitchen.logits(each), labels, {})
    write_run(weights["broken"], {}, "the loss is inf")
    write_no_logits(logits["broken"], "the loss is inf", {})
    soup = average([states[name] for name in ("run1", "run2", "run3")])
    write_logits(tmp_path / "soup.parquet", kitchen.logits(soup), labels, {})
    return weights, logits, {"uniform": tmp_path / "soup.parquet"}


def diagnose(files, kitchen, **options):
    """The diagnosis of these files."""
    weights, logits, soups = files
    return diagnose_pool(
        kitchen.held_out,
        weights=weights,
        logits=logits,
        initialization=weights["initialization"],
        soups=soups,
        **options,
    )


def test_stored_logits_stand_for_evaluations_and_the_start_is_no_ingredient(files, kitchen):
    found = diagnose(files, kitchen, settings={"run1": {"lr": 0.02}})
    facts = found.facts
    assert list(facts.models) == ["run1", "run2", "run3"]
    assert found.verdicts[0].models == ["broken"]
    # The stored soup is the one that the diagnosis makes itself.
    assert facts.soups["uniform"].value == pytest.approx(facts.soup.value)
    mean = np.mean([kitchen.logits(kitchen.good[name]) for name in facts.models], axis=0)
    accuracy = (mean.argmax(axis=1) == kitchen.examples.labels).mean()
    gain = accuracy - facts.models[facts.reference].score
    assert facts.ensemble.value == pytest.approx(gain)
    assert facts.models["run1"].settings == {"lr": 0.02}
    assert facts.start_score == kitchen.evaluate(kitchen.start)["accuracy"].mean()


def test_large_held_out_set_is_sampled(files, kitchen, monkeypatch):
    monkeypatch.setattr(module, "MAX_EXAMPLES", 100)
    found = diagnose(files, kitchen)
    assert found.facts.num_examples == 100
    assert found.facts.soups["uniform"].value == pytest.approx(found.facts.soup.value)


def test_decisions_of_recipes_are_read_from_their_records(tmp_path):
    decided = {"name": "a", "decision": "kept", "score": 0.75, "bound": None}
    stopped = {"name": "b", "decision": "rejected", "score": None, "bound": 0.7}
    write_json(tmp_path / "greedy.json", {"candidates": [decided, stopped]})
    write_json(tmp_path / "uniform.json", {"candidates": [{"name": "a", "decision": "kept"}]})
    paths = {path.stem: path for path in tmp_path.iterdir()}
    assert read_decisions(paths) == {
        "a": {"greedy": "kept, the soup in question scoring 75.0 %"},
        "b": {"greedy": "rejected, the soup in question scoring at most 70.0 %"},
    }
