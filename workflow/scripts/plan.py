"""Print what each sweep of the study will take."""

from pathlib import Path
from typing import TYPE_CHECKING

from modelsoups.base.logs import log_to
from modelsoups.models.check import count_parameters
from modelsoups.study.plan import (
    GIB,
    DatasetSize,
    SweepSize,
    largest_jobs,
    plan_study,
    to_text,
)
from modelsoups.study.spent import evaluation_speed, read_jobs
from modelsoups.study.status import read_run, sum_up

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
params = snakemake.params
num_parameters = count_parameters(
    {name: (spec, params.num_classes[name]) for name, spec in params.backbones.items()}
)
trained = {}  # sweep -> images a second and GPU
for sweep, rows in params.runs.items():
    runs = [
        read_run(sweep, run, epochs, Path(record), Path(log)) for run, epochs, record, log in rows
    ]
    size = params.sweeps[sweep]
    seen = sum_up(runs, size["num_training_images"], size["images_per_second"])
    speed = seen.images_per_second
    trained[sweep] = speed / max(run.processes for run in runs)
jobs = read_jobs(Path(snakemake.log[0]).parents[1] / "benchmarks")
evaluated = evaluation_speed(jobs, params.num_reported_images)
sizes = {
    name: {**size, "images_per_second": trained.get(name) or size["images_per_second"]}
    for name, size in params.sweeps.items()
}
plan = plan_study(
    {name: SweepSize(**size, num_parameters=num_parameters[name]) for name, size in sizes.items()},
    datasets={name: DatasetSize(**size) for name, size in params.evaluation.items()},
    images_per_second=evaluated or params.images_per_second,
    logits_bytes=2 if params.logits_dtype == "float16" else 4,
)
measured = [name for name, speed in trained.items() if speed] + ["evaluation"] * bool(evaluated)
arrays = {name: size / GIB for name, size in params.decoded.items()}
asked = largest_jobs(params.jobs, num_parameters)
print(to_text(plan, params.study, arrays, asked, measured))
