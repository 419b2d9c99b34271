"""Check that models made elsewhere have the accuracy that their maker says they have."""

from pathlib import Path
from typing import TYPE_CHECKING

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.soups.own import check_accuracies

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
said = snakemake.params.said
table = check_accuracies(dict(zip(said, map(Path, snakemake.input.logits), strict=True)), said)
with publish(snakemake.output.table) as draft:
    table.to_csv(draft, index=False)
