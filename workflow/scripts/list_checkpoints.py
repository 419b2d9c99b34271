"""Write the checkpoints of a sweep as a table, with those that are the same model twice."""

from typing import TYPE_CHECKING

from modelsoups.base.files import publish, read_json
from modelsoups.base.logs import log_to
from modelsoups.weights.foreign import checkpoint_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
table = checkpoint_table([read_json(path) for path in snakemake.input.records])
with publish(snakemake.output.runs) as draft:
    table.to_csv(draft, index=False)
