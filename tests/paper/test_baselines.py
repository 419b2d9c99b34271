"""Rows that are means over seeds, and claims that one is better than another."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.statistics import paired_difference, replicated_difference
from modelsoups.paper.baselines import (
    Better,
    Row,
    by_seed,
    difference,
    groups_of,
    row_claims,
    tabulate,
    to_markdown,
    together,
)
from modelsoups.paper.claims import FAILS, HOLDS, OPEN

ROLES = {"holdout": "held_out", "photos": "test", "sketches": "shift", "toys": "shift"}
PAPER = {"good": [(80.0, 50.0)], "bad": [(70.0, 40.0)], "worst": [(60.0, 30.0)]}


@pytest.fixture
def mixes(measure) -> pd.DataFrame:
    """Two seeds of two rows, of one learning rate, on 20 images of each set."""
    rows = []
    for row, seeds in {
        "good": {"0": (1.0, 0.8, 0.6), "1": (0.9, 0.9, 0.7)},
        "bad": {"0": (0.2, 0.1, 0.1), "1": (0.3, 0.0, 0.2)},
    }.items():
        for seed, values in seeds.items():
            found = dict(zip(("photos", "sketches", "toys"), values, strict=True))
            rows += measure(found, row=row, lr=8e-4, seeds=seed)
            rows += measure(found, "nll", row=row, lr=8e-4, seeds=seed, n=20)
    return pd.DataFrame(rows)


def test_rows_are_means_over_seeds_beside_the_papers_numbers(mixes) -> None:
    table = tabulate(mixes, ROLES, PAPER, "a toy study").set_index("method")
    assert list(table.index) == ["good", "bad"]  # of `worst` all runs failed
    good = table.loc["good"]
    assert good["in_distribution"] == pytest.approx(0.95)
    assert good["shifts"] == pytest.approx((0.7 + 0.8) / 2)  # 0.8 and 0.6, then 0.9 and 0.7
    assert good["in_distribution_sd"] == pytest.approx(0.1 / 2**0.5)
    assert (good["in_distribution_n"], good["shifts_n"]) == (20, 40)
    assert (good["in_distribution_paper"], good["shifts_paper"]) == (80.0, 50.0)
    assert good["seeds"] == 2


def test_print_is_in_percent_and_of_one_seed_without_a_spread(mixes) -> None:
    table = tabulate(mixes, ROLES, PAPER, "a toy study")
    lines = to_markdown(table, "big model").splitlines()
    assert lines[0] == (
        "| a toy study: accuracy in % | Learning rate | In distribution (n = 20) | Mean of shifts "
        "(n = 40) | The paper's big model: in distribution | The paper's big model: mean of shifts "
        "|"
    )
    assert lines[2] == "| good | 0.0008 | 95.00 (± 7.07) | 75.00 (± 7.07) | 80.00 | 50.00 |"
    assert lines[-1].startswith("± is the standard deviation")
    one = tabulate(mixes[mixes["seeds"] == "0"], ROLES, PAPER, "a toy study")
    assert to_markdown(one, "big model").splitlines()[2:] == [
        "| good | 0.0008 | 100.00 | 70.00 | 80.00 | 50.00 |",
        "| bad | 0.0008 | 20.00 | 10.00 | 70.00 | 40.00 |",
    ]


def test_seeds_are_replicates_and_one_alone_is_judged_over_images(mixes) -> None:
    good, bad = (by_seed(mixes, row, ["photos"]) for row in ("good", "bad"))
    pairs = [[good[seed][0] - bad[seed][0]] for seed in ("0", "1")]
    assert difference(good, bad) == replicated_difference(pairs, same_images=True)
    alone = difference({"0": good["0"]}, bad)
    assert alone == paired_difference(pairs[0])
    assert difference(good, {}) is None


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [("good", "bad", HOLDS), ("bad", "good", FAILS), ("good", "worst", OPEN)],
)
def test_claims_are_judged_by_learning_rate_and_domain(mixes, first, second, verdict) -> None:
    better = Better(claim="It is better", first=first, second=second)
    mixes = mixes[mixes["seeds"] == "0"]
    inside, outside = row_claims(mixes, ROLES, PAPER, [better])
    assert inside.verdict == outside.verdict == verdict
    assert inside.claim == "It is better (in distribution, learning rate 0.0008)"
    assert outside.paper == f"{PAPER[first][0][1]:.2f} % against {PAPER[second][0][1]:.2f} %"


def test_claims_may_be_about_one_domain(mixes) -> None:
    better = Better(claim="It", first="good", second="bad", domains=("in_distribution",))
    assert len(row_claims(mixes, ROLES, PAPER, [better])) == 1


def test_groups_are_the_runs_of_each_learning_rate_and_seed() -> None:
    rows = [
        together("both", ["minimal", "strong"], ensemble=True, paper=[]),
        Row(label="long", members=[{"augmentation": "fix-aug"}], longer=4, taught=True, paper=[]),
    ]
    spec = {"learning_rates": [2e-3, 1e-3], "seeds": [0, 5], "epochs": 3}
    groups = groups_of(rows, spec)
    assert len(groups) == 8
    assert groups[1] == {
        "about": {"row": "both", "lr": 2e-3, "seeds": "5"},
        "members": [
            {"augmentation": each, "lr": 2e-3, "seed": 5, "epochs": 3}
            for each in ("minimal", "strong")
        ],
        "taught": False,
        "ensemble": True,
    }
    assert groups[-1]["members"][0]["epochs"] == 12 and groups[-1]["taught"]


def test_differences_of_differences_may_be_two(mixes) -> None:
    twice = {"0": [2 * np.ones(20)]}
    assert difference(twice, {"0": [np.zeros(20)]}).value == 2
