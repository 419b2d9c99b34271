"""What a run asks of its machine: equal digits from a GPU, and memory that its workers share."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

SHARED_MEMORY = Path("/dev/shm")
READ_AHEAD = 2  # parts of a batch that a worker has made before they are asked for: DataLoader's


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Kernels that give the same digits each time on a GPU; on a CPU they do anyway.

    A run that is stopped and goes on shall end as one that was not. An operation without such a
    kernel is computed all the same, and torch warns of it.
    """
    if device.type != "cuda":
        yield
        return
    from torch._inductor import config as inductor

    filling: Any = torch.utils.deterministic
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        filling.fill_uninitialized_memory,
        inductor.deterministic,
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    filling.fill_uninitialized_memory = False  # only costs time: all is written
    inductor.deterministic = True  # what torch.compile chooses by measuring differs between starts
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        filling.fill_uninitialized_memory = before[2]
        inductor.deterministic = before[3]


def check_shared_memory(num_workers: int, part_bytes: int) -> None:
    """Check that the parts of batches that workers hand over fit into shared memory.

    Without the room a worker would die of a bus error that says nothing.

    Args: num_workers: of all processes on this machine. part_bytes: of the examples of a part.
    Raises: ValueError if they do not.
    """
    if not num_workers or not SHARED_MEMORY.is_dir():
        return
    wanted = (READ_AHEAD * num_workers + 1) * part_bytes
    found = shutil.disk_usage(SHARED_MEMORY).free
    if wanted > found:
        raise ValueError(
            f"{num_workers} workers that augment need {wanted / 2**20:,.0f} MiB of shared memory "
            f"({SHARED_MEMORY}), found {found / 2**20:,.0f} MiB free; give a container more "
            "(docker: --shm-size, or --ipc=host), or lower the sweep's `compute.threads` or raise "
            "its `accumulate`"
        )
