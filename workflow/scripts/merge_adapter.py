"""Merge an adapter of PEFT into the model that it was trained on."""

from pathlib import Path
from typing import TYPE_CHECKING

from modelsoups.base.logs import log_to
from modelsoups.base.paths import resolve
from modelsoups.models.adapters import merge_adapter

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
params = snakemake.params
merge_adapter(
    resolve(params.adapter),
    str(resolve(params.base)),
    params.classes,
    Path(snakemake.output.folder),
)
