"""Evaluate a model on the held-out set, the test set and the shift sets."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.base.files import sha256
from modelsoups.base.logs import log_to
from modelsoups.evaluation.evaluator import EvaluationSet, evaluate, pick_device
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.weights.checkpoints import read_weights, why_no_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
device = pick_device()
spec = BackboneSpec(**snakemake.params.backbone)
failure = why_no_weights(snakemake.input.weights)
weights = read_weights(snakemake.input.weights)
model = build_classifier(spec, num_classes=len(weights.get("head.bias", []))).to(device).eval()
model.load_state_dict(weights, strict=failure is None)
made_from = {
    "sweep": snakemake.wildcards.sweep,
    "model": snakemake.wildcards.model,
    "backbone": asdict(spec),
    "weights": sha256(snakemake.input.weights),
}
sets = [
    EvaluationSet(
        dataset=dataset,
        images=Path(images),
        labels=Path(labels),
        class_map=Path(class_map),
        output=Path(output),
    )
    for dataset, images, labels, class_map, output in zip(
        snakemake.params.datasets,
        snakemake.input.images,
        snakemake.input.labels,
        snakemake.input.class_maps,
        snakemake.output.logits,
        strict=True,
    )
]
evaluate(
    model,
    sets,
    snakemake.params.batch_size,
    device,
    made_from,
    failure,
    snakemake.params.logits_dtype,
)
