"""Cook a soup of a sweep's pool, choosing on the held-out set."""

from typing import TYPE_CHECKING

import torch

from modelsoups.base.logs import log_to
from modelsoups.data.datasets import read_groups
from modelsoups.evaluation.classifier import open_evaluator
from modelsoups.models.backbones import BackboneSpec
from modelsoups.soups.pool import open_held_out
from modelsoups.soups.recipes import cook

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
params, given = snakemake.params, snakemake.input
evaluator = open_evaluator(
    BackboneSpec(**params.backbone),
    params.num_classes,
    snakemake.resources.batch_size,
    params.precision,
)
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
    params.recipe,
    model=snakemake.wildcards.recipe,
    sweep=snakemake.wildcards.sweep,
    names=params.names,
    weights=given.weights,
    logits=given.logits,
    held_out=held_out,
    held_out_files=[path for path in files if path],
    output=snakemake.output.weights,
    record=snakemake.output.record,
    cost=snakemake.output.cost,
    initialization=given.initialization or None,
)
