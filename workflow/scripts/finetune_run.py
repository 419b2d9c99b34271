"""Fine-tune one run of a sweep."""

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelsoups.base.files import cached_sha256, versions, write_json
from modelsoups.base.logs import log_to
from modelsoups.data.tasks import TASKS
from modelsoups.evaluation.best import BestCheckpoint
from modelsoups.evaluation.evaluator import open_set
from modelsoups.models.backbones import BackboneSpec, build_for
from modelsoups.models.devices import pick_device
from modelsoups.study.search import RunSpec, as_params, average_names, moving_average_names
from modelsoups.training import curves
from modelsoups.training.augmentation import AUGMENTED
from modelsoups.training.distillation import load_teachers
from modelsoups.training.finished import code_digest, keep_finished
from modelsoups.training.loop import ComputeSpec, finetune_or_skip
from modelsoups.training.methods import Methods
from modelsoups.training.processes import join, split_up
from modelsoups.weights.checkpoints import read_weights, write_run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

resources = snakemake.resources
split_up(resources.gpu)
process = join()
log_to(snakemake.log[0])
device = pick_device(resources.gpu)
threads = max(1, snakemake.threads // process.num_processes)
torch.set_num_threads(threads)
spec = RunSpec(**snakemake.params.run)
backbone = BackboneSpec(**snakemake.params.backbone)
start = read_weights(snakemake.input.start)
build = partial(build_for, backbone, start)
model = build()
model.load_state_dict(start)
examples = TASKS[backbone.task].open_training(
    snakemake.input.images, snakemake.params.size, resources.decoder
)
files = dict(snakemake.input.items())
teachers = load_teachers([files[name] for name in files if name.startswith("teacher")], build)
inputs = process.from_first(lambda: {name: cached_sha256(path) for name, path in files.items()})
resume = Path(snakemake.output.weights).with_name("resume.pt")
compute = ComputeSpec(
    accumulate=resources.accumulate,
    num_workers=max(1, threads - 1) if device.type == "cuda" else 0,
    save_minutes=resources.save_minutes,
    save_epochs=resources.save_epochs,
    precision=snakemake.params.get("precision", "auto"),
)
identity = {
    "spec": as_params(spec),
    "backbone": asdict(backbone),
    "inputs": inputs,
    "asked_precision": compute.precision,
    "code": code_digest(),
}
made = {
    snakemake.output.weights: snakemake.output.record,
    **dict(zip(snakemake.output.averages, snakemake.output.average_records, strict=True)),
}
if process.from_first(lambda: keep_finished(made, identity)):
    sys.exit()
best: dict[str, BestCheckpoint] = {}


def follow(methods: Methods) -> dict[str, BestCheckpoint]:
    """What keeps the best checkpoint of the run, and of each moving average."""
    if spec.evaluate_every:
        held_out = open_set("held-out", snakemake.input.held_out, snakemake.input.held_out_labels)
        make = partial(
            BestCheckpoint,
            spec,
            model,
            held_out,
            len(examples),
            device=device,
            batch_size=resources.batch_size,
            process=process,
        )
        best["best"] = make()
        for name in moving_average_names(spec):
            best[name] = make(average=partial(methods.average, name))
    return best


def best_of(name: str) -> dict[str, Any]:
    """What a record says of a best checkpoint, if there is one."""
    return {"best": {"step": best[name].step, "trials": best[name].trials}} if name in best else {}


kind = resources.curves if process.is_first else "nothing"
ended, failure = finetune_or_skip(
    resources.on_failure,
    model,
    AUGMENTED[backbone.task](examples, spec, model),
    np.load(snakemake.input.labels),
    spec,
    device,
    resume,
    inputs,
    name=f"{snakemake.wildcards.sweep} {snakemake.wildcards.run}",
    compute=compute,
    process=process,
    followers=follow,
    teachers=teachers,
    watch=curves.KINDS[kind](Path(snakemake.output.weights).parent),
)
if process.is_first:
    ends = ended.averages | {name: each.kept for name, each in best.items()}
    write_run(snakemake.output.weights, ends.get("best", model.state_dict()), failure)
    record = {
        "model": snakemake.wildcards.run,
        "kind": "run",
        "sweep": snakemake.wildcards.sweep,
        "failure": failure,
        **identity,
        "device": str(device),
        "processes": process.num_processes,
        "threads": threads,
        "compute": asdict(compute),
        "precision": ended.precision,
        "curve": ended.curve,
        "versions": versions(),
    }
    averages = snakemake.output.averages, snakemake.output.average_records
    for name, weights, its_record in zip(average_names(spec), *averages, strict=True):
        write_run(weights, ends.get(name, {}), failure)
        of_run = {"model": f"{snakemake.wildcards.run}-{name}", "kind": "average"}
        of_run["run"] = snakemake.wildcards.run
        write_json(its_record, record | of_run | ({} if failure else best_of(name)))
    write_json(snakemake.output.record, record | ({} if failure else best_of("best")))
    resume.unlink(missing_ok=True)
