"""How far a study is, from the files that its jobs leave: readable while they run."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Literal

from modelsoups.base.files import read_json

State = Literal["waiting", "running", "stopped", "failed", "done"]

# What fine-tuning logs at the end of each epoch.
EPOCH = re.compile(r" epoch (\d+)/\d+: loss (\S+), (\d+) images/s$", re.MULTILINE)
RESUMED = re.compile(r" going on from .*: epoch (\d+), step \d+$", re.MULTILINE)
ENDED = re.compile(r" CRITICAL failed$", re.MULTILINE)
TOLD = re.compile(r"\bTerminated\b|^KeyboardInterrupt")  # to end: by SIGTERM, by Ctrl-C
QUIET = 3600  # seconds after which a log that nobody ends is of a job that was killed


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """How far a run is."""

    sweep: str
    run: str
    state: State
    epochs: int  # that it has in all
    epochs_done: int = 0
    images_per_second: float = 0.0  # over its epochs so far, all its processes together
    loss: float = float("nan")  # mean over the last epoch
    processes: int = 1
    reason: str = ""  # of a run that failed or was stopped


def read_run(
    sweep: str, run: str, epochs: int, record: Path, log: Path, now: float | None = None
) -> RunStatus:
    """How far a run is, from its record or, before there is one, the log of its last attempt.

    A job that ends in an error is `failed`, one that was told to end or has been silent for an hour
    is `stopped`: both go on when they are started again.

    Args:
        now: seconds since the epoch; the time of the call if left out.
    """
    begun = RunStatus(sweep=sweep, run=run, state="waiting", epochs=epochs)
    if record.exists():
        made = read_json(record)
        curve = made.get("curve", [])
        return replace(
            begun,
            state="failed" if made.get("failure") else "done",
            epochs_done=len(curve),
            images_per_second=_harmonic([row["images_per_second"] for row in curve]),
            loss=curve[-1]["loss"] if curve else float("nan"),
            processes=made.get("processes", 1),
            reason=made.get("failure") or "",
        )
    try:
        text = log.read_text(encoding="utf-8")
        silent = (time.time() if now is None else now) - log.stat().st_mtime
    except OSError:
        return begun
    found = EPOCH.findall(text)
    resumed = RESUMED.search(text)  # the log of an earlier attempt is gone
    before = int(resumed[1]) - 1 if resumed else 0
    reason = ""
    state: State = "running"
    if ENDED.search(text):
        reason = text.rstrip().rpartition("\n")[2]
        state = "stopped" if TOLD.search(reason) else "failed"
    elif silent > QUIET:
        reason, state = f"silent for {silent / 3600:.0f} hours", "stopped"
    return replace(
        begun,
        state=state,
        epochs_done=int(found[-1][0]) if found else before,
        images_per_second=_harmonic([float(speed) for _, _, speed in found]),
        loss=float(found[-1][1]) if found else float("nan"),
        reason=reason,
    )


def _harmonic(speeds: Sequence[float]) -> float:
    """The speed over epochs of as many images each; 0 of none."""
    return len(speeds) / sum(1 / speed for speed in speeds) if speeds and min(speeds) > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class SweepStatus:
    """How far a sweep is: number of runs by state, and time."""

    counts: Mapping[State, int]
    epochs: int
    epochs_done: int
    images_per_second: float  # of one run; 0 if none has ended an epoch
    hours_spent: float  # of jobs, each on as many GPUs as it has; lost attempts are not counted
    hours_left: float  # likewise, at that speed


def sum_up(
    runs: Iterable[RunStatus], num_images: int, images_per_second: float = 0.0
) -> SweepStatus:
    """A sweep from its runs.

    Args:
        num_images: of an epoch.
        images_per_second: guess for a sweep none of whose runs has ended an epoch.
    """
    runs = list(runs)
    counts: dict[State, int] = {}
    for run in runs:
        counts[run.state] = counts.get(run.state, 0) + 1
    seen = [run for run in runs if run.images_per_second]
    seconds = [run.epochs_done * num_images / run.images_per_second for run in seen]
    done = sum(run.epochs_done for run in seen)
    speed = done * num_images / sum(seconds) if seconds else 0.0
    left = sum(run.epochs - run.epochs_done for run in runs if run.state not in ("done", "failed"))
    return SweepStatus(
        counts=counts,
        epochs=sum(run.epochs for run in runs),
        epochs_done=sum(run.epochs_done for run in runs),
        images_per_second=speed,
        hours_spent=sum(seconds) / 3600,
        hours_left=left * num_images / (speed or images_per_second) / 3600,
    )


def to_text(
    study: str,
    sweeps: Mapping[str, SweepStatus],
    runs: Sequence[RunStatus],
    files: Mapping[str, tuple[int, int]],
    now: float | None = None,
) -> str:
    """The status in print.

    Args:
        files: what else the study makes -> how many of how many are there.
    """
    states: tuple[State, ...] = ("done", "running", "waiting", "stopped", "failed")
    rows = [
        ["sweep", *states, "epochs", "images/s", "hours spent", "left"],
        *(
            [
                name,
                *(str(sweep.counts.get(state, 0)) for state in states),
                f"{sweep.epochs_done}/{sweep.epochs}",
                f"{sweep.images_per_second:,.0f}" if sweep.images_per_second else "-",
                f"{sweep.hours_spent:,.2f}",
                f"{sweep.hours_left:,.2f}",
            ]
            for name, sweep in sweeps.items()
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines += [f"{what}: {there} of {wanted}" for what, (there, wanted) in files.items()]
    for run in runs:
        if run.state in ("running", "stopped", "failed"):
            loss = f", loss {run.loss:.4f}" if not isnan(run.loss) else ""
            where = f"{run.epochs_done} of {run.epochs} epochs{loss}"
            why = f"; {run.reason}" if run.reason else ""
            lines.append(f"{run.state}: {run.sweep} {run.run}, {where}{why}")
    running = sum(run.state == "running" for run in runs)
    left = sum(sweep.hours_left for sweep in sweeps.values())
    if running and left:
        hours = left / running
        end = time.localtime((time.time() if now is None else now) + 3600 * hours)
        lines.append(
            f"With {running} at a time the runs are done in {hours:,.2f} hours, at "
            f"{time.strftime('%H:%M on %d %B', end)}."
        )
    return "\n".join([f"Status of the study: {study}", *lines])
