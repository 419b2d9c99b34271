"""Write IconCLIP's weights in half precision."""

from typing import TYPE_CHECKING

from modelsoups.checkpoints import read_weights, write_weights
from modelsoups.files import sha256
from modelsoups.iconclip import halve
from modelsoups.logs import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
made_from = {"weights": sha256(snakemake.input.weights)}
write_weights(snakemake.output.weights, halve(read_weights(snakemake.input.weights)), made_from)
