"""Weights as other libraries store them: where they are in a file or folder, and what that says.

Names, dtypes and the division into files stay the library's, so that a soup can be written in the
same form. What is not weights (optimisers, schedulers, an average where not asked for) is left
aside, and told of.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from modelsoups.base.files import read_json
from modelsoups.study.checkpoints import INDEXES, SUFFIXES, WEIGHTS_NAMES
from modelsoups.weights.checkpoints import (
    Checkpoint,
    InMemory,
    Source,
    Weights,
    find_tied,
    read_whole,
)
from modelsoups.weights.torch_files import not_tensors, read_torch

# Entries of torch files that hold weights, as timm, torchvision, Lightning and common loops call
# them; those that hold a running average count only where they are asked for.
PARTS = ("state_dict", "model", "model_state_dict", "model_state", "module", "net", "weights")
AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One model, as it lies in a file or a folder."""

    path: Path
    sources: Mapping[str, Source]  # file name -> its tensors under their own names; several: shards
    part: str | None = None  # entry of a torch file that holds them; None: all of it
    said: Mapping[str, Any] = field(default_factory=dict)  # what else the file or folder has
    left_aside: Sequence[str] = ()  # entries that are no weights of the model

    @property
    def folder(self) -> Path | None:
        """The folder that is the model's own, with its config; None for a file alone."""
        return self.path if self.path.is_dir() else None

    @property
    def entries(self) -> dict[str, Any]:
        """Name -> dtype and shape."""
        return {key: entry for each in self.sources.values() for key, entry in each.entries.items()}

    def load(self, names: Iterable[str]) -> Weights:
        """Tensors of these names; those that share one in the file share it."""
        weights: Weights = {}
        wanted = set(names)
        for source in self.sources.values():
            tied = find_tied(source.entries)
            for key in source.entries:
                if key in wanted:
                    first = tied.get(key, key)
                    if first not in weights:
                        weights[first] = read_whole(source, first)
                    weights[key] = weights[first]
        return {key: weights[key] for key in weights if key in wanted}


def open_stored(path: str | Path, part: str | None = None) -> Stored:
    """The model in a file or folder; of its tensors nothing is read yet.

    Args:
        path: a safetensors or torch file, or a folder as transformers and timm write them: perhaps
            shards with their index, and `config.json`. A file with one of the usual names stands
            for the folder if that has a config.
        part: entry of a torch file that holds the weights, where there are several.
    Raises:
        ValueError: no weights are there, or several that might be meant; names them.
    """
    path = Path(path)
    if path.name in WEIGHTS_NAMES and (path.parent / "config.json").exists():
        path = path.parent
    if path.is_dir():
        return _open_folder(path)
    if path.suffix == ".safetensors":
        return Stored(path=path, sources={path.name: Checkpoint(path)})
    content = read_torch(path)
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{path}: expected a state dict, found an object of type {type(content).__name__}; "
            "save `model.state_dict()`"
        )
    return _open_mapping(path, content, part)


def _open_folder(folder: Path) -> Stored:
    if (folder / "adapter_config.json").exists():
        raise ValueError(
            f"{folder}: an adapter of PEFT, not a model; averaging the factors of adapters is not "
            "averaging the adapters. Merge each into its base model first, as `snakemake soup` "
            "does with those of transformers, or by `model.merge_and_unload().save_pretrained(...)`"
        )
    names = [name for name in (*INDEXES, *WEIGHTS_NAMES) if (folder / name).exists()]
    if not names:
        raise ValueError(f"{folder}: expected weights, found none of {', '.join(WEIGHTS_NAMES)}")
    name = names[0]
    files = [name]
    if name in INDEXES:
        files = sorted(set(read_json(folder / name)["weight_map"].values()))
        if missing := [each for each in files if not (folder / each).exists()]:
            raise ValueError(f"{folder}: {name} names files that are not there: {missing}")
    config = folder / "config.json"
    inside = {each.name for each in folder.iterdir() if each.name.endswith(SUFFIXES)}
    return Stored(
        path=folder,
        sources={each: open_file(folder / each) for each in files},
        said=read_json(config) if config.exists() else {},
        left_aside=sorted(inside - {*files}),
    )


def open_file(path: Path) -> Source:
    """The tensors of a file that holds nothing else."""
    if path.suffix == ".safetensors":
        return Checkpoint(path)
    content = read_torch(path)
    if not isinstance(content, Mapping) or (others := not_tensors(content)):
        raise ValueError(f"{path}: expected tensors alone, found {others or type(content)}")
    return InMemory(str(path), content)


