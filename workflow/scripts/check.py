"""Check a study's data, models and disk space before anything is submitted. Nothing is changed."""

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported: nothing is downloaded

from modelsoups.base.logs import log_to
from modelsoups.base.paths import require
from modelsoups.data.check import check_dataset, trying
from modelsoups.data.specs import CountsSpec, parse_dataset
from modelsoups.models.check import (
    check_backbone,
    check_checkpoints,
    check_disk,
    check_function,
    check_own,
    count_parameters,
)
from modelsoups.study.checkpoints import CheckpointSpec
from modelsoups.study.plan import GIB, DatasetSize, SweepSize, disk_space, plan_study

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
params = snakemake.params
checked = []
for name, (spec, counts, ids) in params.datasets.items():
    found = check_dataset(
        name, parse_dataset(spec), CountsSpec(**counts), ids, threads=snakemake.threads
    )
    print(found, flush=True)
    checked.append(found)
counts = {each.name: each.count for each in checked if each.count is not None}
num_parameters = {**count_parameters(params.models, strict=False), **params.own_parameters}
plan = plan_study(
    {
        name: SweepSize(**size, num_parameters=num_parameters[name])
        for name, size in params.sweeps.items()
    },
    datasets={
        name: DatasetSize(**{**size, "num_images": counts.get(name, size["num_images"])})
        for name, size in params.evaluation.items()
    },
    images_per_second=1,  # only the disk counts here
    logits_bytes=2 if params.logits_dtype == "float16" else 4,
)
arrays = [counts.get(name, known) * size / GIB for name, size, known in params.arrays]
needed = disk_space(plan, arrays)
looks: dict[str, Callable[[], object]] = {
    **{
        f"what {name} is evaluated on": partial(require, path, "data")
        for name, path in params.given
    },
    **{
        f"backbone {name}": partial(check_backbone, spec, num_classes)
        for name, (spec, num_classes) in params.backbones.items()
    },
    **{
        f"sweep {name}": partial(
            check_checkpoints,
            {model: CheckpointSpec(**fields) for model, fields in files.items()},
            spec,
            num_classes,
        )
        for name, (files, spec, num_classes) in params.checkpoints.items()
    },
    "disk of results/": partial(check_disk, "results", needed),
    **{f"function {name}": partial(check_function, name) for name in params.functions},
    **({"models of `soup`": partial(check_own, **params.own)} if params.own else {}),
}
for name, look in looks.items():
    found = trying(name, look)
    print(found, flush=True)
    checked.append(found)
problems = sum(len(each.problems) for each in checked)
print(f"{problems} problem{'s' * (problems != 1)} found" if problems else "Nothing is wrong.")
sys.exit(problems > 0)
