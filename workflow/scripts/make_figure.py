"""Draw a figure of the paper, and keep the table it is drawn from, its claims and its caption."""

from typing import TYPE_CHECKING

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.paper.captions import write_caption
from modelsoups.paper.claims import write_claims
from modelsoups.paper.declare import give
from modelsoups.paper.look import save
from modelsoups.paper.registry import RESULTS

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
result = RESULTS[snakemake.params.result]
given = give(snakemake.input.items(), snakemake.params.spec, snakemake.params.about)
made = result.make(given)
with publish(snakemake.output.table) as draft:
    made.table.to_parquet(draft, index=False)
save(made.figure, snakemake.output.svg, snakemake.output.png)
write_claims(snakemake.output.claims, made.claims)
write_caption(snakemake.output.caption, result, given, made)
