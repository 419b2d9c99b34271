"""Where models are computed, and in what precision."""

import logging
import os

import torch

logger = logging.getLogger(__name__)

# What tells that a machine has a GPU for this job, whether or not torch can use it.
GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "SLURM_GPUS_ON_NODE", "SLURM_JOB_GPUS")
GPU_FILE = "/dev/nvidia0"


def pick_device(num_gpus: int = 1) -> torch.device:
    """A GPU if there is one, else the CPU; float32 is computed as float32 from then on.

    Where a machine has GPUs for the job that torch cannot use, or fewer than `num_gpus`, the log
    says so.
    """
    compute_in_full_float32()
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < num_gpus and (signs := [f"torch finds {found}"] if found else signs_of_gpus()):
        logger.warning(
            "asked for %d GPU(s), computed on %s: %s; look at the driver (nvidia-smi), at "
            "CUDA_VISIBLE_DEVICES, and whether torch %s is a build for this GPU",
            num_gpus,
            f"{found} of them" if found else "the CPU, since torch finds none",
            ", ".join(signs),
            torch.__version__,
        )
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


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 for a forward pass in training, where the hardware multiplies such matrices faster.

    That is every GPU of today, and CPUs with AMX. Weights and their gradients stay float32.
    """
    fast = device.type == "cuda" or torch.cpu.get_capabilities().get("amx_bf16", False)
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)
