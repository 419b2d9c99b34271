"""Pool the claims of the tables and figures that each replicate of a study has."""

from typing import TYPE_CHECKING

from modelsoups.base.logs import log_to
from modelsoups.paper.claims import read_claims, write_claims
from modelsoups.paper.replicates import pooled_claims

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
draws = [read_claims(snakemake.input[name]) for name in snakemake.params.draws]
write_claims(snakemake.output.claims, pooled_claims(draws, snakemake.params.folds))
