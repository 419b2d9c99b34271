"""List the runs of a sweep with hyper-parameters and accuracies as a page."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.logs import log_to
from modelsoups.paper.pages import write_page
from modelsoups.paper.runs import print_runs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
printed = print_runs(
    pd.read_csv(snakemake.input.runs, dtype={"run": str}),
    pd.read_parquet(snakemake.input.correct),
)
title = f"Runs of sweep {snakemake.wildcards.sweep}, {snakemake.params.study}"
write_page(snakemake.output.html, printed, title)
