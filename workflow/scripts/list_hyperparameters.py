"""List the runs of a sweep with hyper-parameters and accuracies as a page."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.files import publish
from modelsoups.logs import log_to
from modelsoups.scores import read_scores
from modelsoups.tables import print_runs, to_html

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
printed = print_runs(
    pd.read_csv(snakemake.input.runs, dtype={"run": str}),
    read_scores(snakemake.input.scores),
    snakemake.params.datasets,
)
title = f"Runs of sweep {snakemake.wildcards.sweep}, {snakemake.params.study}"
with publish(snakemake.output.html) as draft:
    draft.write_text(to_html(printed, title))
