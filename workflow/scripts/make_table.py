"""Make a table of the paper: CSV in fractions, Markdown and HTML in percent; claims and caption."""

from typing import TYPE_CHECKING

from modelsoups.base.logs import log_to
from modelsoups.paper.captions import write_caption
from modelsoups.paper.claims import write_claims
from modelsoups.paper.declare import give
from modelsoups.paper.pages import write_table
from modelsoups.paper.registry import RESULTS

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
result = RESULTS[snakemake.params.result]
given = give(snakemake.input.items(), snakemake.params.spec, snakemake.params.about)
made = result.make(given)
write_table(
    made.table,
    made.markdown,
    f"{result.title_of(given.spec)}, {given.study}",
    csv=snakemake.output.csv,
    markdown=snakemake.output.markdown,
    page=snakemake.output.html,
)
write_claims(snakemake.output.claims, made.claims)
write_caption(snakemake.output.caption, result, given, made)
