"""Write IconCLIP's weights in half precision."""

from typing import TYPE_CHECKING

from modelsoups.base.files import sha256
from modelsoups.base.logs import log_to
from modelsoups.miniature.iconclip import halve
from modelsoups.weights.checkpoints import read_weights, write_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
made_from = {"weights": sha256(snakemake.input.weights)}
write_weights(snakemake.output.weights, halve(read_weights(snakemake.input.weights)), made_from)
