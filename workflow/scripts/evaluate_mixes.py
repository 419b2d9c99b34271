"""Evaluate mixes in the weight space of a sweep."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.analyses.mixes import Mixer, evaluate_mixes, open_sets, plan_mixes
from modelsoups.analyses.parts import open_parts
from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.data.specs import parse_view
from modelsoups.evaluation.classifier import open_evaluator
from modelsoups.models.backbones import BackboneSpec
from modelsoups.study.search import RunSpec

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
params, given = snakemake.params, snakemake.input
weights = dict(zip(params.models, map(Path, given.weights), strict=True))
runs = {name: RunSpec(**run) for name, run in params.runs.items()}
arrays = zip(given.examples, given.labels, given.class_maps, strict=True)
sets = dict(zip(params.datasets, arrays, strict=True))
evaluator = open_evaluator(
    BackboneSpec(**params.backbone),
    params.num_classes,
    snakemake.resources.batch_size,
    params.precision,
)
parts = open_parts(
    snakemake.output.mixes,
    [
        params.plan,
        params.models,
        params.runs,
        params.view,
        params.column,
        params.backbone,
        params.precision,
    ],
    [*given.weights, *given.code],
    sets,
)
mixes = evaluate_mixes(
    Mixer(evaluator, weights),
    open_sets(
        sets,
        max_examples=params.plan.get("max_images"),
        view=parse_view(params.view),
        column=params.column,
    ),
    plan_mixes(params.plan, runs, weights),
    parts,
)
with publish(snakemake.output.mixes) as draft:
    mixes.to_parquet(draft, index=False)
