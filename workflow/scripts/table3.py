"""Make the paper's Table 3 of a sweep: the CSV in fractions, Markdown and HTML in percent."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.logs import log_to
from modelsoups.evaluation.scores import read_scores
from modelsoups.paper.tables import table_3, to_markdown, write_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
table = table_3(
    read_scores(snakemake.input.scores),
    pd.read_parquet(snakemake.input.correct),
    roles=snakemake.params.roles,
    study=snakemake.params.study,
)
write_table(
    table,
    to_markdown(table),
    f"Table 3, {snakemake.params.study}",
    csv=snakemake.output.csv,
    markdown=snakemake.output.markdown,
    page=snakemake.output.html,
)
