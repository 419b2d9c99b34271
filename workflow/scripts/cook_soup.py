"""Cook a soup of a sweep's pool, choosing on the held-out set."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from modelsoups.base.logs import log_to
from modelsoups.evaluation.evaluator import pick_device
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.soups.pool import HeldOut
from modelsoups.soups.recipes import cook

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
backbone = BackboneSpec(**snakemake.params.backbone)
held_out = HeldOut(
    build_classifier(backbone, snakemake.params.num_classes),
    np.load(snakemake.input.images, mmap_mode="r"),
    np.load(snakemake.input.labels),
    device=pick_device(),
)
cook(
    snakemake.params.recipe,
    model=snakemake.wildcards.recipe,
    sweep=snakemake.wildcards.sweep,
    names=snakemake.params.names,
    weights=snakemake.input.weights,
    logits=snakemake.input.logits,
    held_out=held_out,
    output=snakemake.output.weights,
    record=snakemake.output.record,
)
