"""Make every recipe's soup or ensemble of the first k runs of random orders."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.analyses.growth import grow
from modelsoups.analyses.mixes import open_kitchen, read_sets
from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.models.backbones import BackboneSpec
from modelsoups.soups.ensembles import group_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
datasets, names = snakemake.params.datasets, snakemake.params.names
kitchen = open_kitchen(
    BackboneSpec(**snakemake.params.backbone),
    snakemake.params.num_classes,
    dict(zip(names, map(Path, snakemake.input.weights), strict=True)),
    read_sets(datasets, snakemake.input.images, snakemake.input.labels, snakemake.input.class_maps),
    snakemake.params.batch_size,
)
growth = grow(
    kitchen,
    group_files(snakemake.input.logits, datasets, names),
    names,
    snakemake.params.held_out,
    snakemake.params.orders["num_orders"],
    snakemake.params.orders["seed"],
)
with publish(snakemake.output.growth) as draft:
    growth.to_parquet(draft, index=False)
