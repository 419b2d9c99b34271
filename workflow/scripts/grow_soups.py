"""Make every method's soup or ensemble of the first k models of random orders."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.analyses.growth import grow
from modelsoups.analyses.mixes import Mixer, open_sets
from modelsoups.analyses.parts import open_parts
from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.evaluation.classifier import open_evaluator
from modelsoups.models.backbones import BackboneSpec
from modelsoups.soups.ensembles import group_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
params, given = snakemake.params, snakemake.input
weights = dict(zip(params.names, map(Path, given.weights), strict=True))
logits = group_files(given.logits, params.datasets, params.names)
arrays = zip(given.examples, given.labels, given.class_maps, strict=True)
sets = dict(zip(params.datasets, arrays, strict=True))
evaluator = open_evaluator(
    BackboneSpec(**params.backbone),
    params.num_classes,
    snakemake.resources.batch_size,
    params.precision,
)
parts = open_parts(
    snakemake.output.growth,
    [params.names, params.backbone, params.precision],
    [*given.weights, *given.code],
    {dataset: [*files, *logits[dataset].values()] for dataset, files in sets.items()},
)
growth = grow(
    Mixer(evaluator, weights),
    open_sets(sets),
    logits,
    params.names,
    params.held_out,
    params.orders["num_orders"],
    params.orders["seed"],
    parts,
)
with publish(snakemake.output.growth) as draft:
    growth.to_parquet(draft, index=False)
