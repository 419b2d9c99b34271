"""Score everything in a sweep on every evaluation set: one tidy table, from stored logits."""

from typing import TYPE_CHECKING

from modelsoups.base.logs import log_to
from modelsoups.evaluation.scores import score_files, write_scores

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
scores = score_files(
    snakemake.input.logits,
    models=snakemake.params.models,
    kinds=snakemake.params.kinds,
    datasets=snakemake.params.datasets,
    own=snakemake.params.get("metrics", ()),
)
write_scores(snakemake.output.scores, scores)
