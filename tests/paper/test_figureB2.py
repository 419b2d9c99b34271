"""Soups and ensembles of seeds: curves and calibration."""

import pandas as pd
import pytest

from modelsoups.paper.claims import HOLDS
from modelsoups.paper.figureB2 import METRICS, RESULT, calibration_claims, figure_b2
from modelsoups.paper.seeds import LOOKS

ROLES = {"holdout": "held_out", "photos": "test", "toys": "shift"}


def make_curves() -> pd.DataFrame:
    return pd.concat(
        pd.DataFrame(
            {
                **{"method": method, "k": [1, 2], "metric": metric},
                **{"in_distribution": [0.5, 0.6], "shifts": [0.3, 0.4]},
            }
        )
        for method in LOOKS
        for metric in METRICS
    )


GAINS = pd.DataFrame(
    [
        {"method": method, "k": 5, "dataset": "photos", "metric": "ece_gain", **numbers}
        for method, numbers in (
            ("soup", {"value": 0.02, "low": 0.01, "high": 0.03}),
            ("ensemble", {"value": -0.05, "low": -0.06, "high": -0.04}),
        )
    ]
)


def test_calibrated_curves_are_omitted_from_accuracy_alone() -> None:
    figure = figure_b2(make_curves(), "A toy study")
    figure.draw_without_rendering()
    accuracy, ece = figure.axes[:2]
    assert [line.get_label() for line in accuracy.lines] == ["individual", "soup", "ensemble"]
    assert [line.get_label() for line in ece.lines] == list(LOOKS)
    assert figure.get_suptitle() == "A toy study"


def test_claims_have_opposite_signs() -> None:
    soup, ensemble = calibration_claims(GAINS, ROLES)
    assert (soup.verdict, ensemble.verdict) == (HOLDS, HOLDS)
    assert (ensemble.value, ensemble.low, ensemble.high) == (0.05, 0.04, 0.06)
    assert "-5.00 points (-6.00 to -4.00)" in ensemble.here


def test_one_run_claims_nothing() -> None:
    assert calibration_claims(GAINS[:0], ROLES) == []


def test_runs_that_differ_in_more_than_their_seed_are_found_before_anything_runs(
    small_study,
) -> None:
    assert not RESULT.problems({"sweep": "grid", "match": {"lr": 1e-3}}, small_study)
    assert RESULT.problems({"sweep": "grid"}, small_study) == [
        "runs of grid with {} differ not in the seed alone, but in lr; name their values under "
        "`match`"
    ]
    (problem,) = RESULT.problems({"sweep": "grid", "match": {"lr": 5.0}}, small_study)
    assert problem.endswith("found none")


def test_it_is_made_from_files(make_given, measure) -> None:
    rows = [
        row
        for method in LOOKS
        for metric in METRICS
        for row in measure({"photos": 0.5, "toys": 0.4}, metric=metric, method=method, k=1)
    ]
    about = {"study": "A toy study", "roles": ROLES, "recipes": {}, "ensembles": {}}
    seeds = pd.concat([pd.DataFrame(rows), GAINS])
    made = RESULT.make(make_given({"seeds": seeds}, {"sweep": "grid"}, about))
    assert len(made.claims) == 2
    assert set(made.table["metric"]) == set(METRICS)
    assert made.table["shifts"].tolist() == [pytest.approx(0.4)] * len(made.table)
