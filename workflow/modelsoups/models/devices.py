"""Where models are computed, and in what precision."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import torch

from modelsoups.models.gpus import take_gpus

logger = logging.getLogger(__name__)

Precision = Literal["auto", "bfloat16", "float32"]  # of forward passes
EvaluationPrecision = Precision | Literal["tf32"]
P = TypeVar("P", Precision, EvaluationPrecision)

# Instructions that multiply matrices in bfloat16 faster than in float32: either will do.
BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")

# What tells that a machine has a GPU for this job, whether or not torch can use it.
GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "SLURM_GPUS_ON_NODE", "SLURM_JOB_GPUS")
GPU_FILE = "/dev/nvidia0"
ALLOW_CPU = "MODELSOUPS_ALLOW_CPU"  # set where the config has `allow_cpu`


def pick_device(num_gpus: int = 1) -> torch.device:
    """A GPU if there is one, else the CPU; float32 is computed as float32 from then on.

    Where no scheduler has given this job its GPUs, it takes its own. With fewer than `num_gpus` the
    log says so.

    Raises:
        ValueError: the machine has a GPU for this job that torch cannot use, and the config does
            not allow the CPU instead.
    """
    compute_in_full_float32()
    take_gpus(num_gpus)
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    advice = (
        "look at the driver (nvidia-smi), at CUDA_VISIBLE_DEVICES, and whether torch "
        f"{torch.__version__} is a build for this GPU"
    )
    if not found and num_gpus and (signs := signs_of_gpus()):
        problem = f"asked for {num_gpus} GPU(s), torch finds none ({', '.join(signs)}): {advice}"
        if not os.environ.get(ALLOW_CPU):
            raise ValueError(
                f"{problem}; to compute on the CPU instead, set `allow_cpu: true` in the config "
                'or CUDA_VISIBLE_DEVICES=""'
            )
        logger.warning("%s; computing on the CPU, as the config allows", problem)
    elif found and found < num_gpus:
        logger.warning("asked for %d GPUs, computing on %d: %s", num_gpus, found, advice)
    return torch.device("cuda" if found else "cpu")


def signs_of_gpus() -> list[str]:
    """What tells that this job has a GPU, such as "CUDA_VISIBLE_DEVICES=0"; nothing where they are
    hidden on purpose."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1", "NoDevFiles"):
        return []
    given = [f"{name}={os.environ[name]}" for name in GPU_VARIABLES if os.environ.get(name)]
    return given + [GPU_FILE] * os.path.exists(GPU_FILE)


def compute_in_full_float32() -> None:
    """Switch TF32 off, which rounds the factors of float32 products to 10 bits on GPUs.

    torch has it off for matrix products but on for convolutions, so that the logits of a network
    with convolutions would depend on the card. Nothing changes on a CPU.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def choose_precision(device: torch.device, wanted: P) -> P | Precision:
    """The precision that is asked for; of `auto` bfloat16 where the hardware is faster with it.

    That is every GPU of today, and CPUs with AMX or AVX512-BF16
    (benchmarks/training_speed.py measures it); others emulate bfloat16, slowly.

    Raises: ValueError if TF32 is wanted of a CPU.
    """
    if wanted == "tf32" and device.type != "cuda":
        raise ValueError(
            "evaluation.precision is tf32, which GPUs alone compute, and this job has none; set "
            "float32 or bfloat16, so that the logits of all models are of one precision"
        )
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16"
    has = torch.cpu.get_capabilities()
    return "bfloat16" if any(has.get(name) for name in BFLOAT16_INSTRUCTIONS) else "float32"


@contextmanager
def with_tf32(is_on: bool) -> Iterator[None]:
    """Float32 products on a GPU by TF32, whose factors have 10 bits; if off all stays as it is."""
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [each.allow_tf32 for each in backends]
    for each, was in zip(backends, before, strict=True):
        each.allow_tf32 = was or is_on
    try:
        yield
    finally:
        for each, was in zip(backends, before, strict=True):
            each.allow_tf32 = was


def autocast(device: torch.device, precision: EvaluationPrecision) -> torch.autocast:
    """A forward pass in that precision. Weights and their gradients stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
