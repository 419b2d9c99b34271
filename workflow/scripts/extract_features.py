"""Compute the features of a pre-trained backbone on the training and the held-out set."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.data.views import ViewSpec, open_view
from modelsoups.evaluation.evaluator import pick_device, predict
from modelsoups.models.backbones import BackboneSpec, build_classifier, check_view, load_pretrained

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
device = pick_device()
spec = BackboneSpec(**snakemake.params.backbone)
model = build_classifier(spec, num_classes=1).to(device).eval()
check_view(model.preprocessing, ViewSpec(**snakemake.params.view))
load_pretrained(spec, model)
for images, output in zip(snakemake.input.images, snakemake.output.features, strict=True):
    features = predict(
        model.features,
        open_view(
            images,
            ViewSpec(**snakemake.params.view),
            snakemake.params.column,
            threads=snakemake.threads,
        ),
        snakemake.params.batch_size,
        device,
        label="features",
    )
    with publish(output) as draft, open(draft, "wb") as file:
        np.save(file, features)
