"""What runs cost, and images that the analyses of the default study put through a model."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from modelsoups.paper.targets import list_analyses
from modelsoups.study.cost import (
    count_images,
    count_mixes,
    looks_of,
    megabytes,
    models_in_training,
    passes_of,
)
from modelsoups.study.search import RunSpec
from modelsoups.study.study import Study

CONFIG = Path(__file__).parents[2] / "config/config.yaml"
REPORTED = 843 + 968 + 1344 + 1311 + 1321 + 888  # the test set and the shift sets
HELD_OUT = 843


RUN = {
    "seed": 0, "lr": 1e-3, "weight_decay": 0.0, "epochs": 1, "label_smoothing": 0, "mixup": 0,
    "augmentation": "minimal", "min_crop": 0.5, "batch_size": 4, "warmup_steps": 0,
    "clip_norm": 1.0,
}  # fmt: skip


def test_methods_of_a_run_cost_passes_and_memory():
    plain = RunSpec(**RUN)
    assert (passes_of(plain), models_in_training(plain)) == (1, 8)
    assert passes_of(RunSpec(**RUN, sam=0.1)) == 2
    assert passes_of(RunSpec(**RUN, teachers=["a/0", "a/1", "a/2"])) == pytest.approx(2)
    every = RunSpec(**RUN, sam=0.1, ema=[0.5, 0.9], swa=0, teachers="a/0", evaluate_every=0.5)
    assert (looks_of(plain), looks_of(every)) == (0, 2 * 3)
    assert looks_of(replace(every, evaluate_every=0.3)) == 4 * 3
    assert models_in_training(every) == 8 + 1 + 1 + 2 * 3 + 3 * 4


def test_memory_is_that_of_models_and_of_the_pool_that_is_held_beside():
    assert megabytes(5e9, models=3) == 2000 + 3 * 5000
    assert megabytes(5e8, models=3, pool=2, resident_gib=4) == 2000 + 3 * 500 + 2 * 500
    assert megabytes(5e9, models=3, pool=9, resident_gib=4) == 2000 + 3 * 5000 + 4295


def count(config):
    study = Study(config)
    return {
        (sweep, table): count_images(study, sweep, table, plan)
        for sweep, plans in list_analyses(config).items()
        for table, plan in plans.items()
    }


@pytest.fixture
def config():
    return yaml.safe_load(CONFIG.read_text(encoding="utf-8"))


def test_images_of_every_analysis_are_counted(config):
    counted = count(config)
    # Of the grid's 12 runs 8 have a learning rate below 5e-3; all their 28 pairs count.
    assert counted["grid", "mixes/angles"] == (8 + 28) * REPORTED
    # 9 x 9 mixes, three corners and a middle; 300 images of 7 sets, the training set one of them.
    assert counted["grid", "mixes/plane-seed"] == 85 * 7 * 300
    assert counted["random-search", "mixes/pairs"] == 20 * REPORTED
    # The start, and 12 runs and 2 soups at 4 alphas; of the other start 5 runs.
    assert counted["random-search", "mixes/wise"] == 57 * REPORTED
    assert counted["zero-shot-search", "mixes/wise"] == 29 * REPORTED
    # Three orders: 12 uniform soups on every set, and 1 + ... + 12 candidates on the held-out one.
    assert counted["random-search", "growth"] == 3 * (12 * (REPORTED + HELD_OUT) + 78 * HELD_OUT)
    assert counted["seeds", "seeds/all"] == 2 * 5 * (REPORTED + HELD_OUT)
    # 512 held-out images: warming up, and five times the best run, 8 soups, and 2 ensembles of 12.
    assert counted["random-search", "timing"] == (1 + 5 * (1 + 8 + 2 * 12)) * 512
    assert counted["grid", "approximation"] == 21 * 3 * (22 * 6 * 100 + REPORTED)


def test_pairs_that_differ_in_one_hyperparameter_are_counted(config):
    config["figure3"]["pairs"] = "one"
    # 2 learning rates, 2 strengths, 2 seeds: the 12 edges of a cube, and its 8 corners.
    assert count(config)["grid", "mixes/angles"] == 20 * REPORTED


def test_every_part_of_every_grid_is_a_mix():
    grids = {"Optimizer": [{}] * 4, "Augmentation": [{}] * 3, "Learning rate": [{}] * 5}
    assert count_mixes({"kind": "endpoints", "grids": grids}, {}) == 6 + 3 + 10
