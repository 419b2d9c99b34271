"""Runs, a tiny classifier and an interruption that tests of the analyses share."""

from dataclasses import replace

import torch

from modelsoups.analyses.parts import Parts
from modelsoups.base.progress import Rows
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.study.search import RunSpec

RUN = RunSpec(
    seed=0,
    lr=1e-3,
    weight_decay=0.0,
    epochs=1,
    label_smoothing=0.0,
    mixup=0.0,
    augmentation="minimal",
    min_crop=0.5,
    batch_size=4,
    warmup_steps=1,
    clip_norm=1.0,
)
RUNS = {
    "000": RUN,
    "001": replace(RUN, seed=1),
    "002": replace(RUN, lr=1e-2),
    "003": replace(RUN, lr=1e-2, seed=1),
}


BACKBONE = BackboneSpec(library="timm", model="test_efficientnet", weights="random")


def make_model() -> torch.nn.Module:
    return build_classifier(BACKBONE, num_classes=3).eval()


def make_evaluator() -> Evaluator:
    """Batches of four."""
    return Evaluator(make_model(), batch_size=4)


class Killed(Exception):
    """Stands for the signal that ends a job."""


class KilledRows(Rows):
    """Rows of a job that is killed after so many parts."""

    def __init__(self, path, num_parts: int):
        super().__init__(path, "the same job")
        self._left = num_parts

    def add(self, key, rows) -> None:
        if not self._left:
            raise Killed
        self._left -= 1
        super().add(key, rows)


def interrupted(path, num_parts: int) -> Parts:
    """Parts in a file, of a job that is killed after so many new ones."""
    return Parts(rows=KilledRows(path, num_parts))


def resumed(path) -> Parts:
    """The parts of the next try."""
    return Parts(rows=Rows(path, "the same job"))
