"""Study soups and ensembles of runs that differ in their seed alone."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.analyses.mixes import open_kitchen, read_sets, select_all
from modelsoups.analyses.seeds import study_seeds
from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.evaluation.logits import read_logits
from modelsoups.models.backbones import BackboneSpec
from modelsoups.soups.ensembles import group_files
from modelsoups.study.search import RunSpec

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
datasets = snakemake.params.datasets
runs = {name: RunSpec(**run) for name, run in snakemake.params.runs.items()}
chosen = select_all(runs, snakemake.params.match)
files = group_files(snakemake.input.logits, datasets, list(runs))
kitchen = open_kitchen(
    BackboneSpec(**snakemake.params.backbone),
    snakemake.params.num_classes,
    dict(zip(runs, map(Path, snakemake.input.weights), strict=True)),
    read_sets(datasets, snakemake.input.images, snakemake.input.labels, snakemake.input.class_maps),
    snakemake.params.batch_size,
)
seeds = study_seeds(
    kitchen,
    {name: {run: read_logits(files[name][run]).logits for run in chosen} for name in datasets},
    chosen,
    snakemake.params.held_out,
    snakemake.params.roles,
)
with publish(snakemake.output.seeds) as draft:
    seeds.to_parquet(draft, index=False)
