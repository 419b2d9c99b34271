"""Draw the training curves of a sweep's runs, and keep the table they are drawn from."""

from typing import TYPE_CHECKING

from modelsoups.base.files import publish, read_json
from modelsoups.base.logs import log_to
from modelsoups.paper.look import save
from modelsoups.paper.runs import collect_curves, figure_curves

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
records = map(read_json, snakemake.input.records)
table = collect_curves(dict(zip(snakemake.params.runs, records, strict=True)))
with publish(snakemake.output.table) as draft:
    table.to_parquet(draft, index=False)
title = f"{snakemake.params.study}: sweep {snakemake.wildcards.sweep}"
save(figure_curves(table, title), snakemake.output.svg, snakemake.output.png)
