"""Search spaces written as data, and the runs drawn from them (paper Appendix J.2.1).

Imported while Snakemake parses the workflow: standard library only.
"""

import glob
import itertools
import os
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

AUGMENTATION = re.compile(r"minimal|medium|strong|rand-m\d+-n\d+")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """The hyper-parameters of one run; all of them, so that the record tells the whole story."""

    seed: int
    lr: float  # AdamW's peak learning rate
    weight_decay: float
    epochs: int
    label_smoothing: float  # in [0, 1)
    mixup: float  # alpha of the Beta distribution of mixup; 0 is off
    augmentation: str  # minimal, medium, strong, or rand-m<M>-n<N>
    min_crop: (
        float  # smallest share of the area a random crop keeps (minimal keeps 0.9); paper 0.08
    )
    batch_size: int
    warmup_steps: int  # steps of linear warm-up, before the cosine
    clip_norm: float  # gradients are scaled down to this norm

    def __post_init__(self):
        if not AUGMENTATION.fullmatch(self.augmentation):
            raise ValueError(
                f"run: augmentation {self.augmentation!r} is none of minimal, medium, strong, "
                "rand-m<M>-n<N>"
            )
        positive = {"lr": self.lr, "epochs": self.epochs, "clip_norm": self.clip_norm}
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"run: {name} must be positive, got {value}")
        if not 0 < self.min_crop <= 1:
            raise ValueError(f"run: min_crop must be in (0, 1], got {self.min_crop}")
        if not 0 <= self.label_smoothing < 1 or self.mixup < 0 or self.weight_decay < 0:
            raise ValueError(
                "run: expected 0 <= label_smoothing < 1, mixup >= 0, weight_decay >= 0, got "
                f"{self.label_smoothing}, {self.mixup}, {self.weight_decay}"
            )
        if self.batch_size < 2 or self.batch_size % 2:
            raise ValueError(f"run: batch_size must be even (mixup pairs), got {self.batch_size}")


@dataclass(frozen=True, kw_only=True)
class CheckpointSpec:
    """A run that exists already: its file, and where it can be downloaded from."""

    file: str  # may begin with $VARIABLE
    url: str | None = None


# `Random.random()` is the one method whose stream Python guarantees across versions, so every
# distribution is written as a function of one or more of its values in [0, 1).


def draw(space: Any, rng: random.Random) -> Any:
    """One value of a search space.

    A space is a constant (number, string) or a mapping with one of the keys
    `uniform: [low, high]`, `log_uniform: [low, high]`, `integer: [low, high]` (both ends included),
    `choice: [space, ...]` (with optional `probabilities: [...]`), or
    `randaugment: {magnitude: space, num_ops: space}` (a timm policy name such as "rand-m9-n2").

    Raises:
        ValueError: the mapping is none of these.
    """
    match space:
        case {"uniform": [low, high]}:
            return low + (high - low) * rng.random()
        case {"log_uniform": [low, high]}:
            return low * (high / low) ** rng.random()
        case {"integer": [low, high]}:
            return low + int((high - low + 1) * rng.random())
        case {"choice": list(options)}:
            probabilities = space.get("probabilities", [1 / len(options)] * len(options))
            remaining = rng.random()
            for option, probability in zip(options, probabilities, strict=True):
                remaining -= probability
                if remaining < 0:
                    return draw(option, rng)
            return draw(options[-1], rng)  # rounding left a sliver above the last option
        case {"randaugment": {"magnitude": magnitude, "num_ops": num_ops}}:
            return f"rand-m{draw(magnitude, rng)}-n{draw(num_ops, rng)}"
        case Mapping():
            raise ValueError(
                f"unknown search space {dict(space)}; allowed: uniform, log_uniform, integer, "
                "choice, randaugment (see config/README.md)"
            )
        case constant:
            return constant


def random_search(space: Mapping[str, Any], num_runs: int, seed: int) -> list[dict[str, Any]]:
    """Independent draws of every hyper-parameter, in the order of `space` (Appendix J.2.1).

    The stream is sequential: a search with more runs begins with the same ones. A run whose
    space names no `seed` gets its own number.
    """
    rng = random.Random(seed)
    return [
        {"seed": number, **{name: draw(space[name], rng) for name in space}}
        for number in range(num_runs)
    ]


def grid_search(axes: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """Every combination of the axes' values, the last axis varying fastest (Appendix J.2.1)."""
    combinations = itertools.product(*axes.values())
    return [{"seed": 0, **dict(zip(axes, values, strict=True))} for values in combinations]


def expand_files(files: str | list[str]) -> list[str]:
    """The files of a list, of a pattern with a range as in `model_{0..71}.pt`, or with `*`.

    A range needs no file to be there. Files of a `*` are sorted with numbers by value.

    Raises:
        ValueError: no file matches a `*`.
    """
    if not isinstance(files, str):
        return list(files)
    if found := re.search(r"\{(\d+)\.\.(\d+)\}", files):
        first, last = map(int, found.groups())
        before, after = files[: found.start()], files[found.end() :]
        return [f"{before}{number}{after}" for number in range(first, last + 1)]
    if "*" not in files:
        return [files]
    folder = os.path.dirname(files)
    names = [os.path.basename(path) for path in glob.glob(os.path.expandvars(files))]
    if not names:
        raise ValueError(f"files: nothing matches {files} (here: {os.path.expandvars(files)})")
    names.sort(key=lambda name: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", name)])
    return [os.path.join(folder, name) for name in names]


def list_checkpoints(sweep: Mapping[str, Any]) -> dict[str, CheckpointSpec]:
    """The models of a sweep of `kind: checkpoints`: name -> its file.

    Runs are named by their place among the files ("000", "001", ...). The file that
    `initialization` names is the model "initialization" and no run; others keep their numbers.

    Raises:
        ValueError: no files match, or `initialization` is none of them.
    """
    files = expand_files(sweep["files"])
    start = sweep.get("initialization")
    if start not in (None, *files):
        raise ValueError(f"initialization: {start} is none of the {len(files)} files")
    return {
        "initialization" if file == start else f"{number:03d}": CheckpointSpec(
            file=file, url=f"{sweep['url']}/{os.path.basename(file)}" if "url" in sweep else None
        )
        for number, file in enumerate(files)
    }


def list_runs(sweep: Mapping[str, Any]) -> dict[str, RunSpec]:
    """The runs of a sweep: run name ("000", "001", ...) -> its hyper-parameters.

    Args:
        sweep: the sweep's config, with `finetune` (values shared by all runs) and one of
            `random: {space, num_runs, seed}` or `grid: {name: [values]}`.
    Raises:
        ValueError: a hyper-parameter is unknown, missing, given twice, or out of its range.
    """
    shared = sweep["finetune"]
    varied = sweep["random"]["space"] if "random" in sweep else sweep["grid"]
    known = {field.name for field in fields(RunSpec)}
    found = {"seed", *shared, *varied}
    if found != known or shared.keys() & varied.keys():
        raise ValueError(
            f"hyper-parameters: unknown {sorted(found - known)}, missing {sorted(known - found)}, "
            f"given twice {sorted(shared.keys() & varied.keys())}; a run has {sorted(known)}"
        )
    drawn = random_search(**sweep["random"]) if "random" in sweep else grid_search(varied)
    return {f"{number:03d}": RunSpec(**shared, **run) for number, run in enumerate(drawn)}
