"""Study soups and ensembles of runs that differ in their seed alone."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.analyses.mixes import Mixer, open_sets
from modelsoups.analyses.parts import open_parts
from modelsoups.analyses.seeds import choose_seeds, study_seeds
from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.evaluation.classifier import open_evaluator
from modelsoups.models.backbones import BackboneSpec
from modelsoups.soups.ensembles import group_files
from modelsoups.study.search import RunSpec

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
params, given = snakemake.params, snakemake.input
weights = dict(zip(params.names, map(Path, given.weights), strict=True))
logits = group_files(given.logits, params.datasets, params.names)
runs = {name: RunSpec(**run) for name, run in params.runs.items()}
chosen = choose_seeds(runs, params.plan["match"], logits[params.held_out])
arrays = zip(given.examples, given.labels, given.class_maps, strict=True)
sets = dict(zip(params.datasets, arrays, strict=True))
evaluator = open_evaluator(
    BackboneSpec(**params.backbone),
    params.num_classes,
    snakemake.resources.batch_size,
    params.precision,
)
parts = open_parts(
    snakemake.output.seeds,
    [chosen, params.held_out, params.backbone, params.precision],
    [*(weights[run] for run in chosen), *logits[params.held_out].values(), *given.code],
    {dataset: [*files, *logits[dataset].values()] for dataset, files in sets.items()},
)
seeds = study_seeds(
    Mixer(evaluator, weights), open_sets(sets), logits, chosen, params.held_out, parts
)
with publish(snakemake.output.seeds) as draft:
    seeds.to_parquet(draft, index=False)
