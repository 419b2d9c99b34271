"""Fit a linear probe on cached features; the held-out set chooses its regularisation.

A binary-probe is one fitted by binary cross-entropy.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelsoups.base.files import versions, write_json
from modelsoups.base.logs import log_to
from modelsoups.models.devices import pick_device
from modelsoups.models.heads import (
    PROBES,
    LinearProbeSpec,
    empty_head,
    fit_linear_probe,
    read_head,
    write_head,
)

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
device = pick_device()
spec = LinearProbeSpec(**snakemake.params.spec)
loss = PROBES[snakemake.wildcards.start]
train = torch.from_numpy(np.load(snakemake.input.train)).to(device)
zero_shot = [read_head(path) for path in snakemake.input.start]
[start] = zero_shot or [empty_head(snakemake.params.num_classes, train.shape[1])]
head, trials = fit_linear_probe(
    spec,
    train,
    torch.from_numpy(np.load(snakemake.input.train_labels)).to(device),
    torch.from_numpy(np.load(snakemake.input.held_out)).to(device),
    torch.from_numpy(np.load(snakemake.input.held_out_labels)).to(device),
    start,
    loss,
)
write_head(snakemake.output.head, head)
record = {
    "spec": asdict(spec),
    "start": "zero-shot" if zero_shot else "zeros",
    "trials": trials,
    "versions": versions(),
}
if snakemake.wildcards.start != "linear-probe":
    record["probe"] = snakemake.wildcards.start
write_json(snakemake.output.record, record)
