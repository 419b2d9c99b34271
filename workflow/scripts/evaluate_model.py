"""Evaluate a model on the held-out set, the test set and the shift sets."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelsoups.backbones import BackboneSpec, build_classifier
from modelsoups.checkpoints import read_weights
from modelsoups.class_maps import pool_logits
from modelsoups.evaluate import pick_device, predict
from modelsoups.files import sha256
from modelsoups.logits import write_logits
from modelsoups.logs import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
device = pick_device()
spec = BackboneSpec(**snakemake.params.backbone)
weights = read_weights(snakemake.input.weights)
model = build_classifier(spec, num_classes=len(weights["head.bias"])).to(device).eval()
model.load_state_dict(weights)
made_from = {
    "sweep": snakemake.wildcards.sweep,
    "model": snakemake.wildcards.model,
    "backbone": asdict(spec),
    "weights": sha256(snakemake.input.weights),
}
for dataset, images, labels, class_map, output in zip(
    snakemake.params.datasets,
    snakemake.input.images,
    snakemake.input.labels,
    snakemake.input.class_maps,
    snakemake.output.logits,
    strict=True,
):
    logits = predict(
        model, np.load(images, mmap_mode="r"), snakemake.params.batch_size, device, label=dataset
    )
    write_logits(
        output,
        pool_logits(logits, np.load(class_map)),
        np.load(labels),
        {"dataset": dataset, **made_from},
        snakemake.params.logits_dtype,
    )
