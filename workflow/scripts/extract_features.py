"""Compute the L2-normalised features of a pre-trained backbone on a data set."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from modelsoups.backbones import BackboneSpec, build_classifier, load_pretrained
from modelsoups.evaluate import pick_device, predict
from modelsoups.files import publish
from modelsoups.logs import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
device = pick_device()
spec = BackboneSpec(**snakemake.params.backbone)
model = build_classifier(spec, num_classes=1).to(device).eval()
load_pretrained(spec, model)
images = np.load(snakemake.input.images, mmap_mode="r")
features = predict(model.features, images, snakemake.params.batch_size, device, label="features")
with publish(snakemake.output.features) as draft, open(draft, "wb") as file:
    np.save(file, features)
