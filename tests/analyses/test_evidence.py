"""Tidy tables of the figures, from hand-made measurements."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.analyses.evidence import (
    advantage,
    by_domain,
    growth_curves,
    k1_panels,
    landscape,
    pair_accuracies,
    wise_curves,
)
from modelsoups.evaluation.logits import write_logits

ROLES = {
    "learn": "train",
    "holdout": "held_out",
    "photos": "test",
    "sketches": "shift",
    "toys": "shift",
}


def measure(values: dict[str, float], metric: str = "accuracy", **about) -> list[dict]:
    """Rows of one point: its value on each dataset."""
    return [{**about, "dataset": d, "metric": metric, "value": v} for d, v in values.items()]


def test_domains_are_the_test_set_and_the_mean_of_the_shifts() -> None:
    rows = measure({"holdout": 0.9, "photos": 0.8, "sketches": 0.2, "toys": 0.6}, model="b")
    rows += measure({"photos": 0.7, "sketches": 0.1, "toys": 0.3}, model="a")
    table = by_domain(pd.DataFrame(rows), ROLES, ["model"])
    assert table["model"].tolist() == ["b", "a"]  # in their order
    np.testing.assert_allclose(table[["in_distribution", "shifts"]], [[0.8, 0.4], [0.7, 0.2]])


def test_landscape_has_train_loss_and_errors() -> None:
    about = {"point": 0, "corner": "", "x": 1.0, "y": 2.0}
    rows = measure({"photos": 0.75, "sketches": 0.5, "toys": 0.25}, **about)
    rows += measure({"learn": 1.25, "photos": 9.0}, metric="nll", **about)
    table = landscape({"Seeds": pd.DataFrame(rows)}, ROLES, "nll")
    assert table[
        ["plane", "x", "y", "train_loss", "in_distribution", "shifts"]
    ].to_numpy().tolist() == [["Seeds", 1.0, 2.0, 1.25, 0.25, 0.625]]


def test_advantage_is_the_middles_accuracy_minus_the_mean_of_both() -> None:
    rows = []
    for point, (a, b, angle, values) in enumerate(
        [
            ("000", "000", np.nan, (0.6, 0.3, 0.3)),  # mean 0.4
            ("001", "001", np.nan, (0.8, 0.4, 0.6)),  # mean 0.6
            ("000", "001", 60.0, (0.9, 0.3, 0.6)),  # mean 0.6: 0.1 above 0.5
        ]
    ):
        varied = "seed" if a != b else None
        about = {"point": point, "first": a, "second": b, "varied": varied, "angle": angle}
        rows += measure(dict(zip(("photos", "sketches", "toys"), values, strict=True)), **about)
        rows += measure({"holdout": 0.0}, **about)
    table = advantage(pd.DataFrame(rows), ROLES)
    assert table[["first", "second", "varied", "angle"]].to_numpy().tolist() == [
        ["000", "001", "seed", 60.0]
    ]
    assert table["advantage"].item() == pytest.approx(0.1)


def test_pairs_have_the_soups_and_the_ensembles_accuracy(tmp_path) -> None:
    # Each run alone has one of two images right, by a large margin; their mean has both.
    labels = np.array([0, 1])
    for run, logits in {"000": [[5.0, 0], [1, 0]], "001": [[0, 1.0], [0, 5]]}.items():
        write_logits(tmp_path / run, np.array(logits, np.float32), labels, {})
    paths = {run: tmp_path / run for run in ("000", "001")}
    files = {"photos": paths, "sketches": paths, "toys": paths}
    about = {"first": "000", "second": "001", "larger_lr": 1e-3}
    points = pd.DataFrame(measure({"photos": 0.5, "sketches": 0.5, "toys": 0.0}, **about))
    table = pair_accuracies(points, files, ROLES).set_index("domain")
    assert table["soup"].to_dict() == {"in_distribution": 0.5, "shifts": 0.25}
    assert table["ensemble"].to_dict() == {"in_distribution": 1.0, "shifts": 1.0}


def test_wise_curves_all_begin_at_the_initialisation() -> None:
    rows = measure({"photos": 0.5}, model="initialization", alpha=0.0)
    for model in ("000", "uniform"):
        for alpha in (1.0, 0.5):
            rows += measure({"photos": 0.6 + alpha / 10}, model=model, alpha=alpha)
    roles = {"photos": "test"}
    curves = wise_curves({"a-sweep": pd.DataFrame(rows)}, roles)
    for _, curve in curves.groupby("model"):
        assert curve["alpha"].tolist() == [0, 0.5, 1]
        np.testing.assert_allclose(curve["in_distribution"], [0.5, 0.65, 0.7])


def test_growth_has_each_order_and_their_mean() -> None:
    rows = [
        row
        for order, value in ((0, 0.4), (1, 0.6))
        for row in measure({"photos": value}, order=order, k=1, method="Ensemble")
    ]
    curves = growth_curves(pd.DataFrame(rows), {"photos": "test"})
    assert curves.set_index("order")["in_distribution"].to_dict() == {0: 0.4, 1: 0.6, -1: 0.5}


def test_high_learning_rate_is_in_the_left_panels_alone() -> None:
    rows = [(calibrated, lr) for calibrated in (True, True, False) for lr in (1e-3, 1e-2)]
    table = pd.DataFrame(rows, columns=["calibrated", "larger_lr"])
    panels = k1_panels(table, high_lr=1e-2)
    assert [len(rows) for _, _, rows in panels] == [4, 2, 2, 2, 1, 1]
    assert [truth for _, truth, _ in panels] == [
        "loss_difference",
        "loss_difference",
        "error_difference",
    ] * 2
