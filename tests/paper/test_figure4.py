"""Soups and ensembles of pairs, worked out by hand."""

from pathlib import Path

import numpy as np
import pandas as pd

from modelsoups.evaluation.logits import write_logits
from modelsoups.evaluation.paired import pack
from modelsoups.paper.declare import give
from modelsoups.paper.figure4 import RESULT, by_dataset, figure_4, pair_accuracies

ROLES = {"photos": "test", "sketches": "shift", "toys": "shift"}
SPEC = {"sweep": "grid", "num_pairs": 3, "seed": 0}
ABOUT = {"study": "A toy study", "roles": ROLES, "recipes": {}, "ensembles": {}}


def write_runs(folder: Path) -> list[Path]:
    """Logits of two runs: each alone has one of two images right, by a large margin."""
    paths = []
    for run, logits in {"000": [[5.0, 0], [1, 0]], "001": [[0, 1.0], [0, 5]]}.items():
        for dataset in ROLES:
            path = folder / f"results/sweeps/grid/models/{run}/logits/{dataset}.parquet"
            write_logits(path, np.array(logits, np.float32), np.array([0, 1]), {})
            paths.append(path)
    return paths


def make_mixes(measure) -> pd.DataFrame:
    about = {"first": "000", "second": "001", "larger_lr": 1e-3}
    rows = measure({"photos": 0.5, "sketches": 0.5, "toys": 0.0}, **about)
    return pd.DataFrame([{**row, "n": 2, "right": pack([row["value"] > 0, False])} for row in rows])


def test_pairs_have_the_soups_and_the_ensembles_accuracy(tmp_path, measure) -> None:
    files = by_dataset("grid", write_runs(tmp_path))
    table = pair_accuracies(make_mixes(measure), files, ROLES).set_index("domain")
    assert table["soup"].to_dict() == {"in_distribution": 0.5, "shifts": 0.25}
    assert table["ensemble"].to_dict() == {"in_distribution": 1.0, "shifts": 1.0}


def test_models_of_other_sweeps_keep_their_sweeps_name() -> None:
    path = Path("results/sweeps/grid/models/000/logits/photos.parquet")
    assert by_dataset("grid", [path]) == {"photos": {"000": path}}
    assert by_dataset("a-pool", [path]) == {"photos": {"grid/000": path}}


def test_pairs_are_drawn_soup_across_and_ensemble_up() -> None:
    table = pd.DataFrame(
        {
            "domain": ["in_distribution", "shifts"],
            "larger_lr": [1e-3, 1e-4],
            "soup": [0.7, 0.4],
            "ensemble": [0.75, 0.35],
        }
    )
    figure = figure_4(table, "A toy study")
    figure.draw_without_rendering()
    left, right = figure.axes[:2]
    assert left.collections[0].get_offsets().tolist() == [[70, 75]]
    assert right.collections[0].get_offsets().tolist() == [[40, 35]]
    assert figure.get_suptitle() == "A toy study"


def test_it_claims_a_correlation_in_each_domain(tmp_path, measure) -> None:
    make_mixes(measure).to_parquet(tmp_path / "pairs.parquet")
    logits = [str(path) for path in write_runs(tmp_path)]
    inputs = [("pairs", str(tmp_path / "pairs.parquet")), ("logits", logits)]
    made = RESULT.make(give(inputs, SPEC, ABOUT))
    assert [claim.claim for claim in made.claims] == [
        "Soup and ensemble accuracy of pairs are strongly correlated (in distribution)",
        "Soup and ensemble accuracy of pairs are strongly correlated (shifts)",
        "The ensemble of two runs is better than their soup in distribution",
        "The soup of two runs is better than their ensemble on the shifts",
    ]
    # The ensemble has both images right; the soup half of them, and on the shifts a quarter.
    assert [claim.value for claim in made.claims[2:]] == [0.5, -0.75]


def test_it_asks_for_the_middles_of_random_pairs() -> None:
    (asked,) = RESULT.analyses(SPEC)
    needs = RESULT.needs(SPEC)
    assert (asked.table, needs["logits"].table) == (needs["pairs"].table, "logits")
    assert asked.plan == {"kind": "pairs", "num_pairs": 3, "seed": 0, "max_images": None}


def test_runs_without_learning_rates_are_found_before_anything_runs(small_study) -> None:
    assert not RESULT.problems(SPEC, small_study)
    (problem,) = RESULT.problems({**SPEC, "sweep": "given"}, small_study)
    assert problem.endswith("which only sweeps have that are fine-tuned here: grid")
