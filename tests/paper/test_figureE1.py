"""Figure E.1 against accuracies whose means are worked out by hand."""

import re

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.paired import pack
from modelsoups.paper.claims import FAILS, HOLDS
from modelsoups.paper.figureE1 import (
    MEAN,
    RESULT,
    along,
    describe,
    figure_e1,
    judge,
    mean_by_size,
    mean_changes,
    some_orders,
    tabulate,
)
from modelsoups.study.study import Study

# Soups of models of a, b and c, in the order of the study, and right ones of 20 images.
COUNTS = {"": 8, "a/0": 10, "b/0": 6, "c/0": 9}
COUNTS |= {"a/0 b/0": 12, "a/0 c/0": 11, "b/0 c/0": 7, "a/0 b/0 c/0": 14}


def soups(counts, dataset="photos", n=20):
    rows = []
    for models, count in counts.items():
        common = {"models": models, "k": len(models.split()), "dataset": dataset, "n": n}
        right = pack(np.arange(n) < count)
        rows += [
            {**common, "metric": "accuracy", "value": count / n, "right": right},
            {**common, "metric": "nll", "value": 1.0, "right": None},
        ]
    return pd.DataFrame(rows)


ACCURACY = pd.Series(COUNTS) / 20


def test_the_mean_over_orders_is_that_of_the_subsets_of_each_size():
    # One model: (10 + 6 + 9) / 3; two: (12 + 11 + 7) / 3, of 20 each.
    assert mean_by_size(ACCURACY).tolist() == pytest.approx([8 / 20, 25 / 60, 30 / 60, 14 / 20])


def test_the_mean_of_all_orders_is_the_mean_of_the_curves():
    curves = [along(ACCURACY, order) for order in some_orders(["a/0", "b/0", "c/0"])]
    assert len(curves) == 6
    assert np.mean(curves, axis=0) == pytest.approx(mean_by_size(ACCURACY).to_numpy())
    assert along(ACCURACY, ["c/0", "a/0", "b/0"]) == pytest.approx([0.4, 0.45, 0.55, 0.7])


def test_the_change_by_a_model_is_its_mean_over_all_orders():
    # c comes first in two of six orders: +1; after a or after b in one each: +1, +1; last in two:
    # +2. In images of 20: (2 * 1 + 1 + 1 + 2 * 2) / 6.
    changes = mean_changes(ACCURACY)
    assert changes["c/0"] == pytest.approx(8 / 6 / 20)
    # a: +2 first; after b +6, after c +2; last +7: (4 + 6 + 2 + 14) / 6.
    assert changes["a/0"] == pytest.approx(26 / 6 / 20)
    assert sum(changes.values()) == pytest.approx((14 - 8) / 20)  # the steps of every order add up


def test_of_many_orders_a_seeded_sample_is_drawn():
    orders = some_orders(list("abcdefg"))
    assert len(orders) == 24 and orders == some_orders(list("abcdefg"))
    assert all(sorted(order) == list("abcdefg") for order in orders)


def test_the_left_panel_has_the_mean_and_faint_orders_the_right_one_a_bar_a_model():
    other = soups({**COUNTS, "": 10}, "toys")
    table = tabulate({"photos": soups(COUNTS), "toys": other})
    left, right = figure_e1(table, "A toy study").axes
    mean = next(line for line in left.lines if line.get_label() == "Mean of all orders")
    # Changes of 20 images: on photos 0, 1/3, 2, 6; on toys 2 less, but 0 at the start.
    wanted = [0, 100 * (1 / 3 - 5 / 3) / 2 / 20, 100 * 2 / 2 / 20, 100 * (6 + 4) / 2 / 20]
    assert mean.get_ydata() == pytest.approx(wanted)
    assert len(left.lines) == 6 + 6 + 2  # orders, their mean, and zero
    assert [text.get_text() for text in right.get_yticklabels()][-1] == "a"
    assert left.get_title() == "mean of 2 targets"
    assert set(table["order"].dropna()) == {MEAN, *range(6)}


