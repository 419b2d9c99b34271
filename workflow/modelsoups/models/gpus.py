"""Which GPUs of a machine a job takes, where no scheduler gives them out.

Snakemake counts the GPUs in use and no more: jobs that run side by side would all compute on the
first one. Each takes its own here, for as long as its process lives, by a lock that ends with it.
"""

import fcntl
import logging
import os
import re
import tempfile
from pathlib import Path

logger = logging.getLogger(__name__)

VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICES = Path("/dev")  # has nvidia0, nvidia1, ...
GIVEN_BY = ("SLURM_JOB_ID", "LOCAL_RANK")  # variables of who else gives GPUs: SLURM, torchrun

_held: dict[str, int] = {}  # GPU -> file descriptor of its lock


def visible_gpus() -> list[str]:
    """The GPUs that CUDA would show this process, as CUDA_VISIBLE_DEVICES calls them.

    CUDA numbers them from 0, whatever their device files are called.
    """
    if VISIBLE in os.environ:
        given = [name.strip() for name in os.environ[VISIBLE].split(",")]
        hidden = [not name or name in ("-1", "NoDevFiles") for name in given]
        return given[: hidden.index(True)] if any(hidden) else given
    files = [path for path in DEVICES.glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    return [str(number) for number in range(len(files))]


def take_gpus(num_gpus: int) -> None:
    """Show this process, and those it starts, so many GPUs that no other job of this user has.

    Nothing is done where SLURM or torchrun has given them out, or where there is none. To be called
    before CUDA is used, which reads the variable once. Where all are taken, which a limit on the
    resource `gpu` avoids, one is shared.
    """
    if num_gpus < 1 or _held or any(name in os.environ for name in GIVEN_BY):
        return
    names = visible_gpus()
    for name in names:
        if len(_held) < num_gpus and (lock := _lock(name)) is not None:
            _held[name] = lock
    if not names:
        return
    shared = [] if _held else [names[os.getpid() % len(names)]]
    if shared:
        logger.warning(
            "other jobs have all GPUs (%s); this one shares %s: is the limit of snakemake's "
            "resource gpu (--resources gpu=%d) too high?",
            ", ".join(names),
            *shared,
            len(names),
        )
    os.environ[VISIBLE] = ",".join([*_held, *shared])


def _lock(name: str) -> int | None:
    """A descriptor that keeps the lock of a GPU until it is closed; None where another has it."""
    plain = re.sub(r"\W", "-", name)
    path = Path(tempfile.gettempdir()) / f"modelsoups-{os.getuid()}-gpu-{plain}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.set_inheritable(descriptor, True)  # kept when the process is replaced by torchrun
    return descriptor
