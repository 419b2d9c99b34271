"""Growing pools: Recipe 1 as in the soups, and every method on every prefix of an order."""

import numpy as np
import pytest
import torch

from modelsoups.analyses.growth import grow, pick
from modelsoups.analyses.mixes import Kitchen
from modelsoups.evaluation.logits import write_logits
from weight_space import RUNS, make_model


def test_pick_keeps_what_raises_the_score() -> None:
    # b is best alone; with a it is better, and c adds nothing to both.
    scores = {("b",): 0.6, ("a", "b"): 0.7, ("a", "b", "c"): 0.7, ("b", "c"): 0.9}
    assert pick(["a", "b", "c"], [0.5, 0.6, 0.4], scores.__getitem__) == ("a", "b")


def test_pick_of_one_is_itself() -> None:
    assert pick(["a"], [0.1], {("a",): 0.1}.__getitem__) == ("a",)


@pytest.fixture(scope="module")
def grown(files, images, tmp_path_factory):
    """The table of three runs in two orders."""
    folder = tmp_path_factory.mktemp("logits")
    sets = {"holdout": images, "photos": images}
    kitchen = Kitchen(make_model(), files, sets, torch.device("cpu"))
    runs = list(RUNS)[:3]
    paths: dict = {dataset: {} for dataset in sets}
    for run in runs:
        kitchen.pour({run: 1.0})
        for dataset in sets:
            path = paths[dataset][run] = folder / f"{run}-{dataset}.parquet"
            write_logits(path, kitchen.logits(dataset), images.labels, {})
    return grow(kitchen, paths, runs, "holdout", num_orders=2, seed=0)


def test_every_method_has_every_number_of_models(grown) -> None:
    methods = grown["method"].nunique()
    assert methods == 5
    assert len(grown) == methods * 2 * 3 * 2  # methods, orders, numbers of models, datasets


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
