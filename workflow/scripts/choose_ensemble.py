"""Choose an ensemble's ingredients on the held-out set; its logits there and its record."""

from typing import TYPE_CHECKING

from modelsoups.base.files import write_json
from modelsoups.base.logs import log_to
from modelsoups.soups.ensembles import choose_ensemble

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
record = choose_ensemble(
    snakemake.params.ensemble,
    model=snakemake.wildcards.ensemble,
    sweep=snakemake.wildcards.sweep,
    held_out=snakemake.params.held_out,
    names=snakemake.params.names,
    logits=snakemake.input.logits,
    output=snakemake.output.logits,
    dtype=snakemake.params.logits_dtype,
)
write_json(snakemake.output.record, record)
