"""Collect what the soups of a sweep took."""

from pathlib import Path
from typing import TYPE_CHECKING

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.soups.costs import collect_costs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
costs, records = (
    dict(zip(snakemake.params.models, map(Path, files), strict=True))
    for files in (snakemake.input.costs, snakemake.input.records)
)
with publish(snakemake.output.costs) as draft:
    collect_costs(costs, records).to_parquet(draft, index=False)
