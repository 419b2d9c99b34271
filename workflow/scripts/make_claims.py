"""Judge claims of the paper that no table or figure shows."""

from typing import TYPE_CHECKING

from modelsoups.base.logs import log_to
from modelsoups.paper.claims import write_claims
from modelsoups.paper.declare import give
from modelsoups.paper.registry import RESULTS

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
given = give(snakemake.input.items(), snakemake.params.spec, snakemake.params.about)
write_claims(snakemake.output.claims, RESULTS[snakemake.params.result].make(given).claims)
