"""Score a model made elsewhere by a function of the user's own, on one set."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.base.files import cached_sha256
from modelsoups.base.logs import log_to
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.evaluation.own import write_own
from modelsoups.models.devices import pick_device
from modelsoups.models.own import build, read_spec
from modelsoups.weights.checkpoints import read_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
params, given = snakemake.params, snakemake.input
evaluator = Evaluator(build(read_spec(given.spec)), device=pick_device())
evaluator.pour(
    read_weights(given.weights), f"{snakemake.wildcards.sweep}/{snakemake.wildcards.model}"
)
made_from = {
    "sweep": snakemake.wildcards.sweep,
    "model": snakemake.wildcards.model,
    "dataset": snakemake.wildcards.dataset,
    "weights": cached_sha256(given.weights),
    "evaluate": params.evaluate,
}
output = Path(snakemake.output.logits)
write_own(output, evaluator.model, params.evaluate["function"], params.given, made_from)
