"""Make the zero-shot head of a backbone: the prompts of every class, or its option, as numbers."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from modelsoups.base.files import sha256, versions, write_json
from modelsoups.base.logs import log_to
from modelsoups.data.datasets import read_classes
from modelsoups.models.backbones import BackboneSpec
from modelsoups.models.devices import pick_device
from modelsoups.models.prompts import read_templates
from modelsoups.models.zero_shot import write_zero_shot

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
spec = BackboneSpec(**snakemake.params.backbone)
classes = read_classes(snakemake.input.classes)
prompts = snakemake.input.prompts
templates = read_templates(prompts) if prompts else []
head = write_zero_shot(snakemake.output.head, spec, classes, templates, pick_device())
files = {"classes": snakemake.input.classes, **({"prompts": prompts} if prompts else {})}
record = {
    "backbone": asdict(spec),
    **head,
    "num_classes": len(classes),
    "inputs": {name: sha256(path) for name, path in files.items()},
    "versions": versions(),
}
write_json(snakemake.output.record, record)
