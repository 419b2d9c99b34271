"""Several processes for one run, one a GPU of the node; and the signal that asks a job to stop.

A script that trains calls `split_up`, which starts it again under torchrun, and then `join`.
"""

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from modelsoups.models.gpus import take_gpus

T = TypeVar("T")

# torchrun kills its processes so long after SIGTERM, by default after 30 s. How long a save may
# take is for SLURM to say (KillWait, or the notice that a site asks for), so this is longer.
SHUTDOWN_SECONDS = 3600


class Terminated(Exception):
    """The job was asked to stop (SIGTERM) and saved its state."""


@dataclass(frozen=True)
class Process:
    """One of the processes of a run. What any of them asks the others, all have to ask.

    Answers go over the CPU, so that no GPU is waited for; those of `mean` where its tensor is.
    """

    rank: int = 0
    num_processes: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the processes."""
        if self.num_processes == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value / self.num_processes

    def any(self, *said: bool) -> list[bool]:
        """Of each, whether any process says so."""
        if self.num_processes == 1:
            return list(said)
        together = torch.tensor(said, dtype=torch.int32)
        dist.all_reduce(together, dist.ReduceOp.MAX)
        return together.bool().tolist()

    def wait(self) -> None:
        """Go on when every process has come as far as this."""
        self.any(False)

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process; the others do not call it."""
        if self.num_processes == 1:
            return make()
        made = [make() if self.is_first else None]
        dist.broadcast_object_list(made, src=0, device=torch.device("cpu"))
        return made[0]  # type: ignore[return-value]


def split_up(num_gpus: int) -> None:
    """Replace this process by torchrun and one process of the same script for each GPU.

    With fewer GPUs than asked for there are fewer processes, without any just this one.
    """
    take_gpus(num_gpus)
    num_processes = min(num_gpus, torch.cuda.device_count())
    if num_processes < 2 or "LOCAL_RANK" in os.environ:
        return
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    os.execv(sys.executable, [*torchrun, *torchrun_options(num_processes), *sys.argv])


def torchrun_options(num_processes: int) -> list[str]:
    """Options for so many processes on this node, on any free port of loopback: several runs may
    share the node."""
    return [
        f"--nproc-per-node={num_processes}",
        f"--shutdown-timeout={SHUTDOWN_SECONDS}",
        "--local-addr=127.0.0.1",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:0",
    ]


def join() -> Process:
    """This process among those that torchrun started; the only one if it started none."""
    if "LOCAL_RANK" not in os.environ:
        return Process()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    atexit.register(dist.destroy_process_group)
    return Process(dist.get_rank(), dist.get_world_size())


@contextmanager
def noting_sigterm() -> Iterator[list[int]]:
    """A list that is no longer empty once SIGTERM has come; in the block it stops nothing."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)


def ignore_sigterm(_: int = 0) -> None:
    """For processes that augment: SLURM signals them too, and the state is saved without them."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
