"""Make the paper's Table 3 of a sweep: the CSV in fractions, and Markdown in percent."""

from typing import TYPE_CHECKING

from modelsoups.files import publish
from modelsoups.logs import log_to
from modelsoups.scores import read_scores
from modelsoups.tables import table_3, to_markdown

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
table = table_3(
    read_scores(snakemake.input.scores),
    roles=snakemake.params.roles,
    study=snakemake.params.study,
)
with publish(snakemake.output.csv) as draft:
    table.to_csv(draft, index=False)
with publish(snakemake.output.markdown) as draft:
    draft.write_text(to_markdown(table))
