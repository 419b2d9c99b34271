"""Compare soup and ensemble of pairs of models with the paper's approximation."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.analyses.approximation import approximate_pairs, list_pairs
from modelsoups.analyses.mixes import read_sample, read_sets
from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.evaluation.evaluator import pick_device
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.soups.ensembles import group_files
from modelsoups.study.search import RunSpec
from modelsoups.weights.average import read_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
spec, device = snakemake.params.spec, pick_device()
max_images = spec.get("max_images")
weights = dict(zip(snakemake.params.models, map(Path, snakemake.input.weights), strict=True))
logits = group_files(snakemake.input.logits, snakemake.params.datasets, snakemake.params.models)
model = build_classifier(
    BackboneSpec(**snakemake.params.backbone), num_classes=snakemake.params.num_classes
)
points = approximate_pairs(
    model.to(device).eval(),
    lambda name: read_weights(weights[name]),
    read_sets(
        snakemake.params.datasets,
        snakemake.input.images,
        snakemake.input.labels,
        snakemake.input.class_maps,
        max_images,
    ),
    lambda name, dataset: read_sample(logits[dataset][name], max_images),
    list_pairs(spec, {name: RunSpec(**run) for name, run in snakemake.params.runs.items()}),
    spec["alphas"],
    snakemake.params.batch_size,
    device,
)
with publish(snakemake.output.approximation) as draft:
    points.to_parquet(draft, index=False)
