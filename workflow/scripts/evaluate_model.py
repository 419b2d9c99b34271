"""Evaluate a model: its logits on every data set that has none of them yet."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.base.files import cached_sha256
from modelsoups.base.logs import log_to
from modelsoups.evaluation.evaluator import Evaluator, SetFiles, evaluate
from modelsoups.models.backbones import BackboneSpec, build_for
from modelsoups.models.devices import pick_device
from modelsoups.weights.checkpoints import read_weights, why_no_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
spec = BackboneSpec(**snakemake.params.backbone)
name = f"{snakemake.wildcards.sweep}/{snakemake.wildcards.model}"
failure = why_no_weights(snakemake.input.weights)
weights = read_weights(snakemake.input.weights)
model = build_for(spec, weights)
device = pick_device()
evaluator = Evaluator(
    model,
    device=device,
    batch_size=snakemake.resources.batch_size,
    compiled=device.type == "cuda",
    precision=snakemake.params.precision,
    name=name,
)
if failure is None:
    evaluator.pour(weights, name)
sets = [
    SetFiles(
        dataset=Path(output).stem,
        examples=Path(examples),
        labels=Path(labels),
        class_map=Path(class_map),
        output=Path(output),
    )
    for examples, labels, class_map, output in zip(
        snakemake.input.examples,
        snakemake.input.labels,
        snakemake.input.class_maps,
        snakemake.output.logits,
        strict=True,
    )
]
made_from = {
    "sweep": snakemake.wildcards.sweep,
    "model": snakemake.wildcards.model,
    "backbone": asdict(spec),
    "weights": cached_sha256(snakemake.input.weights),
    "precision": evaluator.precision,
    "code": snakemake.params.code,
}
evaluate(
    evaluator,
    sets,
    made_from,
    failure=failure,
    dtype=snakemake.params.logits_dtype,
)
