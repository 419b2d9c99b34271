"""Verdicts on pools of real networks that were made wrong on purpose."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from modelsoups.diagnosis.diagnose import Diagnosis, diagnose
from modelsoups.diagnosis.tables import list_layers, list_lines
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import Weights, write_run, write_weights
from wrong_pools import Kitchen

CAUSES = {
    *("failed", "shapes", "duplicates", "initialization", "class-order", "head", "statistics"),
    *("diverged", "learning-rate", "barrier", "ingredient", "precision"),
}


def examine(kitchen: Kitchen, pool: dict[str, Weights], **settings) -> Diagnosis:
    """Diagnose with all that the workflow knows of a pool."""
    known = replace(kitchen.known(pool), settings=settings.get("settings", {}))
    return diagnose(
        pool,
        kitchen.evaluate,
        initialization=kitchen.start,
        estimate=kitchen.estimate,
        known=known,
    )


def causes(found: Diagnosis) -> dict[str, list[str]]:
    """Kind of every cause that was found -> the models that it names."""
    return {each.kind: list(each.models) for each in found.verdicts if each.kind in CAUSES}


def four(kitchen: Kitchen) -> dict[str, Weights]:
    return {name: kitchen.good[name] for name in list(kitchen.good)[:4]}


def test_good_pool_has_no_cause(kitchen):
    found = examine(kitchen, kitchen.good)
    assert causes(found) == {}
    assert "Nothing is wrong" in str(found)
    assert found.facts.rest is None


def test_model_from_another_initialisation_is_named(kitchen):
    pool = {**four(kitchen), "odd": kitchen.stranger}
    found = examine(kitchen, pool)
    assert causes(found) == {"initialization": ["odd"]}
    assert abs(found.models.set_index("model").cosine["odd"]) < 0.1
    # The middle of the two is a bad network, and the soup of the others is not.
    assert found.facts.models["odd"].line.middle.high < -0.2
    assert found.facts.rest.value > found.facts.soup.value + 0.1
    assert found.facts.stays == list(four(kitchen))
    # Also without a start to compare with, and from files.
    assert causes(diagnose(pool, kitchen.evaluate)) == {"initialization": ["odd"]}


def test_no_shared_initialisation_is_said_of_all(kitchen):
    pool = {
        f"seed{seed}": kitchen.train(None, seed=seed, lr=0.1, epochs=2, styles=("noto",))
        for seed in (11, 12, 13)
    }
    found = diagnose(pool, kitchen.evaluate)
    assert causes(found) == {"initialization": list(pool)}
    assert "No two of the models share an initialisation." in str(found)


def test_permuted_classes_are_found_in_the_rows_of_the_head(kitchen):
    order, last = np.roll(np.arange(8), 3), kitchen.good["run5"]
    rows = {key: last[key][order] for key in ("head.weight", "head.bias")}
    found = examine(kitchen, {**four(kitchen), "odd": {**last, **rows}})
    assert causes(found) == {"class-order": ["odd"]}
    assert "8 rows of its classifier" in str(found)


def test_model_trained_on_permuted_classes_is_found_by_its_predictions(kitchen):
    odd = kitchen.train(kitchen.start, seed=5, labels=np.roll(np.arange(8), 3))
    found = examine(kitchen, {**four(kitchen), "odd": odd})
    assert causes(found) == {"class-order": ["odd"]}
    facts = found.facts.models["odd"]
    assert facts.score < 0.2 < 0.4 < facts.relabelled


def test_diverged_run_is_named_and_no_start_is_suspected(kitchen):
    found = examine(kitchen, {**four(kitchen), "odd": kitchen.diverged})
    assert causes(found) == {"diverged": ["odd"]}


def test_run_with_huge_weights_spoils_no_other_number(kitchen):
    odd = kitchen.train(kitchen.start, seed=5, lr=30.0)
    found = examine(kitchen, {**four(kitchen), "odd": odd})
    assert causes(found) == {"diverged": ["odd"]}
    good = examine(kitchen, four(kitchen)).facts
    assert found.facts.rest.value == pytest.approx(good.soup.value, abs=1e-6)
    assert found.facts.distance("run1", "run2") == pytest.approx(
        good.distance("run1", "run2"), rel=0.01
    )


def test_values_that_are_not_finite_and_failed_runs_are_named(kitchen, tmp_path):
    pool = dict(four(kitchen))
    broken = {key: tensor.clone() for key, tensor in kitchen.good["run5"].items()}
    broken["blocks.0.conv.weight"][0, 0, 0, 0] = torch.nan
    for name, weights in pool.items():
        write_weights(tmp_path / name, weights)
    write_weights(tmp_path / "broken", broken)
    write_run(tmp_path / "failed", {}, "the loss is nan")
    files = {path.name: path for path in sorted(tmp_path.iterdir())}
    found = diagnose(files, kitchen.evaluate)
    assert causes(found) == {"failed": ["failed", "broken"]}
    assert "the loss is nan" in str(found)
    assert set(found.facts.models) == set(pool)


def test_statistics_of_another_resolution_are_mended_by_new_ones(kitchen):
    odd = kitchen.with_statistics_at(kitchen.good["run5"], 12)
    found = examine(kitchen, {**four(kitchen), "odd": odd})
    assert causes(found)["statistics"] == ["odd"]
    assert found.facts.models["odd"].re_estimated.low > 0
    pool = {
        name: kitchen.with_statistics_at(weights, 12) for name, weights in four(kitchen).items()
    }
    found = examine(kitchen, pool)
    assert causes(found)["statistics"] == []
    assert "do not describe the soup" in str(found)
    assert found.facts.re_estimated.low > 0
    # The gain that is reported is that of the soup with statistics of the held-out images.
    soup = average(list(pool.values()))
    gain = np.subtract(
        *(kitchen.evaluate(w)["accuracy"] for w in (kitchen.estimate(soup), soup))
    ).mean()
    assert found.facts.re_estimated.value == pytest.approx(gain)


def test_head_trained_apart_is_named(kitchen):
    odd = kitchen.train(kitchen.start, seed=5, new_head=True)
    found = examine(kitchen, {**four(kitchen), "odd": odd})
    assert causes(found) == {"head": ["odd"]}
    pool = {
        f"apart{seed}": kitchen.train(kitchen.start, seed=seed, new_head=True) for seed in range(3)
    }
    found = examine(kitchen, pool)
    assert causes(found) == {"head": list(pool)}
    assert "The heads of the models were trained apart." in str(found)


def test_learning_rate_far_too_large_is_said_of_the_pool(kitchen):
    pool = {
        f"fast{seed}": kitchen.train(kitchen.start, seed=seed, lr=0.4, epochs=6)
        for seed in range(3)
    }
    settings = {name: {"lr": 0.4, "epochs": 6} for name in pool}
    found = examine(kitchen, pool, settings=settings)
    assert set(causes(found)["learning-rate"]) == set(pool)
    assert "Learning rates: 0.4 to 0.4." in str(found)
    assert found.facts.soup.high < 0
    # Some layer alone, halfway, costs part of it.
    assert found.facts.blocks_of in pool
    assert max(found.facts.blocks.values()) > 0.01
    assert set(found.facts.blocks) == {*(f"blocks.{i}" for i in range(4)), "classifier"}


def test_one_model_twice_is_named_and_counts_once(kitchen):
    pool = {**four(kitchen), "again": kitchen.good["run1"]}
    found = examine(kitchen, pool)
    assert causes(found) == {"duplicates": ["again"]}
    assert "again is run1 again" in str(found)
    assert found.facts.stays == list(four(kitchen))


def test_untrained_model_is_the_start_again(kitchen):
    found = examine(kitchen, {**four(kitchen), "untrained": kitchen.start})
    assert causes(found) == {"duplicates": ["untrained"]}


def test_other_number_of_classes_is_named_and_left_out(kitchen):
    last = kitchen.good["run5"]
    odd = {**last, "head.weight": last["head.weight"][:7], "head.bias": last["head.bias"][:7]}
    found = diagnose({"odd": odd, **four(kitchen)}, kitchen.evaluate)
    assert causes(found) == {"shapes": ["odd"]}
    assert "odd has head.bias of shape (7,) where most have (8,)" in str(found)
    assert set(found.facts.models) == set(four(kitchen))


def test_two_models_that_do_not_fit_are_a_verdict_not_an_error(kitchen):
    last = kitchen.good["run5"]
    odd = {key: tensor for key, tensor in last.items() if key != "head.bias"}
    found = diagnose({"run1": kitchen.good["run1"], "odd": odd}, kitchen.evaluate)
    assert causes(found) == {"shapes": ["odd"]}
    assert found.facts is None
    assert list(found.models.model) == ["odd"]


def test_half_precision_counts_where_models_differ_less_than_it_rounds(kitchen):

    def half(pool, dtype):
        return {
            name: {k: t.to(dtype) if t.is_floating_point() else t for k, t in weights.items()}
            for name, weights in pool.items()
        }

    assert causes(diagnose(half(kitchen.near, torch.bfloat16), kitchen.evaluate))["precision"]
    assert causes(diagnose(half(four(kitchen), torch.float16), kitchen.evaluate)) == {}


def test_too_few_and_too_alike_are_verdicts_of_their_own(kitchen):
    two = {name: kitchen.good[name] for name in ("run1", "run2")}
    assert "too few: 2 to average" in str(examine(kitchen, two)).lower()
    found = examine(kitchen, kitchen.near)
    assert causes(found) == {}
    assert "Nothing is wrong: the models are too alike." in str(found)


def test_soup_that_is_better_is_said_to_be(kitchen):
    """Runs whose learning rate stays large end at noisy weights, and an average is less noisy."""
    pool = {
        f"noisy{seed}": kitchen.train(kitchen.start, seed=seed, lr=0.05, decay=False)
        for seed in range(3)
    }
    found = examine(kitchen, pool)
    assert [each.kind for each in found.verdicts] == ["fine"]
    assert found.facts.soup.low > 0


def test_plain_numbers_have_no_intervals_and_give_the_same_causes(kitchen):
    pool = {**four(kitchen), "odd": kitchen.stranger}

    def evaluate(weights):
        return {"accuracy": kitchen.evaluate(weights)["accuracy"].mean(keepdims=True)}

    found = diagnose(pool, evaluate, initialization=kitchen.start)
    assert causes(found) == {"initialization": ["odd"]}
    assert np.isnan(found.facts.soup.low)
    assert "nan" not in str(found)


def test_tables_have_every_model_line_and_layer(kitchen):
    odd = kitchen.diverged
    found = examine(kitchen, {**four(kitchen), "odd": odd})
    models = found.models.set_index("model")
    assert list(models.index)[-1] == "odd"
    assert models.verdict["odd"] == "diverged"
    scores = {name: kitchen.evaluate(w)["accuracy"].mean() for name, w in four(kitchen).items()}
    assert {name: models.score[name] for name in scores} == pytest.approx(scores)
    lines = list_lines(found.facts).set_index(["model", "metric", "alpha"]).value
    middle = average([kitchen.good[found.facts.reference], odd])
    assert lines["odd", "accuracy", 0.5] == kitchen.evaluate(middle)["accuracy"].mean()
    layers = list_layers(found.facts).set_index("layer")
    assert list(layers.index) == [f"blocks.{i}" for i in range(4)] + ["classifier"]
    assert layers["drop"]["blocks.0"] == found.facts.blocks["blocks.0"]


def test_too_few_models_and_a_name_that_is_taken_are_errors(kitchen):
    run = kitchen.good["run1"]
    with pytest.raises(ValueError, match="at least two models"):
        diagnose({"run1": run}, kitchen.evaluate)
    with pytest.raises(ValueError, match="other names than initialization"):
        diagnose({"initialization": run, "a": run}, kitchen.evaluate, initialization=run)
