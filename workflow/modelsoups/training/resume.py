"""The state that an interrupted run goes on from."""

import logging
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZipFile

import torch

from modelsoups.base.files import publish
from modelsoups.models.devices import Precision
from modelsoups.training.processes import Process

logger = logging.getLogger(__name__)


class Stateful(Protocol):
    """A part of a run that goes on: its model, its optimiser, how far it is, and so on."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


@dataclass
class Progress:
    """How far a run is."""

    epoch: int = 0
    step: int = 0  # of this epoch
    loss: float = 0.0  # sum over the steps of this epoch
    curve: list[dict[str, float]] = field(default_factory=list)
    precision: Precision = "auto"  # chosen when the run began; a run that goes on keeps it

    def next_epoch(self, row: dict[str, float]) -> None:
        """Add a row to the curve and begin an epoch."""
        self.epoch, self.step, self.loss = self.epoch + 1, 0, 0.0
        self.curve.append(row)

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        if state.keys() != vars(self).keys():
            raise KeyError(f"expected {sorted(vars(self))}, found {sorted(state)}")
        vars(self).update(state)


def save_state(path: Path, identity: Mapping[str, Any], parts: Mapping[str, Stateful]) -> None:
    """Write what a run needs to go on, atomically."""
    states = {name: part.state_dict() for name, part in parts.items()}
    with publish(path) as draft:
        torch.save({"identity": dict(identity), **states}, draft)


def load_state(
    path: Path,
    identity: Mapping[str, Any],
    parts: Mapping[str, Stateful],
    process: Process = Process(),  # noqa: B008
) -> bool:
    """Put the parts of the same run back to what was saved, and say whether they are.

    Without a file, with one of another run, or with one that is cut or does not fit, in any of the
    run's processes, the parts of all of them are left as they were: the run starts anew.

    Raises:
        OSError: the file is there and cannot be opened; another attempt may succeed.
    """
    if any(process.any(not path.exists())):
        return False
    before = {name: deepcopy(part.state_dict()) for name, part in parts.items()}
    problem = _load(path, identity, parts)
    if not any(process.any(problem is not None)):
        return True
    for name, part in parts.items():
        part.load_state_dict(before[name])
    logger.warning("%s %s; starting anew", path, problem or "fails in another process")
    return False


def _load(path: Path, identity: Mapping[str, Any], parts: Mapping[str, Stateful]) -> str | None:
    """Restore the parts; or say why not, with parts that may be half restored."""
    with open(path, "rb") as file:
        try:
            if damaged := ZipFile(file).testzip():  # torch itself compares no check sums
                return f"is damaged ({damaged})"
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
            if state["identity"] != identity:
                return "belongs to another run (spec or inputs differ)"
            for name, part in parts.items():
                part.load_state_dict(state[name])
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # zip, pickle, torch: anything, if a file is cut or foreign
            return f"cannot be gone on from ({type(error).__name__}: {error})"
    return None
