"""Sweeps whose models exist already: their files, by list, range, pattern or folder.

Imported while Snakemake parses the workflow: standard library only.
"""

import glob
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelsoups.base.paths import expanded
from modelsoups.study.search import INITIALIZATION

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pth.tar", ".tar")
# Weights in a folder of their own, with their config: of transformers, timm and open_clip.
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WEIGHTS_NAMES = (
    *("model.safetensors", "pytorch_model.bin"),
    *("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    *("adapter_model.safetensors", "adapter_model.bin"),
)
BESIDE = ("config.json", "preprocessor_config.json", "adapter_config.json")
# What training writes beside weights.
NO_WEIGHTS = re.compile(
    r"(optimizer|scheduler|scaler|sampler|dl_state_dict|training_args|rng_state|random_states)"
)
COPIES = ("last", "model_best", "best")  # other names that timm and others have for a checkpoint


@dataclass(frozen=True, kw_only=True)
class CheckpointSpec:
    """A model that exists already: its file, and where it can be downloaded from."""

    file: str  # may begin with $VARIABLE or ~
    url: str | None = None
    sha256: str | None = None  # of the file, if it is known


def expand_files(files: str | list[str]) -> list[str]:
    """The files of a list, of a pattern with a range as in `model_{0..71}.pt`, or with `*`.

    A range needs no file to be there; zeros in front of its first number are kept
    (`model_{00..71}.pt`). Files of a `*`, which may stand in a folder's name too, are sorted with
    numbers by value.

    Raises:
        ValueError: no file matches a `*`, or a range runs backwards.
    """
    if not isinstance(files, str):
        return list(files)
    if found := re.search(r"\{(\d+)\.\.(\d+)\}", files):
        first, last = found.groups()
        if int(first) > int(last):
            raise ValueError(f"files: the range in {files} runs backwards")
        width = len(first) if first.startswith("0") else 0
        before, after = files[: found.start()], files[found.end() :]
        return [f"{before}{number:0{width}d}{after}" for number in range(int(first), int(last) + 1)]
    if "*" not in files:
        return [files]
    # What stands before the first `*` is kept as written, with its variables.
    written = os.path.dirname(files[: files.index("*")])
    fixed = expanded(written)
    names = glob.glob(expanded(files))
    if not names:
        raise ValueError(f"files: nothing matches {files} (here: {expanded(files)})")
    names.sort(key=_by_numbers)
    return [os.path.join(written, os.path.relpath(name, fixed or ".")) for name in names]


def find_models(source: str | list[str]) -> list[str]:
    """The models of a folder, of a pattern, or of a list of both: files, or folders with a config.

    Of a folder these are its subfolders that hold a model (a Trainer's `checkpoint-*`, or one
    folder a run), or else its files of weights. One file under several names (timm's `last` and
    `model_best`) is there once. Sorted, with numbers by value.

    Raises:
        ValueError: there is none, or a subfolder with several files that might be meant.
    """
    if not isinstance(source, str):
        return list(dict.fromkeys(each for item in source for each in find_models(item)))
    models = [
        found
        for path in expand_files(source)
        for found in (_inside(path) if os.path.isdir(expanded(path)) else [path])
    ]
    first: dict[tuple[int, int], str] = {}
    for path in sorted(models, key=lambda path: _stem(path) in COPIES):
        if os.path.exists(resolved := expanded(path)):
            status = os.stat(resolved)
            first.setdefault((status.st_dev, status.st_ino), path)
        else:
            first[(-1, len(first))] = path
    kept = set(first.values())
    return [path for path in models if path in kept]


def _inside(folder: str) -> list[str]:
    """The models in a folder that was named as it is."""
    here = expanded(folder)
    names = sorted(os.listdir(here), key=_by_numbers)
    below = [
        found
        for name in names
        if os.path.isdir(os.path.join(here, name))
        if (found := _model_in(os.path.join(folder, name)))
    ]
    if below:
        return below
    if own := [name for name in names if name in (*INDEXES, *WEIGHTS_NAMES)]:
        return [folder if os.path.exists(f"{here}/config.json") else os.path.join(folder, own[0])]
    if files := [os.path.join(folder, name) for name in names if _is_weights(name)]:
        return files
    raise ValueError(
        f"{folder}: no model in it; expected files that end in {', '.join(SUFFIXES)}, or folders "
        "with such a file each"
    )


def _model_in(folder: str) -> str | None:
    """The one model that a subfolder holds, if it holds any."""
    here = expanded(folder)
    names = sorted(os.listdir(here))
    weights = [name for name in names if _is_weights(name)]
    if {"config.json", "adapter_config.json"} & {*names} and (weights or {*INDEXES} & {*names}):
        return folder
    if len(weights) > 1:
        raise ValueError(
            f"{folder}: several files might be meant ({', '.join(weights[:5])}); give a pattern "
            f"that says which, as {os.path.dirname(folder)}/*/{weights[0]}"
        )
    return os.path.join(folder, weights[0]) if weights else None


def _is_weights(name: str) -> bool:
    return name.endswith(SUFFIXES) and not NO_WEIGHTS.match(name) and not name.startswith(".")


def name_models(paths: Sequence[str], taken: Collection[str] = ()) -> dict[str, str]:
    """A name for each model, made of what differs between their paths -> path.

    `runs/lr-1/model.safetensors` and `runs/lr-2/model.safetensors` are `lr-1` and `lr-2`. Names
    have small letters, digits and `-`; before one that is taken stands `run-`.
    """
    parts = [_without_suffix(path).split(os.sep) for path in paths]
    if len({len(each) for each in parts}) > 1:  # of several depths: from where they part on
        depth = next(i for i, column in enumerate(zip(*parts, strict=False)) if len({*column}) > 1)
        parts = [["-".join(each[depth:])] for each in parts]
    differing = [i for i, column in enumerate(zip(*parts, strict=True)) if len({*column}) > 1]
    names: dict[str, str] = {}
    for each, path in zip(parts, paths, strict=True):
        words = "-".join(each[i] for i in differing or [len(each) - 1])
        name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "model"
        name = f"run-{name}" if name in taken else name
        while name in names:
            name += "-again"
        names[name] = path
    return names


def watched_files(path: str) -> list[str]:
    """The files of a model that are read, so that a replaced one is noticed."""
    path = expanded(path)
    if os.path.isdir(path):
        inside = sorted(os.listdir(path))
        read = [name for name in inside if _is_weights(name) or name in (*INDEXES, *BESIDE)]
        return [os.path.join(path, name) for name in read]
    return [path]


def _without_suffix(path: str) -> str:
    suffix = max((each for each in SUFFIXES if path.endswith(each)), key=len, default="")
    return path.removesuffix(suffix)


def _stem(path: str) -> str:
    return os.path.basename(_without_suffix(path))


def _by_numbers(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def list_checkpoints(sweep: Mapping[str, Any]) -> dict[str, CheckpointSpec]:
    """The models of a sweep of `kind: checkpoints`: name -> its file.

    Files that the sweep names have these names. Of others, runs are named by their place among the
    files ("000", "001", ...); the file that `initialization` names is the model "initialization"
    and no run, others keep their numbers.

    Raises:
        ValueError: no files match, or `initialization` is none of them.
    """
    if isinstance(sweep["files"], Mapping):
        return {name: CheckpointSpec(file=file) for name, file in sweep["files"].items()}
    files = expand_files(sweep["files"])
    start = sweep.get("initialization")
    if start not in (None, *files):
        raise ValueError(f"initialization: {start} is none of the {len(files)} files")
    known = sweep.get("sha256", {})
    if strange := known.keys() - {os.path.basename(file) for file in files}:
        raise ValueError(f"sha256: {sorted(strange)} are names of none of the {len(files)} files")
    return {
        INITIALIZATION if file == start else f"{number:03d}": CheckpointSpec(
            file=file,
            url=f"{sweep['url']}/{os.path.basename(file)}" if "url" in sweep else None,
            sha256=known.get(os.path.basename(file)),
        )
        for number, file in enumerate(files)
    }
