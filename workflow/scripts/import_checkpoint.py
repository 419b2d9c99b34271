"""Take over an existing checkpoint: download it if need be, convert, check, write."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from modelsoups.base.files import sha256, versions, write_json
from modelsoups.base.logs import log_to
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.study.checkpoints import CheckpointSpec
from modelsoups.weights.checkpoints import write_weights
from modelsoups.weights.foreign import check_fit, fetch, read_checkpoint

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
checkpoint = CheckpointSpec(**snakemake.params.checkpoint)
backbone = BackboneSpec(**snakemake.params.backbone)
path = fetch(checkpoint.file, checkpoint.url, checkpoint.sha256)
weights = read_checkpoint(path)
with torch.device("meta"):  # names and shapes alone
    expected = build_classifier(backbone, snakemake.params.num_classes).state_dict()
check_fit(weights, expected, str(path))
write_weights(snakemake.output.weights, weights)
record = {
    "model": snakemake.wildcards.imported,
    "kind": snakemake.params.kind,
    "sweep": snakemake.wildcards.sweep,
    "spec": asdict(checkpoint),
    "backbone": asdict(backbone),
    "inputs": {"file": sha256(path)},
    "weights_sha256": sha256(snakemake.output.weights),
    "versions": versions(),
}
write_json(snakemake.output.record, record)
