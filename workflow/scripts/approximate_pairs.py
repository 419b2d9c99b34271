"""Compare soup and ensemble of pairs of models with the paper's approximation."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.analyses.approximation import approximate_pairs, list_pairs, without_failed
from modelsoups.analyses.mixes import open_sets
from modelsoups.analyses.parts import open_parts
from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.evaluation.classifier import open_evaluator
from modelsoups.evaluation.logits import read_logits
from modelsoups.models.backbones import BackboneSpec
from modelsoups.soups.ensembles import group_files
from modelsoups.study.search import RunSpec
from modelsoups.weights.checkpoints import read_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
params, given = snakemake.params, snakemake.input
max_images = params.plan.get("max_images")
weights = dict(zip(params.models, map(Path, given.weights), strict=True))
logits = group_files(given.logits, params.datasets, params.models)
runs = {name: RunSpec(**run) for name, run in params.runs.items()}
pairs = without_failed(list_pairs(params.plan, runs), logits[params.datasets[0]])
arrays = zip(given.examples, given.labels, given.class_maps, strict=True)
sets = dict(zip(params.datasets, arrays, strict=True))
parts = open_parts(
    snakemake.output.approximation,
    [params.plan, params.models, params.runs, params.backbone, params.precision],
    [*given.weights, *given.code],
    {dataset: [*files, *logits[dataset].values()] for dataset, files in sets.items()},
)
approximation = approximate_pairs(
    open_evaluator(
        BackboneSpec(**params.backbone),
        params.num_classes,
        snakemake.resources.batch_size,
        params.precision,
    ),
    lambda name: read_weights(weights[name]),
    open_sets(sets),
    lambda name, dataset: read_logits(logits[dataset][name]).logits,
    pairs,
    params.plan["alphas"],
    parts,
    max_images,
)
with publish(snakemake.output.approximation) as draft:
    approximation.to_parquet(draft, index=False)
