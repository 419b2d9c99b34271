"""Fit a linear probe on cached features; the held-out set chooses its regularisation."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelsoups.checkpoints import write_weights
from modelsoups.evaluate import pick_device
from modelsoups.files import versions, write_json
from modelsoups.heads import LinearProbeSpec, fit_linear_probe
from modelsoups.logs import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
device = pick_device()
spec = LinearProbeSpec(**snakemake.params.spec)
head, trials = fit_linear_probe(
    spec,
    torch.from_numpy(np.load(snakemake.input.train)).to(device),
    torch.from_numpy(np.load(snakemake.input.train_labels)).to(device),
    torch.from_numpy(np.load(snakemake.input.held_out)).to(device),
    torch.from_numpy(np.load(snakemake.input.held_out_labels)).to(device),
    snakemake.params.num_classes,
)
write_weights(snakemake.output.head, {"weight": head.weight.cpu(), "bias": head.bias.cpu()})
write_json(
    snakemake.output.record, {"spec": asdict(spec), "trials": trials, "versions": versions()}
)
