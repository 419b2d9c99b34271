"""Cook a soup of a sweep's pool, choosing on the held-out set."""

from typing import TYPE_CHECKING

import torch

from modelsoups.base.logs import log_to
from modelsoups.data.datasets import read_groups
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.models.devices import pick_device
from modelsoups.soups.pool import open_held_out
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
params, given = snakemake.params, snakemake.input
held_out = open_held_out(
    evaluator,
    given.get("examples"),
    given.get("labels"),
    given.logits[0],
    params.get("evaluate"),
    params.get("given"),
    read_groups(given.groups) if given.groups else None,
)
files = [given.get("examples"), given.get("labels"), given.groups]
cook(
    snakemake.params.recipe,
    model=snakemake.wildcards.recipe,
    sweep=snakemake.wildcards.sweep,
    names=snakemake.params.names,
    weights=snakemake.input.weights,
    logits=snakemake.input.logits,
    held_out=held_out,
    held_out_files=[path for path in files if path],
    output=snakemake.output.weights,
    record=snakemake.output.record,
    cost=snakemake.output.cost,
    initialization=snakemake.input.initialization or None,
)
