"""Make an ensemble of a sweep's candidates: its logits on every evaluation set and its record."""

from pathlib import Path
from typing import TYPE_CHECKING

from modelsoups.base.files import write_json
from modelsoups.base.logs import log_to
from modelsoups.soups.ensembles import EnsembleSpec, group_files, make_ensemble

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
datasets = snakemake.params.datasets
record = make_ensemble(
    EnsembleSpec(**snakemake.params.ensemble),
    model=snakemake.wildcards.ensemble,
    sweep=snakemake.wildcards.sweep,
    files=group_files(snakemake.input.logits, datasets, snakemake.params.names),
    roles=snakemake.params.roles,
    outputs=dict(zip(datasets, map(Path, snakemake.output.logits), strict=True)),
    dtype=snakemake.params.logits_dtype,
)
write_json(snakemake.output.record, record)
