"""Growing pools: Recipe 1 as in the soups, and every method on every prefix of an order."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.analyses.growth import Accuracies, grow, pick
from modelsoups.analyses.mixes import Mixer
from modelsoups.analyses.parts import Parts
from modelsoups.base.progress import Trace
from modelsoups.evaluation.failures import write_no_logits
from modelsoups.evaluation.metrics import accuracy
from modelsoups.soups.ensembles import greedy as greedy_ensemble
from modelsoups.soups.greedy import greedy
from modelsoups.soups.pool import Candidate, HeldOut
from modelsoups.soups.registry import GreedyEnsembleSpec, GreedySpec
from weight_space import Killed, interrupted, make_evaluator, resumed

POOL = ["initialization", "000", "001"]


def test_pick_keeps_what_raises_the_score() -> None:
    # b is best alone; with a it is better, and c adds nothing to both.
    scores = {("b",): 0.6, ("a", "b"): 0.7, ("a", "b", "c"): 0.7, ("b", "c"): 0.9}
    assert pick(["a", "b", "c"], [0.5, 0.6, 0.4], scores.__getitem__) == ("a", "b")


def test_pick_of_one_is_itself() -> None:
    assert pick(["a"], [0.1], {("a",): 0.1}.__getitem__) == ("a",)


@pytest.fixture(scope="module")
def grown_from(files, logits, holdout, photos):
    """From a pool, and parts, to the table of two orders."""

    def run(pool, parts=None, mixer=None, files_of=logits):
        mixer = mixer or Mixer(make_evaluator(), files)
        return grow(mixer, [holdout, photos], files_of, pool, "holdout", 2, seed=0, parts=parts)

    return run


@pytest.fixture(scope="module")
def grown(grown_from):
    """The table of the initialisation and two runs in two orders."""
    return grown_from(POOL)


def test_every_method_has_every_number_of_models(grown) -> None:
    methods = grown["method"].nunique()
    assert methods == 5
    assert len(grown) == methods * 2 * 3 * 2  # methods, orders, numbers of models, data sets


def test_with_one_model_all_methods_are_that_model(grown) -> None:
    first = grown[(grown["k"] == 1) & (grown["dataset"] == "photos")]
    assert first.groupby("order")[["value", "ingredients"]].nunique().to_numpy().tolist() == [
        [1, 1],
        [1, 1],
    ]


def test_with_all_models_the_order_does_not_matter(grown) -> None:
    last = grown[(grown["k"] == 3) & (grown["dataset"] == "photos")]
    assert (last.groupby("method")["ingredients"].nunique() == 1).all()


def test_greedy_is_never_below_the_best_on_the_held_out_set(grown) -> None:
    held_out = grown[grown["dataset"] == "holdout"]
    table = held_out.pivot(index=["order", "k"], columns="method", values="value")
    assert (table["Greedy soup"] >= table["Best individual model"]).all()
    assert (table["Greedy ensemble"] >= table["Best individual model"]).all()
    assert np.isfinite(table.to_numpy()).all()


def test_with_all_models_the_soups_are_those_of_the_pools_recipes(
    grown, files, logits, holdout, photos
) -> None:
    """The initialisation is in the pool; several candidates are alike on the held-out set."""
    last = grown[(grown["k"] == 3) & (grown["order"] == 0)].set_index(["method", "dataset"])
    candidates = [
        Candidate(name=name, weights=files[name], logits=logits["holdout"][name]) for name in POOL
    ]
    held_out = HeldOut(make_evaluator(), holdout.examples, holdout.labels)
    soup = greedy(GreedySpec(), candidates, held_out, Trace(None, None))
    alone = [candidate["held_out_accuracy"] for candidate in soup.candidates]
    assert len(set(alone)) < len(alone)
    assert set(last["ingredients"]["Greedy soup", "photos"].split()) == set(soup.ingredients)
    assert last["value"]["Greedy soup", "holdout"] == soup.held_out_score
    evaluator = make_evaluator()
    evaluator.pour(soup.weights)
    found = accuracy(evaluator.logits(photos), photos.labels)
    assert last["value"]["Greedy soup", "photos"] == found
    decisions = greedy_ensemble(
        GreedyEnsembleSpec(), {name: logits["holdout"][name] for name in POOL}
    )
    kept = [candidate["name"] for candidate in decisions if candidate["decision"] == "kept"]
    assert set(last["ingredients"]["Greedy ensemble", "photos"].split()) == set(kept)
    assert last["ingredients"]["Uniform soup", "photos"] == " ".join(POOL)


def test_pool_may_have_models_of_other_sweeps(files, logits, holdout, photos, grown) -> None:
    def renamed(table):
        return {("seeds/001" if name == "001" else name): path for name, path in table.items()}

    pool = [*renamed(dict.fromkeys(POOL))]
    stored = {dataset: renamed(paths) for dataset, paths in logits.items()}
    mixer = Mixer(make_evaluator(), renamed(files))
    table = grow(mixer, [holdout, photos], stored, pool, "holdout", 2, seed=0)
    assert table["value"].tolist() == grown["value"].tolist()
    uniform = table[(table["k"] == 3) & (table["method"] == "Uniform soup")]
    assert set(uniform["ingredients"]) == {"initialization 000 seeds/001"}


def test_runs_that_failed_and_were_skipped_are_left_out(
    grown_from, grown, logits, tmp_path
) -> None:
    failed = tmp_path / "failed.parquet"
    write_no_logits(failed, "loss is NaN", {})
    with_failed = {dataset: {**paths, "003": failed} for dataset, paths in logits.items()}
    table = grown_from([*POOL, "003"], files_of=with_failed)
    pd.testing.assert_frame_equal(table, grown, check_exact=True)


class CountingMixer(Mixer):
    """Counts the passes over a data set."""

    num_passes = 0

    def logits(self, *args):
        self.num_passes += 1
        return super().logits(*args)


@pytest.mark.parametrize("num_parts", [1, 7])
def test_after_a_kill_the_finished_soups_are_not_evaluated_again(
    grown_from, grown, files, tmp_path, num_parts
) -> None:
    with pytest.raises(Killed):
        grown_from(POOL, interrupted(tmp_path / "rows", num_parts))
    begun = [key for key in resumed(tmp_path / "rows").rows.done if "soup" in key]
    mixer = CountingMixer(make_evaluator(), files)
    table = grown_from(POOL, resumed(tmp_path / "rows"), mixer)
    pd.testing.assert_frame_equal(table, grown, check_exact=True)
    all_soups = [key for key in resumed(tmp_path / "rows").rows.done if "soup" in key]
    assert mixer.num_passes == len(all_soups) - len(begun)


def test_soup_or_ensemble_that_several_pools_agree_on_is_evaluated_once(
    files, logits, photos
) -> None:
    mixer = CountingMixer(make_evaluator(), files)
    accuracies = Accuracies(mixer, logits, Parts())
    first, again = (accuracies.of("soup", ("000", "001"), photos) for _ in range(2))
    assert first == again and mixer.num_passes == 1
