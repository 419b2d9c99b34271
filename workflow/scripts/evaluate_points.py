"""Evaluate points in the weight space of a sweep."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.analyses.mixes import PLANS, evaluate_points, open_kitchen, read_sets
from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.data.views import ViewSpec
from modelsoups.models.backbones import BackboneSpec
from modelsoups.study.search import RunSpec

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
spec = snakemake.params.spec
files = dict(zip(snakemake.params.models, map(Path, snakemake.input.weights), strict=True))
runs = {name: RunSpec(**run) for name, run in snakemake.params.runs.items()}
sets = read_sets(
    snakemake.params.datasets,
    snakemake.input.images,
    snakemake.input.labels,
    snakemake.input.class_maps,
    spec["max_images"],
    ViewSpec(**snakemake.params.view),
    snakemake.params.column,
)
kitchen = open_kitchen(
    BackboneSpec(**snakemake.params.backbone),
    snakemake.params.num_classes,
    files,
    sets,
    snakemake.params.batch_size,
)
points = evaluate_points(kitchen, PLANS[spec["kind"]](spec, runs, files))
with publish(snakemake.output.points) as draft:
    points.to_parquet(draft, index=False)
