"""Collect which examples every model of a sweep has right."""

from typing import TYPE_CHECKING

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.evaluation.paired import collect_correct
from modelsoups.soups.ensembles import group_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
correct = collect_correct(
    group_files(snakemake.input.logits, snakemake.params.datasets, snakemake.params.models)
)
with publish(snakemake.output.correct) as draft:
    correct.to_parquet(draft, index=False)
