"""What a study will take, reckoned from its config before anything is spent."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from modelsoups.study.cost import megabytes

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class SweepSize:
    """What a sweep is made of."""

    epochs: Sequence[int]  # of each run that is fine-tuned
    passes: Sequence[float] = ()  # of a step of each (`cost.passes_of`); 1 if left out
    num_weights: int  # models with weights of their own: initialisation, runs, averages, soups
    num_ensembles: int
    num_greedy: int  # greedy soups, each of which tries every candidate on the held-out set
    num_candidates: int
    num_parameters: int  # of the backbone and its head
    num_training_images: int
    held_out: str  # the set that it chooses on
    evaluated: Sequence[str]  # the sets that its models are evaluated on, that one included
    images_per_second: float  # trained on by one GPU
    other_images: int = 0  # evaluated for figures and learned soups


@dataclass(frozen=True, kw_only=True)
class DatasetSize:
    """What a data set is made of."""

    num_images: int
    num_classes: int  # of its class map


def plan_sweep(
    size: SweepSize,
    datasets: Mapping[str, DatasetSize],
    images_per_second: float,
    logits_bytes: int,
) -> dict[str, float]:
    """Images, hours and GiB of one sweep.

    Args:
        datasets: every set that models are evaluated on.
        images_per_second: evaluated by one GPU.
        logits_bytes: of one stored logit; compression is not counted on.
    Returns:
        num_runs, num_epochs, training_images, evaluation_images (at most: greedy soups count all
        their candidates, early rejection needs fewer), training_hours, evaluation_hours,
        weights_gib, logits_gib.
    """
    evaluation = [datasets[name] for name in size.evaluated]
    tried = size.num_greedy * size.num_candidates * datasets[size.held_out].num_images
    training = sum(size.epochs) * size.num_training_images
    passes = size.passes or [1] * len(size.epochs)
    computed = sum(map(operator.mul, size.epochs, passes)) * size.num_training_images
    evaluated = size.num_weights * sum(dataset.num_images for dataset in evaluation)
    evaluated += tried + size.other_images
    logits = sum(dataset.num_images * dataset.num_classes for dataset in evaluation)
    return {
        "num_runs": len(size.epochs),
        "num_epochs": sum(size.epochs),
        "training_images": training,
        "evaluation_images": evaluated,
        "training_hours": computed / size.images_per_second / 3600,
        "evaluation_hours": evaluated / images_per_second / 3600,
        "weights_gib": 4 * size.num_parameters * size.num_weights / GIB,
        "logits_gib": logits * logits_bytes * (size.num_weights + size.num_ensembles) / GIB,
    }


def plan_study(
    sweeps: Mapping[str, SweepSize],
    datasets: Mapping[str, DatasetSize],
    images_per_second: float,
    logits_bytes: int,
) -> pd.DataFrame:
    """The plan of every sweep, one row each (columns of `plan_sweep`), and their sum, `total`."""
    rows = {
        name: plan_sweep(size, datasets, images_per_second, logits_bytes)
        for name, size in sweeps.items()
    }
    plan = pd.DataFrame.from_dict(rows, orient="index")
    plan.loc["total"] = plan.sum()
    return plan.rename_axis("sweep")


def largest_jobs(
    jobs: Iterable[tuple[str, str, Mapping[str, Any]]], num_parameters: Mapping[str, int]
) -> dict[str, dict[str, int]]:
    """Sort of job -> the most that one of that sort asks for: gpus, threads, mem_mb, minutes.

    Args:
        jobs: sort, sweep, and these; where the models that it holds (`held`, arguments of
            `megabytes`) take more memory than `mem_mb`, it asks for that.
        num_parameters: of a sweep's models, which files have in float32.
    """
    found: dict[str, dict[str, int]] = {}
    for sort, sweep, job in jobs:
        asked = {key: value for key, value in job.items() if key != "held"}
        needed = megabytes(4 * num_parameters[sweep], **job["held"])
        asked["mem_mb"] = max(asked["mem_mb"], needed)
        before = found.get(sort, asked)
        found[sort] = {key: max(value, before[key]) for key, value in asked.items()}
    return found


def disk_space(plan: pd.DataFrame, arrays: Iterable[float]) -> float:
    """GiB of weights, logits and decoded arrays. Args: arrays: GiB of each."""
    return plan.weights_gib["total"] + plan.logits_gib["total"] + sum(arrays)


def to_text(
    plan: pd.DataFrame,
    study: str,
    arrays: Mapping[str, float],
    jobs: Mapping[str, Mapping[str, int]],
    measured: Sequence[str] = (),
) -> str:
    """The plan in print.

    Args:
        arrays: decoded arrays, which all sweeps share: name -> GiB.
        jobs: sort of job -> what the largest asks for: gpus, threads, mem_mb, minutes.
        measured: sweeps, and perhaps `evaluation`, whose speed is one that was seen.
    """
    guesses = (
        "Hours are reckoned with the config's `images_per_second` of sweeps and of evaluation: "
        "guesses, until you put in what your machine does."
    )
    seen = f" Speeds seen here were taken for {', '.join(measured)}." if measured else ""
    hours = plan.training_hours + plan.evaluation_hours
    shown = pd.DataFrame(
        {
            "runs": plan.num_runs.map("{:,.0f}".format),
            "epochs": plan.num_epochs.map("{:,.0f}".format),
            "training images": plan.training_images.map("{:,.0f}".format),
            "evaluated images": plan.evaluation_images.map("{:,.0f}".format),
            "GPU hours": hours.map("{:,.1f}".format),
            "weights, GiB": plan.weights_gib.map("{:,.1f}".format),
            "logits, GiB": plan.logits_gib.map("{:,.1f}".format),
        }
    )
    asked = pd.DataFrame.from_dict(jobs, orient="index")
    disk = disk_space(plan, arrays.values())
    return (
        f"Plan of the study: {study}\n{shown.to_string()}\n"
        f"{guesses}{seen}\n"
        f"Decoded arrays, shared by all sweeps: {sum(arrays.values()):,.1f} GiB "
        f"({', '.join(f'{name} {gib:,.1f}' for name, gib in arrays.items())}). "
        f"Disk in all: {disk:,.1f} GiB.\n"
        "What jobs ask for, the largest of each sort at its first attempt; what takes longer than "
        f"the config's max_hours goes on in the next:\n{asked.to_string()}\n"
    )
