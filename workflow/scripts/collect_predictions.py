"""Collect what every model of a sweep predicts."""

from pathlib import Path
from typing import TYPE_CHECKING

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.evaluation.predictions import collect_predictions
from modelsoups.soups.ensembles import group_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
roles = snakemake.params.roles
predictions = collect_predictions(
    group_files(snakemake.input.logits, list(roles), snakemake.params.models),
    dict(zip(roles, map(Path, snakemake.input.indexes), strict=True)),
    roles,
)
with publish(snakemake.output.predictions) as draft:
    predictions.to_parquet(draft, index=False)
