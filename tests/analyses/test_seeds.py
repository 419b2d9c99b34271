"""Soups and ensembles of seeds on a tiny network: laws that hold whatever the weights."""

import numpy as np
import pytest
import torch

from modelsoups.analyses.mixes import Kitchen
from modelsoups.analyses.seeds import ece_gain, scaled_mean, study_seeds
from modelsoups.evaluation.calibration import expected_calibration_error
from modelsoups.evaluation.metrics import nll
from weight_space import make_model

ROLES = {"holdout": "held_out", "photos": "test"}
RUNS = ["000", "001"]


@pytest.fixture(scope="module")
def studied(files, images):
    """The table of two runs, the logits it was made from, and the labels."""
    kitchen = Kitchen(
        make_model(), files, {"holdout": images, "photos": images}, torch.device("cpu")
    )
    outputs: dict[str, dict[str, np.ndarray]] = {"holdout": {}, "photos": {}}
    for run in RUNS:
        kitchen.pour({run: 1.0})
        outputs["holdout"][run] = outputs["photos"][run] = kitchen.logits("photos")
    return study_seeds(kitchen, outputs, RUNS, "holdout", ROLES), outputs, images.labels


def value(table, method: str, k: int, metric: str) -> float:
    chosen = table[(table["dataset"] == "photos") & (table["metric"] == metric)]
    return chosen[(chosen["method"] == method) & (chosen["k"] == k)]["value"].item()


def test_of_one_run_soup_and_ensemble_are_that_run(studied) -> None:
    table, _, _ = studied
    alone = value(table, "individual", 1, "nll")
    assert value(table, "soup", 1, "nll") == pytest.approx(alone, rel=1e-5)
    assert value(table, "ensemble", 1, "nll") == pytest.approx(alone, rel=1e-5)


def test_calibrated_soup_of_one_run_is_the_calibrated_run(studied) -> None:
    table, _, _ = studied
    expected = value(table, "calibrated ensemble", 1, "nll")
    assert value(table, "calibrated soup", 1, "nll") == pytest.approx(expected, rel=1e-4)
    assert expected <= value(table, "individual", 1, "nll")  # fitted on these very images


def test_ensemble_is_the_mean_of_logits(studied) -> None:
    table, outputs, labels = studied
    mean = (outputs["photos"]["000"].astype(float) + outputs["photos"]["001"]) / 2
    assert value(table, "ensemble", 2, "nll") == pytest.approx(nll(mean, labels))
    factors = {"000": 2.0, "001": 0.0}
    np.testing.assert_allclose(
        scaled_mean(outputs["photos"], RUNS, factors), outputs["photos"]["000"], rtol=1e-6
    )


def test_gain_in_calibration_is_against_the_runs_mean(studied) -> None:
    table, outputs, labels = studied
    singles = [outputs["photos"][run] for run in RUNS]
    each = [expected_calibration_error(single, labels) for single in singles]
    gain = ece_gain(singles[0], singles, labels)
    assert gain["value"] == pytest.approx(each[0] - np.mean(each))
    assert gain["low"] <= gain["high"]
    assert set(table[table["metric"] == "ece_gain"]["method"]) == {"soup", "ensemble"}


def test_temperatures_are_not_fitted_on_the_test_set(files, images) -> None:
    kitchen = Kitchen(make_model(), files, {"photos": images}, torch.device("cpu"))
    with pytest.raises(ValueError, match="photos: choosing needs a dataset with role held_out"):
        study_seeds(kitchen, {"photos": {}}, RUNS, "photos", ROLES)
