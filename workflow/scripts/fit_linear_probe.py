"""Fit a linear probe on cached features; the held-out set chooses its regularisation."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelsoups.evaluate import pick_device
from modelsoups.files import versions, write_json
from modelsoups.heads import LinearProbeSpec, fit_linear_probe
from modelsoups.logs import log_to
from modelsoups.weights import write_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
device = pick_device()
spec = LinearProbeSpec(**snakemake.params.spec)
train = [snakemake.input.train, snakemake.input.train_labels]
held_out = [snakemake.input.held_out, snakemake.input.held_out_labels]
head, trials = fit_linear_probe(
    spec,
    tuple(torch.from_numpy(np.load(path)).to(device) for path in train),
    tuple(torch.from_numpy(np.load(path)).to(device) for path in held_out),
    snakemake.params.num_classes,
)
write_weights(snakemake.output.head, {"weight": head.weight.cpu(), "bias": head.bias.cpu()})
write_json(
    snakemake.output.record, {"spec": asdict(spec), "trials": trials, "versions": versions()}
)
