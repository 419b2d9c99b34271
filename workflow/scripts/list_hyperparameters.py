"""List the runs of a sweep with hyper-parameters and accuracies as a page."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.ensembles import group_files
from modelsoups.files import publish
from modelsoups.logs import log_to
from modelsoups.paired import collect_correct
from modelsoups.tables import print_runs, to_html

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
files = group_files(snakemake.input.logits, snakemake.params.datasets, snakemake.params.names)
runs = pd.read_csv(snakemake.input.runs, dtype={"run": str})
title = f"Runs of sweep {snakemake.wildcards.sweep}, {snakemake.params.study}"
with publish(snakemake.output.html) as draft:
    draft.write_text(to_html(print_runs(runs, collect_correct(files, {})), title))
