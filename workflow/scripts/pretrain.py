"""Pre-train an image tower on icons and their names."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from modelsoups.base.files import sha256, versions, write_json
from modelsoups.base.logs import log_to
from modelsoups.miniature.iconclip import IconCLIP, PretrainingSpec, pretrain
from modelsoups.models.backbones import BackboneSpec, build_classifier, load_pretrained
from modelsoups.models.devices import pick_device
from modelsoups.weights.checkpoints import write_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
device = pick_device()
spec = PretrainingSpec(**snakemake.params.spec)
start = BackboneSpec(**snakemake.params.start)
icons = pd.read_parquet(snakemake.input.icons)
names = pd.read_parquet(snakemake.input.names)
row_of = pd.Series(range(len(names)), index=names["name"])
embeddings = np.stack(names["embedding"].to_list())
inputs = {name: sha256(path) for name, path in snakemake.input.items()}
resume = Path(snakemake.output.weights).with_name("resume.pt")

classifier = build_classifier(start, num_classes=1)
load_pretrained(start, classifier)
model = IconCLIP(classifier, embeddings.shape[1], spec.temperature, spec.seed)
curve = pretrain(
    model,
    np.load(snakemake.input.drawings, mmap_mode="r"),
    icons["palette"].to_numpy(copy=True),
    row_of[icons["name"]].to_numpy(copy=True),
    embeddings,
    spec,
    device,
    resume,
    inputs,
    title=snakemake.wildcards.pretraining,
)
write_weights(snakemake.output.weights, model.state_dict())
record = {
    "model": snakemake.wildcards.pretraining,
    "spec": asdict(spec),
    "start": asdict(start),
    "drawings": len(icons),
    "names": len(names),
    "drawings_per_icon_set": icons["icon_set"].value_counts().to_dict(),
    "inputs": inputs,
    "device": str(device),
    "threads": snakemake.threads,
    "curve": curve,
    "versions": versions(),
}
write_json(snakemake.output.record, record)
resume.unlink(missing_ok=True)
