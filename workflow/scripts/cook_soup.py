"""Cook a soup of a sweep's pool, choosing on the held-out set."""

from typing import TYPE_CHECKING

import torch

from modelsoups.base.logs import log_to
from modelsoups.data.datasets import read_groups
from modelsoups.evaluation.evaluator import Evaluator, open_set
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.models.devices import pick_device
from modelsoups.soups.pool import HeldOut
from modelsoups.soups.recipes import cook

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
backbone = BackboneSpec(**snakemake.params.backbone)
model = build_classifier(backbone, snakemake.params.num_classes)
device = pick_device()
evaluator = Evaluator(
    model,
    device=device,
    batch_size=snakemake.resources.batch_size,
    compiled=device.type == "cuda",
    precision=snakemake.params.precision,
)
opened = open_set("the held-out set", snakemake.input.examples, snakemake.input.labels)
groups = read_groups(snakemake.input.groups) if snakemake.input.groups else None
cook(
    snakemake.params.recipe,
    model=snakemake.wildcards.recipe,
    sweep=snakemake.wildcards.sweep,
    names=snakemake.params.names,
    weights=snakemake.input.weights,
    logits=snakemake.input.logits,
    held_out=HeldOut(evaluator, opened.examples, opened.labels, groups),
    held_out_files=[
        snakemake.input.examples,
        snakemake.input.labels,
        *([snakemake.input.groups] if snakemake.input.groups else []),
    ],
    output=snakemake.output.weights,
    record=snakemake.output.record,
    cost=snakemake.output.cost,
    initialization=snakemake.input.initialization or None,
)
