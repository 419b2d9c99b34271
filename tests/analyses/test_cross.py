"""Backbone soups on a target: which models are in them, and whose head they have."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modelsoups.analyses.cross import evaluate_subsets, subsets
from modelsoups.analyses.parts import Parts
from modelsoups.data.examples import Images
from modelsoups.evaluation.evaluator import EvaluationSet, Evaluator
from modelsoups.weights.checkpoints import write_weights


class Network(nn.Module):
    """A linear backbone of 12 numbers and a head of some classes."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.backbone = nn.Linear(12, 4)
        self.head = nn.Linear(4, num_classes)

    def forward(self, images):
        return self.head(self.backbone(images.float().flatten(1) / 255))


@dataclass
class Pool:
    evaluator: Evaluator
    target: EvaluationSet
    paths: dict[str, Any]
    states: dict[str, dict[str, torch.Tensor]]


@pytest.fixture
def pool(tmp_path):
    """A target of three classes, and models of two and five."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    sizes = {"target/initialization": 3, "birds/000": 2, "cars/000": 5}
    states = {name: Network(size).state_dict() for name, size in sizes.items()}
    paths = {name: tmp_path / f"{n}.safetensors" for n, name in enumerate(states)}
    for name, weights in states.items():
        write_weights(paths[name], weights)
    images = Images(random.integers(0, 256, (40, 2, 2, 3), dtype=np.uint8))
    target = EvaluationSet(dataset="photos", examples=images, labels=random.integers(0, 3, 40))
    return Pool(Evaluator(Network(3), batch_size=8), target, paths, states)


def evaluate(pool, parts=None):
    files = {name: pool.paths[name] for name in ("birds/000", "cars/000")}
    start = pool.paths["target/initialization"]
    return evaluate_subsets(pool.evaluator, start, files, pool.target, parts)


def test_every_subset_is_there_once_smaller_ones_first():
    assert list(subsets("abc")) == [
        *((), ("a",), ("b",), ("c",)),
        *(("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")),
    ]


def test_a_soup_has_the_mean_backbone_with_the_zero_shot_one_and_the_targets_head(pool):
    table = evaluate(pool)
    table = table[table["metric"] == "accuracy"].set_index("models")
    assert list(table.index) == ["", "birds/000", "cars/000", "birds/000 cars/000"]
    assert table["k"].tolist() == [0, 1, 1, 2]
    start = pool.states["target/initialization"]
    for models, value in table["value"].items():
        chosen = [start, *(pool.states[name] for name in models.split())]
        soup = {
            key: tensor
            if key.startswith("head.")
            else torch.stack([each[key].double() for each in chosen]).mean(0).float()
            for key, tensor in start.items()
        }
        pool.evaluator.pour(soup)
        logits = pool.evaluator.logits(pool.target)
        assert value == (logits.argmax(1) == pool.target.labels).mean()
    assert table["value"].nunique() > 1  # the soups do differ


def test_soups_that_are_finished_are_taken_over(pool):
    parts = Parts()
    whole = evaluate(pool, parts)
    pool.evaluator.pour = None  # type: ignore[method-assign, assignment] # nothing is poured again
    assert evaluate(pool, parts).equals(whole)
