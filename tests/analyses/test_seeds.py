"""Soups and ensembles of seeds on a tiny network: laws that hold whatever the weights."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from modelsoups.analyses.mixes import Mixer
from modelsoups.analyses.seeds import choose_seeds, ece_gain, scaled_mean, study_seeds
from modelsoups.evaluation.calibration import expected_calibration_error
from modelsoups.evaluation.failures import write_no_logits
from modelsoups.evaluation.logits import read_logits, write_logits
from modelsoups.evaluation.metrics import nll
from weight_space import RUNS as SPECS
from weight_space import Killed, interrupted, make_evaluator, resumed

RUNS = ["000", "001"]


@pytest.fixture(scope="module")
def study(files, logits, holdout, photos):
    """From parts to the table of two runs."""

    def run(parts=None, mixer=None):
        mixer = mixer or Mixer(make_evaluator(), files)
        return study_seeds(mixer, [holdout, photos], logits, RUNS, "holdout", parts)

    return run


@pytest.fixture(scope="module")
def outputs(logits):
    """Run -> its logits on the photos."""
    return {run: read_logits(logits["photos"][run]).logits for run in RUNS}


@pytest.fixture(scope="module")
def table(study):
    return study()


def value(table, method: str, k: int, metric: str) -> float:
    chosen = table[(table["dataset"] == "photos") & (table["metric"] == metric)]
    return chosen[(chosen["method"] == method) & (chosen["k"] == k)]["value"].item()


def test_of_one_run_soup_and_ensemble_are_that_run(table) -> None:
    alone = value(table, "individual", 1, "nll")
    assert value(table, "soup", 1, "nll") == pytest.approx(alone, rel=1e-5)
    assert value(table, "ensemble", 1, "nll") == pytest.approx(alone, rel=1e-5)


def test_calibrated_soup_of_one_run_is_the_calibrated_run(table) -> None:
    expected = value(table, "calibrated ensemble", 1, "nll")
    assert value(table, "calibrated soup", 1, "nll") == pytest.approx(expected, rel=1e-4)


def test_temperatures_are_fitted_on_the_held_out_set(
    files, logits, outputs, holdout, photos, tmp_path
) -> None:
    # Labels there are what the first run predicts: the sharper its logits, the better.
    held_out = read_logits(logits["holdout"]["000"]).logits
    sure = replace(holdout, labels=held_out.argmax(axis=1))
    paths = {run: tmp_path / run for run in RUNS}
    for path in paths.values():
        write_logits(path, held_out, sure.labels, {})
    mixer = Mixer(make_evaluator(), files)
    found = study_seeds(mixer, [sure, photos], {**logits, "holdout": paths}, RUNS, "holdout")
    expected = nll(100 * outputs["000"].astype(float), photos.labels)  # the largest factor
    assert value(found, "calibrated ensemble", 1, "nll") == pytest.approx(expected, rel=1e-4)


def test_ensemble_is_the_mean_of_logits(table, logits, outputs, photos) -> None:
    mean = (outputs["000"].astype(float) + outputs["001"]) / 2
    assert value(table, "ensemble", 2, "nll") == pytest.approx(nll(mean, photos.labels))
    doubled = scaled_mean([logits["photos"][run] for run in RUNS], [2.0, 0.0])
    np.testing.assert_allclose(doubled, outputs["000"], rtol=1e-6)


def test_gain_in_calibration_is_against_the_runs_mean(table, outputs, photos) -> None:
    singles, labels = list(outputs.values()), photos.labels
    each = [expected_calibration_error(single, labels) for single in singles]
    gain = ece_gain(singles[0], singles, labels)
    assert gain["value"] == pytest.approx(each[0] - np.mean(each))
    assert gain["error"] > 0
    gains = table[table["metric"] == "ece_gain"]
    assert set(gains["method"]) == {"soup", "ensemble"} and set(gains["k"]) == {2}


def test_excess_in_calibration_is_the_soups_over_the_ensembles(table) -> None:
    for dataset, rows in table[table["metric"] == "ece_excess"].groupby("dataset"):
        (excess,) = rows["value"]
        whole = table[(table["k"] == 2) & (table["dataset"] == dataset)]
        ece = whole[whole["metric"] == "ece"].set_index("method")["value"]
        assert excess == pytest.approx(ece["soup"] - ece["ensemble"], abs=1e-6)


@pytest.mark.parametrize("num_parts", range(4))
def test_after_a_kill_the_finished_numbers_of_runs_are_not_evaluated_again(
    study, table, files, tmp_path, num_parts
) -> None:
    with pytest.raises(Killed):
        study(interrupted(tmp_path / "rows", num_parts))
    mixer = CountingMixer(make_evaluator(), files)
    again = study(resumed(tmp_path / "rows"), mixer)
    pd.testing.assert_frame_equal(again, table, check_exact=True)
    assert mixer.num_passes == 2 * (4 - num_parts)  # soup and calibrated soup


class CountingMixer(Mixer):
    """Counts the passes over a data set."""

    num_passes = 0

    def logits(self, *args):
        self.num_passes += 1
        return super().logits(*args)


def test_seeds_are_the_runs_of_one_match(logits) -> None:
    assert choose_seeds(SPECS, {"lr": 1e-3}, logits["holdout"]) == ["000", "001"]
    assert choose_seeds(SPECS, {"lr": 1e-2}, logits["holdout"]) == ["002", "003"]


@pytest.mark.parametrize(
    ("match", "found"), [({"lr": 0.5}, "none"), ({"lr": 1e-3, "seed": 1}, "001")]
)
def test_fewer_than_two_seeds_are_an_error(logits, match, found) -> None:
    with pytest.raises(ValueError, match=f"at least two runs with .*, found {found}; loosen"):
        choose_seeds(SPECS, match, logits["holdout"])


def test_runs_that_failed_and_were_skipped_are_left_out(logits, tmp_path) -> None:
    specs = {**SPECS, "004": replace(SPECS["000"], seed=2)}
    failed = tmp_path / "failed.parquet"
    write_no_logits(failed, "loss is NaN", {})
    files = {**logits["holdout"], "004": logits["holdout"]["000"], "001": failed}
    assert choose_seeds(specs, {"lr": 1e-3}, files) == ["000", "004"]
    with pytest.raises(ValueError, match="found 000, and failed 001; loosen `match`, or add"):
        choose_seeds(SPECS, {"lr": 1e-3}, files)
