"""Draw the paper's Figure 1 of a sweep: its runs and their soups, in distribution and on shifts."""

from typing import TYPE_CHECKING

from modelsoups.figures import figure_1, save
from modelsoups.logs import log_to
from modelsoups.scores import read_scores

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
figure = figure_1(
    read_scores(snakemake.input.scores),
    roles=snakemake.params.roles,
    title=snakemake.params.study,
)
save(figure, snakemake.output.svg, snakemake.output.png)
