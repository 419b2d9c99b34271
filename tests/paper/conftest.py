"""What tests of several tables and figures start from."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.paired import pack
from modelsoups.study.study import Study

FINETUNE = {
    **{"batch_size": 4, "min_crop": 0.5, "warmup_steps": 1, "clip_norm": 1.0},
    **{"weight_decay": 0.1, "epochs": 1, "label_smoothing": 0, "mixup": 0},
    "augmentation": "minimal",
}


@pytest.fixture
def small_study() -> Study:
    """A study with a grid of learning rates and seeds, and checkpoints that came without either."""
    return Study(
        {
            "datasets": {
                "holdout": {"role": "held_out"},
                "photos": {"role": "test"},
                "sketches": {"role": "shift"},
            },
            "backbones": {"tower": {"library": "timm"}},
            "sweeps": {
                "grid": {
                    "backbone": "tower",
                    "start": "linear-probe",
                    "finetune": FINETUNE,
                    "grid": {"lr": [1e-3, 1e-2], "seed": [0, 1]},
                },
                "given": {"kind": "checkpoints", "backbone": "tower", "files": "m_{0..2}.pt"},
            },
            "pools": {"soups": {"models": ["grid/greedy"]}},
            "recipes": {"greedy": {"kind": "greedy"}},
        }
    )


@pytest.fixture
def drawn() -> Callable[[Any], dict[str, list]]:
    """From axes to the coordinates of what is scattered on them, by label."""

    def of(axes: Any) -> dict[str, list]:
        return {
            dots.get_label(): np.round(dots.get_offsets(), 6).tolist() for dots in axes.collections
        }

    return of


@pytest.fixture
def measure() -> Callable[..., list[dict]]:
    """From values on data sets to tidy rows."""

    def rows(values: dict[str, float], metric: str = "accuracy", **about: Any) -> list[dict]:
        made = [{**about, "dataset": d, "metric": metric, "value": v} for d, v in values.items()]
        if metric == "accuracy":  # of 20 images the first ones are right
            for row in made:
                row |= {"n": 20, "right": pack(np.arange(20) < round(20 * row["value"]))}
        return made

    return rows


@pytest.fixture
def make_given(tmp_path: Any) -> Callable[..., Any]:
    """From tables to what a result is made from: tables by name, then spec and the study."""

    def of(tables: dict[str, Any], spec: dict[str, Any], about: dict[str, Any]) -> Any:
        from modelsoups.paper.declare import give

        def write(name: str, table: pd.DataFrame) -> str:
            path = tmp_path / f"{name}.parquet"
            table.to_parquet(path, index=False)
            return str(path)

        inputs = [
            (
                name,
                [write(f"{name}-{i}", each) for i, each in enumerate(table)]
                if isinstance(table, list)
                else write(name, table),
            )
            for name, table in tables.items()
        ]
        return give(inputs, spec, about)

    return of
