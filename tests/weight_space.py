"""Runs and a tiny classifier that tests of the analyses share."""

from dataclasses import replace

import torch

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
