"""What averaging two runs gains, worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.paper.figure3 import RESULT, advantage, figure_3

ROLES = {"holdout": "held_out", "photos": "test", "sketches": "shift", "toys": "shift"}
SPEC = {"sweep": "grid", "below_lr": 1, "pairs": "all"}


@pytest.fixture
def mixes(measure) -> pd.DataFrame:
    """Two runs of mean accuracy 0.4 and 0.6, and their middle, which has 0.6."""
    rows = []
    for first, second, angle, values in (
        ("000", "000", np.nan, (0.6, 0.3, 0.3)),
        ("001", "001", np.nan, (0.8, 0.4, 0.6)),
        ("000", "001", 60.0, (0.9, 0.3, 0.6)),
    ):
        varied = "seed" if first != second else None
        about = {"first": first, "second": second, "varied": varied, "angle": angle}
        rows += measure(dict(zip(("photos", "sketches", "toys"), values, strict=True)), **about)
        rows += measure({"holdout": 0.0}, **about)
    return pd.DataFrame(rows)


def test_advantage_is_the_middles_accuracy_minus_the_mean_of_both(mixes) -> None:
    table = advantage(mixes, ROLES)
    assert table[["first", "second", "varied", "angle"]].to_numpy().tolist() == [
        ["000", "001", "seed", 60.0]
    ]
    assert table["advantage"].item() == pytest.approx(0.1)


def test_it_is_drawn_in_percentage_points(drawn) -> None:
    table = pd.DataFrame({"varied": ["seed", "lr"], "angle": [60, 80], "advantage": [0.01, 0.02]})
    figure = figure_3(table, "A toy study", "2 pairs")
    figure.draw_without_rendering()
    assert figure.axes[0].get_title() == "A toy study\n2 pairs"
    assert drawn(figure.axes[0]) == {"Seed": [[60, 1]], "Learning rate": [[80, 2]]}


def test_a_hyper_parameter_without_a_look_of_its_own_is_drawn_too(drawn) -> None:
    table = pd.DataFrame({"varied": ["epochs"], "angle": [60], "advantage": [0.01]})
    assert drawn(figure_3(table, "A toy study").axes[0]) == {"Epochs": [[60, 1]]}


def test_it_claims_a_correlation_and_one_pair_decides_nothing(make_given, mixes) -> None:
    about = {"study": "A toy study", "roles": ROLES, "recipes": {}, "ensembles": {}}
    made = RESULT.make(make_given({"angles": mixes}, SPEC, about))
    (claim,) = made.claims
    assert claim.verdict == "not decided by this much data"
    assert claim.here == "1 pair of 2 runs, too few or too alike for a correlation"
    assert made.figure.axes[0].get_title() == "A toy study\n1 pair"


def test_it_asks_for_the_runs_and_the_middles_of_their_pairs() -> None:
    (asked,) = RESULT.analyses({**SPEC, "max_images": 5})
    assert (asked.sweep, asked.table) == ("grid", RESULT.needs(SPEC)["angles"].table)
    assert asked.plan == {"kind": "angles", "below_lr": 1, "pairs": "all", "max_images": 5}
    assert RESULT.analyses(SPEC)[0].plan["max_images"] is None


def test_runs_without_a_pair_are_found_before_anything_runs(small_study) -> None:
    assert not RESULT.problems(SPEC, small_study)
    assert not RESULT.problems({**SPEC, "pairs": "one"}, small_study)
    assert RESULT.problems({**SPEC, "below_lr": 1e-3}, small_study) == [
        "no two runs of grid have learning rates below 0.001"
    ]
    assert len(RESULT.problems({**SPEC, "sweep": "given"}, small_study)) == 2
