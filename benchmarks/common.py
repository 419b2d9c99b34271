"""What the benchmarks share: the machine in a line, and runs in processes of their own."""

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

# Of torch, in every process that is measured. With as many as there are cores, threads that wait
# for one another by spinning take twenty times as long once anything else runs.
THREADS = 1


class Run(NamedTuple):
    """What a function returned in a process of its own, and what it took there."""

    result: Any
    seconds: float
    peak_mib: float  # largest resident memory, above that of the process with its imports


def machine() -> str:
    """Processor, cores, load and versions, in a line."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {device}; "
        f"torch {torch.__version__}, {THREADS} thread; load {os.getloadavg()[0]:.1f}"
    )


def forward_flop(model: torch.nn.Module, image: torch.Tensor) -> int:
    """FLOP of one image's forward pass: two for each product that is summed.

    In training mode, since fused operations of evaluation count as none; a training step takes
    three times as many. Args: image: (1, 3, height, width).
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.train()(image)
    return counter.get_total_flops()


def run_alone(function: Callable, *args: Any) -> Run:
    """Call a module's function in a new process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sender, function, args))
    process.start()
    sender.close()
    run = Run(*receiver.recv())
    process.join()
    return run


def _measure(sender: Connection, function: Callable, args: Sequence[Any]) -> None:
    torch.set_num_threads(THREADS)
    # A process that was spawned spawns its own, and each worker of a DataLoader would import torch
    # anew: ten seconds a pass that no script has.
    multiprocessing.set_start_method("fork", force=True)
    before = memory_mib("VmRSS")
    start = time.perf_counter()
    result = function(*args)
    seconds = time.perf_counter() - start
    sender.send((result, seconds, memory_mib("VmHWM") - before))


def memory_mib(field: str) -> float:
    """A field of this process in /proc, such as VmRSS or VmHWM, in MiB."""
    # Not getrusage: its maximum includes the process this one was started from.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**10


def alternate(functions: dict[str, Callable[[], Run]], repeats: int) -> dict[str, list[Run]]:
    """Runs of each function in turn, so that other load on the machine falls on all of them."""
    runs: dict[str, list[Run]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            runs[name].append(function())
    return runs


def median_seconds(runs: Sequence[Run]) -> float:
    """Median of the runs' times."""
    return statistics.median(run.seconds for run in runs)


def median_ratio(slow: Sequence[Run], fast: Sequence[Run]) -> float:
    """Median of the ratios of times of neighbouring runs."""
    pairs = zip(slow, fast, strict=True)
    return statistics.median(s.seconds / f.seconds for s, f in pairs)