def _open_mapping(path: Path, content: Mapping[str, Any], part: str | None) -> Stored:
    """The weights in the mapping that a torch file holds."""
    if part is None and not not_tensors(content):
        return Stored(path=path, sources={path.name: InMemory(str(path), content)})
    parts = {
        str(key): value
        for key, value in content.items()
        if isinstance(value, Mapping) and value and _is_weights(value)
    }
    usual = [key for key in PARTS if key in parts]
    found = part or (usual[0] if len(usual) == 1 else None)
    if found not in parts:
        known = sorted(parts.keys() & {*PARTS, *AVERAGES}) or sorted(parts) or "none"
        raise ValueError(
            f"{path}: expected weights under one of {', '.join(PARTS)}"
            f"{f', or under {part!r} as asked for' if part else ''}; entries with tensors alone "
            f"are {known}; say which by `part`"
        )
    weights = {key: value for key, value in parts[found].items() if torch.is_tensor(value)}
    return Stored(
        path=path,
        sources={path.name: InMemory(str(path), weights)},
        part=found,
        said={key: _plain(value) for key, value in content.items() if key not in parts},
        left_aside=sorted(str(key) for key in content.keys() - {found}),
    )


def _is_weights(value: Mapping[Any, Any]) -> bool:
    """Whether a mapping is a state dict; one number that an average counts by is let pass."""
    tensors = sum(torch.is_tensor(each) for each in value.values())
    return tensors > 0 and tensors >= len(value) - 1 and all(isinstance(k, str) for k in value)


def _plain(value: Any) -> Any:
    return vars(value) if isinstance(value, argparse.Namespace) else value


def fit_names(
    names: Iterable[str], wanted: Iterable[str], prefix: str | None = None
) -> dict[str, str]:
    """Name that a model has for a tensor -> name that a file has for it.

    A file may have one more beginning before all names: a wrapper's (`module.`, `_orig_mod.`), or
    the attribute that holds the model (Lightning). Of several that fit, one that is of a running
    average (`ema`) is left aside.

    Args:
        prefix: that beginning, where several fit.
    Raises:
        ValueError: none fits; names what is missing of the nearest, and what is too much.
    """
    there, needed = set(names), list(wanted)
    probe = max(needed, key=len)
    found = {name.removesuffix(probe) for name in there if name.endswith(probe)} | {""}
    if prefix is not None:
        found = {prefix}
    found = {each for each in found if not each or each.endswith(".")} or {""}
    fitting = [each for each in sorted(found) if all(each + k in there for k in needed)]
    chosen = [each for each in fitting if "ema" not in each.lower()] or fitting
    if len(chosen) > 1:
        raise ValueError(f"several models fit, under {chosen}; say which by `prefix`")
    if not chosen:
        nearest = max(found, key=lambda each: sum(each + key in there for key in needed))
        missing = [nearest + key for key in needed if nearest + key not in there]
        known = {nearest + key for key in needed}
        more = sorted(name for name in there if name not in known)
        raise ValueError(
            f"it lacks {len(missing)} of the model's {len(needed)} tensors: "
            f"{', '.join(missing[:4])}{', ...' if len(missing) > 4 else ''}"
            + (f"; it has others: {', '.join(more[:4])}" if more else "")
        )
    return {key: chosen[0] + key for key in needed}


def check_shapes(
    stored: Stored, names: Mapping[str, str], expected: Mapping[str, torch.Tensor]
) -> None:
    """Raise a ValueError that names every tensor whose shape is not the model's.

    Args: names: of `fit_names`. expected: the model's own state dict.
    """
    entries = stored.entries
    wrong = [
        f"{name} has shape {tuple(entries[name].shape)}, expected {tuple(expected[key].shape)}"
        for key, name in names.items()
        if tuple(entries[name].shape) != tuple(expected[key].shape)
    ]
    if wrong:
        raise ValueError(f"{'; '.join(wrong[:4])} ({len(wrong)} in all)")


def needed_of(expected: Mapping[str, torch.Tensor], there: Iterable[str]) -> list[str]:
    """Names of a model that a file must have: of tied ones, those that are there or else the first.

    Args: expected: the model's state dict, with memory of its own. there: names in the file.
    """
    tied = find_tied(InMemory("the model", expected).entries)
    found = set(there)

    def has(key: str) -> bool:
        return any(name == key or name.endswith(f".{key}") for name in found)

    groups: dict[str, list[str]] = {}
    for key in expected:
        groups.setdefault(tied.get(key, key), []).append(key)
    return [key for keys in groups.values() for key in ([k for k in keys if has(k)] or keys[:1])]
