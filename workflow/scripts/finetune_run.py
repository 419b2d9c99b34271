"""Fine-tune one run of a sweep."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelsoups.backbones import BackboneSpec, build_classifier
from modelsoups.checkpoints import read_weights, write_weights
from modelsoups.evaluate import pick_device
from modelsoups.files import sha256, versions, write_json
from modelsoups.finetune import finetune
from modelsoups.logs import log_to
from modelsoups.search import RunSpec
from modelsoups.views import open_training

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
device = pick_device()
spec = RunSpec(**snakemake.params.run)
backbone = BackboneSpec(**snakemake.params.backbone)
start = read_weights(snakemake.input.start)
model = build_classifier(backbone, num_classes=len(start["head.bias"]))
model.load_state_dict(start)
inputs = {name: sha256(path) for name, path in snakemake.input.items()}
resume = Path(snakemake.output.weights).with_name("resume.pt")
curve = finetune(
    model,
    open_training(snakemake.input.images, snakemake.params.size),
    np.load(snakemake.input.labels),
    spec,
    device,
    resume,
    inputs,
    name=f"{snakemake.wildcards.sweep} {snakemake.wildcards.run}",
    num_workers=snakemake.params.workers,
)
write_weights(snakemake.output.weights, model.state_dict())
record = {
    "model": snakemake.wildcards.run,
    "kind": "run",
    "sweep": snakemake.wildcards.sweep,
    "spec": asdict(spec),
    "backbone": asdict(backbone),
    "inputs": inputs,
    "device": str(device),
    "threads": snakemake.threads,
    "curve": curve,
    "versions": versions(),
}
write_json(snakemake.output.record, record)
resume.unlink()
