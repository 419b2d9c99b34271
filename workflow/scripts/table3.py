"""Make the paper's Table 3 of a sweep: the CSV in fractions, Markdown and HTML in percent."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.files import publish
from modelsoups.logs import log_to
from modelsoups.scores import read_scores
from modelsoups.tables import table_3, to_html, to_markdown

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
table = table_3(
    read_scores(snakemake.input.scores),
    pd.read_parquet(snakemake.input.correct),
    roles=snakemake.params.roles,
    study=snakemake.params.study,
)
printed = to_markdown(table)
with publish(snakemake.output.csv) as draft:
    table.to_csv(draft, index=False)
with publish(snakemake.output.markdown) as draft:
    draft.write_text(printed)
with publish(snakemake.output.html) as draft:
    draft.write_text(to_html(printed, f"Table 3, {snakemake.params.study}"))
