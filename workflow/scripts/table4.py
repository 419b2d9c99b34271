"""Make the form of the paper's Table 4 for a sweep."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.logs import log_to
from modelsoups.data.label_sets import caption_label_set
from modelsoups.evaluation.scores import read_scores
from modelsoups.paper.tables import print_table_4, table_4, write_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
table = table_4(
    read_scores(snakemake.input.scores),
    pd.read_parquet(snakemake.input.correct),
    roles=snakemake.params.roles,
    label_sets={
        name: caption_label_set(spec) for name, spec in snakemake.params.label_sets.items()
    },
    study=snakemake.params.study,
    sweep=snakemake.wildcards.sweep,
)
write_table(
    table,
    print_table_4(table),
    f"Table 4, {snakemake.params.study}",
    csv=snakemake.output.csv,
    markdown=snakemake.output.markdown,
    page=snakemake.output.html,
)
