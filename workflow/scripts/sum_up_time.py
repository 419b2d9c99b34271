"""Sum up where the time of the study went."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.logs import log_to
from modelsoups.paper.pages import join_markdown, write_table
from modelsoups.study.spent import COLUMNS, print_spent, read_jobs, sum_up_jobs

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
rows = sum_up_jobs(read_jobs(Path(snakemake.output.csv).parent / "benchmarks"))
write_table(
    pd.DataFrame(rows, columns=list(COLUMNS)),
    join_markdown(print_spent(rows, snakemake.params.study)),
    "Where the time went",
    csv=snakemake.output.csv,
    markdown=snakemake.output.markdown,
    page=snakemake.output.html,
)
