"""Diagnose a sweep or pool: why its soup is no better than its best model, as page and picture."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.diagnosis.pool import diagnose_pool
from modelsoups.evaluation.classifier import open_evaluator
from modelsoups.models.backbones import BackboneSpec
from modelsoups.paper.diagnosis import figure_diagnosis, print_diagnosis
from modelsoups.paper.look import save
from modelsoups.soups.pool import open_held_out

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
params, given = snakemake.params, snakemake.input
evaluator = open_evaluator(
    BackboneSpec(**params.backbone),
    params.num_classes,
    snakemake.resources.batch_size,
    params.precision,
)
held_out = open_held_out(
    evaluator,
    given.get("examples"),
    given.get("labels"),
    given.logits[0],
    params.get("evaluate"),
    params.get("given"),
)
diagnosis = diagnose_pool(
    held_out,
    weights=dict(zip(params.names, map(Path, given.weights), strict=True)),
    logits=dict(zip(params.names, map(Path, given.logits), strict=True)),
    initialization=Path(given.initialization) if given.initialization else None,
    soups=dict(zip(params.recipes, map(Path, given.soups), strict=True)),
    records=dict(zip(params.recipes, map(Path, given.records), strict=True)),
    settings=params.settings,
)
with publish(snakemake.output.csv) as draft:
    diagnosis.models.to_csv(draft, index=False)
title = f"Diagnosis of {snakemake.wildcards.sweep}, {params.study}"
save(figure_diagnosis(diagnosis, title), snakemake.output.svg)
page = print_diagnosis(diagnosis, Path(snakemake.output.svg).read_text("utf-8"), title)
with publish(snakemake.output.html) as draft:
    draft.write_text(page, encoding="utf-8")