def test_whether_adding_models_helps_is_judged_on_each_target_and_over_them():
    better = soups({name: 20 * count for name, count in COUNTS.items()}, n=400)
    worse = soups({"": 200, "a/0": 150}, "toys", n=400)
    over, photos, toys = judge({"photos": better, "toys": worse})
    assert (photos.value, toys.value) == pytest.approx((0.3, -0.125))
    assert over.value == pytest.approx((0.3 - 0.125) / 2)
    assert [claim.verdict for claim in (over, photos, toys)] == [HOLDS, HOLDS, FAILS]
    assert "above on 1 of 2 targets" in over.here
    (alone,) = judge({"photos": better})
    assert alone == photos


SPEC = {
    "targets": [{"sweep": "a", "dataset": "a-test"}, {"sweep": "b", "dataset": "b-test"}],
    "models": ["a/000", "b/000", "c/000"],
}


def test_a_target_is_evaluated_with_the_models_of_other_sweeps():
    first, second = RESULT.analyses({**SPEC, "max_images": 9})
    assert (first.sweep, first.table) == ("a", "cross")
    assert first.plan == {"dataset": "a-test", "models": ["b/000", "c/000"], "max_images": 9}
    assert second.plan["models"] == ["a/000", "c/000"]
    assert [need.sweep for need in RESULT.needs(SPEC)["cross"]] == ["a", "b"]


def test_it_is_made_of_the_tables_of_its_targets(make_given):
    about = {"study": "A toy study", "roles": {}, "recipes": {}, "ensembles": {}}
    tables = {"cross": [soups(COUNTS, "a-test"), soups(COUNTS, "b-test")]}
    made = RESULT.make(make_given(tables, SPEC, about))
    assert len(made.claims) == 3
    assert made.found[0] == "On a-test zero-shot 40.0 %, all models 70.0 %."
    assert describe(made.table) == list(made.found[:2])


def study(**changes):
    sweep = {"backbone": "tower", "start": "zero-shot", "grid": {"lr": [1e-3]}}
    sweep["finetune"] = {
        **{"batch_size": 4, "min_crop": 0.5, "warmup_steps": 1, "clip_norm": 1.0},
        **{"weight_decay": 0.1, "epochs": 1, "label_smoothing": 0, "mixup": 0},
        "augmentation": "minimal",
    }
    sets = {"train": "train", "held_out": "held-out", "test": "test"}
    datasets = {f"{n}-{part}": {"role": role} for n in "abc" for role, part in sets.items()}
    sweeps = {
        n: {**sweep, "train": f"{n}-train", "held_out": f"{n}-held-out", "reported": [f"{n}-test"]}
        for n in "abc"
    }
    for name, change in changes.items():
        sweeps[name] = {**sweeps[name], **change}
    return Study({"datasets": datasets, "sweeps": sweeps, "backbones": {"tower": {}}})


def test_models_and_targets_that_fit_have_no_problem():
    assert list(RESULT.problems(SPEC, study())) == []


@pytest.mark.parametrize(
    ("changes", "spec", "problem"),
    [
        ({"a": {"start": "linear-probe"}}, {}, "target a: expected a sweep with start zero-shot"),
        ({"c": {"backbone": "other"}}, {}, "c/000 does not start as the target a does"),
        ({"c": {"train": "a-train"}}, {}, "c/000 is trained on the images of the target a"),
        ({}, {"models": ["a/000"]}, r"target a: expected 1 to 10 models of others, found \[\]"),
        ({}, {"models": ["d/000"]}, "d/000 is no model of a sweep that is fine-tuned here"),
        ({}, {"targets": [{"sweep": "a", "dataset": "b-test"}]}, "target a does not report b-test"),
    ],
)
def test_what_does_not_fit_is_said(changes, spec, problem):
    found = list(RESULT.problems({**SPEC, **spec}, study(**changes)))
    assert any(re.search(problem, each) for each in found), found
