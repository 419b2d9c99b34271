"""Put a pre-trained backbone and a fitted head together: where every run starts."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from modelsoups.backbones import BackboneSpec, build_classifier, load_pretrained
from modelsoups.checkpoints import read_weights, write_weights
from modelsoups.files import sha256, versions, write_json
from modelsoups.logs import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
spec = BackboneSpec(**snakemake.params.backbone)
head = read_weights(snakemake.input.head)
model = build_classifier(spec, num_classes=len(head["weight"]))
load_pretrained(spec, model)
model.head.load_state_dict(head)
write_weights(snakemake.output.weights, model.state_dict())
record = {
    "model": "initialization",
    "kind": "initialization",
    "sweep": snakemake.wildcards.sweep,
    "backbone": asdict(spec),
    "inputs": {"head": sha256(snakemake.input.head)},
    "versions": versions(),
}
write_json(snakemake.output.record, record)
