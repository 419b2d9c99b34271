"""Average the logits of an ensemble's ingredients on the sets that are reported."""

from pathlib import Path
from typing import TYPE_CHECKING

from modelsoups.base.files import read_json
from modelsoups.base.logs import log_to
from modelsoups.soups.ensembles import average_ensemble, group_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
outputs = {Path(output).stem: Path(output) for output in snakemake.output.logits}
average_ensemble(
    read_json(snakemake.input.record),
    group_files(snakemake.input.logits, list(outputs), snakemake.params.names),
    outputs,
    snakemake.params.logits_dtype,
)
