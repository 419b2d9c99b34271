"""The evaluator of a backbone's classifier, as jobs have it."""

from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.models.devices import EvaluationPrecision, pick_device


def open_evaluator(
    backbone: BackboneSpec,
    num_classes: int,
    batch_size: int,
    precision: EvaluationPrecision = "float32",
) -> Evaluator:
    """The evaluator of a backbone's classifier, on the GPU if there is one, and compiled there."""
    device = pick_device()
    return Evaluator(
        build_classifier(backbone, num_classes=num_classes),
        device=device,
        batch_size=batch_size,
        compiled=device.type == "cuda",
        precision=precision,
    )
