"""Collect the paper's claims with this study's numbers and verdicts on one page."""

from typing import TYPE_CHECKING

from modelsoups.base.logs import log_to
from modelsoups.paper.claims import print_claims, read_claims
from modelsoups.paper.pages import write_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
claims = read_claims(snakemake.input.claims)
write_table(
    claims,
    print_claims(claims, snakemake.params.study),
    "What holds here",
    csv=snakemake.output.csv,
    markdown=snakemake.output.markdown,
    page=snakemake.output.html,
)
