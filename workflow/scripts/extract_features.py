"""Compute the features of a pre-trained backbone on the training and the held-out set."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.data.specs import parse_view
from modelsoups.data.tasks import TASKS
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.models.backbones import BackboneSpec, build_classifier, check_view, load_pretrained
from modelsoups.models.devices import pick_device

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
view = parse_view(snakemake.params.view)
spec = BackboneSpec(**snakemake.params.backbone)
model = build_classifier(spec, num_classes=1)
check_view(model.preprocessing, view)
load_pretrained(spec, model)
model.head = torch.nn.Identity()  # type: ignore[assignment] # its outputs are the features
evaluator = Evaluator(
    model,
    device=pick_device(),
    batch_size=snakemake.resources.batch_size,
    fill=False,  # every run starts from these digits: they stay those of runs made before
)
examples = TASKS[spec.task].open(
    snakemake.input.images, view, snakemake.params.column, snakemake.threads
)
with publish(snakemake.output.features) as draft, open(draft, "wb") as file:
    np.save(file, evaluator.outputs(examples, label="features"))
