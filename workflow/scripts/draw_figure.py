"""Draw a figure, and keep the table it is drawn from beside it."""

from typing import TYPE_CHECKING

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.paper.drawing import FIGURES, Inputs
from modelsoups.paper.figures import save

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
table, figure = FIGURES[snakemake.params.figure](
    Inputs(
        files=snakemake.input.files,
        logits=snakemake.input.logits,
        spec=snakemake.params.spec,
        labels=snakemake.params.labels,
        models=snakemake.params.models,
        datasets=snakemake.params.datasets,
        roles=snakemake.params.roles,
        study=snakemake.params.study,
    )
)
with publish(snakemake.output.table) as draft:
    table.to_parquet(draft, index=False)
save(figure, snakemake.output.svg, snakemake.output.png)
