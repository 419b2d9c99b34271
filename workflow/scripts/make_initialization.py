"""Put a pre-trained backbone and a head together: where every run of a sweep starts."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from modelsoups.base.files import sha256, versions, write_json
from modelsoups.base.logs import log_to
from modelsoups.data.specs import parse_view
from modelsoups.models.backbones import (
    BackboneSpec,
    build_for,
    check_view,
    load_pretrained,
    weights_file,
)
from modelsoups.weights.checkpoints import read_weights, write_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
spec = BackboneSpec(**snakemake.params.backbone)
head = read_weights(snakemake.input.head)
model = build_for(spec, head)
check_view(model.preprocessing, parse_view(snakemake.params.view))
load_pretrained(spec, model)
model.head.load_state_dict(head)
write_weights(snakemake.output.weights, model.state_dict())
weights = weights_file(spec)
record = {
    "model": snakemake.wildcards.start,
    "kind": snakemake.params.kind,
    "sweep": snakemake.wildcards.sweep,
    "head": snakemake.params.head,
    "backbone": asdict(spec),
    "preprocessing": asdict(model.preprocessing),
    "inputs": {
        "head": sha256(snakemake.input.head),
        "backbone": weights and sha256(weights),
    },
    "versions": versions(),
}
write_json(snakemake.output.record, record)
