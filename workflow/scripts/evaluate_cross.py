"""Evaluate soups of backbones from other data sets on a target that none was trained on."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.analyses.cross import evaluate_subsets
from modelsoups.analyses.parts import open_parts
from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.evaluation.classifier import open_evaluator
from modelsoups.evaluation.evaluator import open_set
from modelsoups.models.backbones import BackboneSpec

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
params, given = snakemake.params, snakemake.input
(examples,), (labels,), (class_map,) = given.examples, given.labels, given.class_maps
dataset = params.plan["dataset"]
parts = open_parts(
    snakemake.output.cross,
    [params.plan, params.backbone, params.precision],
    [given.start, *given.weights, *given.code],
    {dataset: [examples, labels, class_map]},
)
cross = evaluate_subsets(
    open_evaluator(
        BackboneSpec(**params.backbone),
        params.num_classes,
        snakemake.resources.batch_size,
        params.precision,
    ),
    Path(given.start),
    dict(zip(params.plan["models"], map(Path, given.weights), strict=True)),
    open_set(dataset, examples, labels, class_map, max_examples=params.plan.get("max_images")),
    parts,
)
with publish(snakemake.output.cross) as draft:
    cross.to_parquet(draft, index=False)
