"""The committed results of the miniature, and the README that shows them, agree with the code."""

from pathlib import Path

import pandas as pd
import yaml

from modelsoups.evaluation.scores import read_scores
from modelsoups.paper.figures import figure_1, save
from modelsoups.paper.tables import table_3, to_markdown
from modelsoups.study.search import RunSpec

ROOT = Path(__file__).parents[1]
MINIATURE = ROOT / "docs/miniature"
CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text())
ROLES = {name: spec["role"] for name, spec in CONFIG["datasets"].items()}


def test_readme_shows_the_table_of_the_committed_scores():
    scores = read_scores(MINIATURE / "scores.parquet")
    correct = pd.read_parquet(MINIATURE / "correct.parquet")
    table = table_3(scores, correct, ROLES, CONFIG["study"])
    assert to_markdown(table) in (ROOT / "README.md").read_text()


def test_committed_figure_is_that_of_the_committed_scores(tmp_path):
    figure = figure_1(read_scores(MINIATURE / "scores.parquet"), ROLES, CONFIG["study"])
    save(figure, tmp_path / "figure1.svg")
    drawn, committed = (
        path.read_text() for path in (tmp_path / "figure1.svg", MINIATURE / "figure1.svg")
    )
    assert drawn.count("<use") == committed.count("<use")  # a marker each; fonts differ by machine


def test_committed_scores_are_of_the_default_studys_runs():
    scores = read_scores(MINIATURE / "scores.parquet")
    num_runs = CONFIG["sweeps"]["random-search"]["random"]["num_runs"]
    assert scores[scores.kind == "run"].model.nunique() == num_runs


def test_every_config_key_is_described():
    text = (ROOT / "config/README.md").read_text()
    keys = {*CONFIG, *CONFIG["linear_probe"], *CONFIG["evaluation"], *RunSpec.__dataclass_fields__}
    for section in ("views", "datasets", "backbones", "sweeps"):
        for entry in CONFIG[section].values():
            keys |= entry.keys()
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []
