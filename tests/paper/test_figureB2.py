"""Soups and ensembles of seeds: curves and calibration."""

import pandas as pd
import pytest

from modelsoups.paper.claims import FAILS, HOLDS, OPEN
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
        {**{"method": method, "k": 5, "dataset": "photos", "n": 20}, **numbers}
        for method, numbers in (
            ("soup", {"metric": "ece_gain", "value": 0.001, "error": 0.003}),
            ("soup", {"metric": "ece_excess", "value": 0.05, "error": 0.01}),
            ("ensemble", {"metric": "ece_gain", "value": -0.05, "error": 0.01}),
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


def test_ensembles_gain_and_soups_stay_as_their_runs_are() -> None:
    ensemble, excess, alike = calibration_claims(GAINS, ROLES)
    assert [each.verdict for each in (ensemble, excess, alike)] == [HOLDS] * 3
    assert (ensemble.value, ensemble.low) == pytest.approx((0.05, 0.05 - 1.96 * 0.01), abs=1e-4)
    assert "-5.00 points (-6.96 to -3.04)" in ensemble.here
    assert alike.value == pytest.approx(0.01 - 0.001)  # inside of the margin by so much


@pytest.mark.parametrize(
    ("value", "error", "expected"), [(0.001, 0.02, OPEN), (0.03, 0.005, FAILS)]
)
def test_as_calibrated_is_decided_by_a_margin(value, error, expected) -> None:
    gains = GAINS.copy()
    gains.loc[0, ["value", "error"]] = value, error
    assert calibration_claims(gains, ROLES)[2].verdict == expected


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
    assert len(made.claims) == 3
    assert set(made.table["metric"]) == set(METRICS)
    assert made.table["shifts"].tolist() == [pytest.approx(0.4)] * len(made.table)
