"""List the runs of a sweep with hyper-parameters and accuracies as a page."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.paper.tables import print_runs, to_html

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
correct = pd.read_parquet(snakemake.input.correct)
correct = correct[correct["dataset"].isin(snakemake.params.datasets)]  # no label sets
runs = pd.read_csv(snakemake.input.runs, dtype={"run": str})
title = f"Runs of sweep {snakemake.wildcards.sweep}, {snakemake.params.study}"
with publish(snakemake.output.html) as draft:
    draft.write_text(to_html(print_runs(runs, correct), title))
