"""Take over a model made elsewhere: its tensors under the names of the study."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from modelsoups.base.files import sha256, versions, write_json
from modelsoups.base.logs import log_to
from modelsoups.base.paths import resolve
from modelsoups.models.adapters import files_of
from modelsoups.models.ingredients import take_over
from modelsoups.models.own import build, read_spec
from modelsoups.weights.checkpoints import write_weights
from modelsoups.weights.stored import open_stored

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
params = snakemake.params
given = resolve(params.checkpoint["file"])
stored = open_stored(snakemake.input.merged or given, params.part)
spec = read_spec(snakemake.input.spec)
weights = take_over(stored, spec, build(spec), params.prefix)
write_weights(snakemake.output.weights, weights)
digests = {path.name: sha256(path) for path in files_of(stored, given)}
record = {
    "model": snakemake.wildcards.imported,
    "kind": params.kind,
    "sweep": snakemake.wildcards.sweep,
    "spec": {"url": None, **params.checkpoint},
    "backbone": asdict(spec),
    "inputs": {"file": " ".join(digests.values()), "files": digests},
    "weights_sha256": sha256(snakemake.output.weights),
    "versions": versions(),
}
write_json(snakemake.output.record, record)
