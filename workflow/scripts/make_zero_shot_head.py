"""Embed the prompts of every class: the zero-shot head of a backbone with a text tower."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from modelsoups.base.files import sha256, versions, write_json
from modelsoups.base.logs import log_to
from modelsoups.data.datasets import read_classes
from modelsoups.models.backbones import BackboneSpec, load_text_tower
from modelsoups.models.devices import pick_device
from modelsoups.models.heads import write_head, zero_shot_head
from modelsoups.models.prompts import read_templates

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
spec = BackboneSpec(**snakemake.params.backbone)
names = read_classes(snakemake.input.classes).name.tolist()
templates = read_templates(snakemake.input.prompts)
tower = load_text_tower(spec, pick_device())
head = zero_shot_head(tower.embed, tower.scale, names, templates)
write_head(snakemake.output.head, head)
record = {
    "backbone": asdict(spec),
    "scale": tower.scale,
    "num_classes": len(names),
    "templates": templates,
    "inputs": {name: sha256(snakemake.input[name]) for name in ("classes", "prompts")},
    "versions": versions(),
}
write_json(snakemake.output.record, record)
