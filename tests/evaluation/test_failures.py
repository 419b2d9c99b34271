"""Files of a run that failed, and pools without it."""

import numpy as np
import pytest
import torch

from modelsoups.evaluation.failures import why_no_logits, without_failures, write_no_logits
from modelsoups.evaluation.logits import read_logits, write_logits
from modelsoups.evaluation.scores import score_files
from modelsoups.soups.ensembles import choose_ensemble
from modelsoups.weights.checkpoints import read_weights, why_no_weights, write_run


@pytest.fixture
def logits(tmp_path):
    """Logits of three runs on three images; the second run failed."""
    paths = {name: tmp_path / f"{name}.parquet" for name in ("000", "001", "002")}
    labels = np.array([0, 1, 1])
    for name, margins in {"000": [1, -1, -1], "002": [1, 1, -1]}.items():
        values = np.array([[margin, 0] for margin in margins], np.float32)
        write_logits(paths[name], values, labels, {"model": name, "dataset": "photos"})
    write_no_logits(paths["001"], "the loss is nan", {"model": "001", "dataset": "photos"})
    return paths


def test_weights_say_why_a_run_failed(tmp_path):
    write_run(tmp_path / "good.safetensors", {"head.bias": torch.ones(2)}, None)
    write_run(tmp_path / "failed.safetensors", {"head.bias": torch.ones(2)}, "the loss is nan")
    assert why_no_weights(tmp_path / "good.safetensors") is None
    assert why_no_weights(tmp_path / "failed.safetensors") == "the loss is nan"
    assert read_weights(tmp_path / "failed.safetensors") == {}


def test_logits_say_why_a_run_failed(logits):
    assert why_no_logits(logits["000"]) is None
    assert why_no_logits(logits["001"]) == "the loss is nan"
    assert len(read_logits(logits["001"]).labels) == 0
    assert read_logits(logits["001"]).metadata["model"] == "001"


def test_pool_leaves_out_what_failed_and_keeps_its_order(logits):
    kept, skipped = without_failures(list(logits), list(logits.values()))
    assert kept == ["000", "002"]
    assert skipped == {"001": "the loss is nan"}


def test_pool_in_which_all_failed_is_an_error_with_the_reason(logits):
    with pytest.raises(ValueError, match="all 1 failed; 001: the loss is nan"):
        without_failures(["001"], [logits["001"]])


@pytest.mark.parametrize("kind", ["uniform", "greedy"])
def test_ensemble_is_made_without_what_failed_and_says_so(logits, tmp_path, kind):
    record = choose_ensemble(
        {"kind": kind},
        model="ensemble",
        sweep="tiny",
        held_out="photos",
        names=list(logits),
        logits=list(logits.values()),
        output=tmp_path / "ensemble.parquet",
    )
    assert record["skipped"] == {"001": "the loss is nan"}
    assert [candidate["name"] for candidate in record["candidates"]] == ["000", "002"]
    assert record["inputs"].keys() == {"000", "002"}


def test_scores_have_no_row_for_what_failed(logits):
    scores = score_files(list(logits.values()), list(logits), ["run"] * 3, ["photos"] * 3)
    assert set(scores.model) == {"000", "002"}
