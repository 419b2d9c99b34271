"""Print what each sweep of the study will take."""

from typing import TYPE_CHECKING

from modelsoups.base.logs import log_to
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.study.plan import (
    DatasetSize,
    SweepSize,
    arrays_gib,
    plan_study,
    to_text,
)

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
params = snakemake.params
num_parameters: dict[BackboneSpec, int] = {}
backbones = {name: BackboneSpec(**spec) for name, spec in params.backbones.items()}
for spec in set(backbones.values()):
    model = build_classifier(spec, params.num_classes)
    num_parameters[spec] = sum(tensor.numel() for tensor in model.parameters())
plan = plan_study(
    {
        name: SweepSize(**size, num_parameters=num_parameters[backbones[name]])
        for name, size in params.sweeps.items()
    },
    num_training_images=params.num_training_images,
    held_out=params.held_out,
    evaluation={name: DatasetSize(**size) for name, size in params.evaluation.items()},
    images_per_second=params.images_per_second,
    logits_bytes=2 if params.logits_dtype == "float16" else 4,
)
print(to_text(plan, params.study, arrays_gib(params.decoded), params.jobs))
