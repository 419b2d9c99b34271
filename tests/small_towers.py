"""Towers for tests: pre-trained classifiers, and images to put through them."""

import torch

from modelsoups.models.backbones import (
    BackboneSpec,
    Classifier,
    build_classifier,
    load_pretrained,
)


def pretrained(spec: BackboneSpec, num_classes: int = 2) -> Classifier:
    model = build_classifier(spec, num_classes).eval()
    load_pretrained(spec, model)
    return model


def noise(size: int, number: int = 2) -> torch.Tensor:
    """Images (number, 3, size, size) uint8."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (number, 3, size, size), generator=generator, dtype=torch.uint8)
