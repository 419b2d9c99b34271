"""The runs of a sweep in the report."""

import numpy as np
import pandas as pd

from modelsoups.paper.runs import collect_curves, figure_curves, print_runs
from small_scores import CORRECT_IMAGES

RECORDS = {
    "000": {"spec": {"lr": 1e-3}, "curve": [{"loss": 2.0}, {"loss": 1.0}]},
    "001": {"spec": {"lr": 1e-2}, "curve": []},
}


def test_runs_are_listed_with_settings_and_accuracies() -> None:
    runs = pd.DataFrame({"run": ["000", "001"], "lr": [0.00123456, 0.01], "seed": [0, 1]})
    lines = print_runs(runs, CORRECT_IMAGES).splitlines()
    assert lines[0] == "| run | lr | seed | holdout | photos | sketches | toys |"
    assert lines[2] == "| 000 | 0.00123 | 0 | 60.00 | 90.00 | 40.00 | 30.00 |"


def test_runs_that_failed_are_listed_as_such() -> None:
    runs = pd.DataFrame({"run": ["000", "gone"], "lr": [0.1, np.nan]})
    lines = print_runs(runs, CORRECT_IMAGES).splitlines()
    assert lines[3] == "| gone | – | failed | failed | failed | failed |"


def test_curves_are_of_every_epoch_and_coloured_by_learning_rate() -> None:
    table = collect_curves(RECORDS)
    assert table.to_numpy().tolist() == [["000", 1, 2.0, 1e-3], ["000", 2, 1.0, 1e-3]]
    figure = figure_curves(table, "A toy study: sweep grid")
    figure.draw_without_rendering()
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[1, 2], [2, 1]]
    assert figure.axes[0].get_title() == "A toy study: sweep grid"
    assert figure.axes[1].get_ylabel() == "Learning rate"
