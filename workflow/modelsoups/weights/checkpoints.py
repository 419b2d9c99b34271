"""Checkpoints: weights in safetensors files, read in parts, written whole, compared by header.

A `Checkpoint` is a file of which only the header has been read; its tensors are read when asked
for, with `pread` into a buffer that is used again, so that averaging K files takes the memory of
the result alone. (Mapped pages would be as fast, but count as the process's memory.)
"""

import json
import logging
import os
import struct
import weakref
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file

from modelsoups.base.files import publish

logger = logging.getLogger(__name__)

Weights = dict[str, torch.Tensor]

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class Entry(NamedTuple):
    """What a header tells of a tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    place: int  # byte offset in the file, or a hash of the place in memory; equal if tied

    @property
    def numel(self) -> int:
        return prod(self.shape)


class Checkpoint:
    """A safetensors file: `entries` by key, and parts of its tensors when asked for."""

    def __init__(self, path: str | Path):
        """Read and check the header.

        Raises:
            ValueError: not safetensors, cut, or with a dtype that no soup is made of.
        """
        self.path = Path(path)
        self._fd = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._fd)
        size = os.fstat(self._fd).st_size
        try:
            (length,) = struct.unpack("<Q", os.pread(self._fd, 8, 0))
            header = json.loads(os.pread(self._fd, min(length, size), 8))
            self.metadata: dict[str, str] = header.pop("__metadata__", {})
            begin, end = 8 + length, 8 + length
            self.entries: dict[str, Entry] = {}
            for key, info in header.items():
                start, stop = info["data_offsets"]
                if info["dtype"] not in DTYPES:
                    raise ValueError(f"{key} has dtype {info['dtype']}, not one of {[*DTYPES]}")
                entry = Entry(DTYPES[info["dtype"]], tuple(info["shape"]), begin + start)
                if stop - start != entry.numel * entry.dtype.itemsize:
                    raise ValueError(f"{key} takes {stop - start} bytes, which is not its shape")
                self.entries[key] = entry
                end = max(end, begin + stop)
            if end != size:
                raise ValueError(f"it has {size:,} bytes, its header says {end:,}")
            for key, other in json.loads(self.metadata.get("tied", "{}")).items():
                self.entries[key] = self.entries[other]
        except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise ValueError(
                f"{path}: not a whole safetensors file ({error}); copy or make it again"
            ) from error

    def read(self, key: str, start: int, stop: int, buffer: torch.Tensor) -> torch.Tensor:
        """Elements start..stop of a tensor, flat, in `buffer` (of its dtype, long enough)."""
        entry = self.entries[key]
        part = buffer[: stop - start]
        view = part.view(torch.uint8).numpy().data
        offset = entry.place + start * entry.dtype.itemsize
        while view:
            count = os.preadv(self._fd, [view], offset)
            if not count:
                raise ValueError(f"{self.path}: ends within {key}; it changed while being read")
            view, offset = view[count:], offset + count
        return part

    def load(self) -> Weights:
        """All tensors; tied keys share one."""
        tied = find_tied(self.entries)
        weights: Weights = {}
        for key in self.entries:
            weights[key] = weights[tied[key]] if key in tied else read_whole(self, key)
        return weights


class InMemory:
    """Weights in memory, read as a `Checkpoint` is."""

    def __init__(self, name: str, weights: Mapping[str, torch.Tensor]):
        self.path = name
        self._flat = {key: tensor.detach().reshape(-1) for key, tensor in weights.items()}
        self.entries = {
            key: Entry(
                tensor.dtype,
                tuple(tensor.shape),
                hash((tensor.data_ptr(), tensor.stride())),  # a transposed view is another tensor
            )
            for key, tensor in weights.items()
        }

    def read(self, key: str, start: int, stop: int, buffer: torch.Tensor) -> torch.Tensor:
        """Elements start..stop of a tensor, flat; the buffer stays unused."""
        return self._flat[key][start:stop]


Source = Checkpoint | InMemory


def read_whole(source: Source, key: str) -> torch.Tensor:
    entry = source.entries[key]
    buffer = torch.empty(entry.numel, dtype=entry.dtype)
    return source.read(key, 0, entry.numel, buffer).view(entry.shape)


def read_weights(path: str | Path) -> Weights:
    """Read all tensors of a safetensors file; tied keys share one."""
    return Checkpoint(path).load()


def write_weights(
    path: str | Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write weights as safetensors, atomically; tied tensors once. Metadata are stored as JSON."""
    tied = find_tied(InMemory(str(path), weights).entries)
    own = {key: tensor.contiguous() for key, tensor in weights.items() if key not in tied}
    text = {key: json.dumps(value) for key, value in (metadata or {}).items()}
    if tied:
        text["tied"] = json.dumps(tied)
    with publish(path) as draft:
        save_file(own, draft, metadata={"format": "pt", **text})


def write_run(path: str | Path, weights: Mapping[str, torch.Tensor], failure: str | None) -> None:
    """Write a run's weights or, if it failed and is skipped, no tensor and the reason."""
    if failure is None:
        write_weights(path, weights)
    else:
        write_weights(path, {}, {"failure": failure})


def why_no_weights(path: str | Path) -> str | None:
    """The reason why a run failed, from its file of weights; None if it did not."""
    text = Checkpoint(path).metadata.get("failure")
    return None if text is None else json.loads(text)


def find_tied(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Each key that shares its tensor with an earlier one -> that one."""
    first: dict[tuple, str] = {}
    tied = {}
    for key, entry in entries.items():
        if entry.numel and (other := first.setdefault(entry, key)) != key:
            tied[key] = other
    return tied


def check_alike(sources: Sequence[Source]) -> dict[str, Entry]:
    """The keys, shapes and dtypes of all sources, from their headers, which must agree.

    Raises:
        ValueError: they differ; names every offending key of every source.
    """
    first = sources[0]
    common = dict(first.entries)
    problems, promoted = [], set()
    for source in sources[1:]:
        found = []
        for key in first.entries.keys() - source.entries.keys():
            found.append(f"{key} is missing")
        for key, entry in source.entries.items():
            wanted = first.entries.get(key)
            if wanted is None:
                found.append(f"{key} is not expected")
            elif entry.shape != wanted.shape:
                found.append(f"{key} has shape {entry.shape}, expected {wanted.shape}")
            elif entry.dtype != common[key].dtype:
                if entry.dtype.is_floating_point and wanted.dtype.is_floating_point:
                    dtype = torch.promote_types(entry.dtype, common[key].dtype)
                    common[key] = common[key]._replace(dtype=dtype)
                    promoted.add(key)
                else:
                    found.append(f"{key} is {entry.dtype}, expected {wanted.dtype}")
        ties, wanted_ties = find_tied(source.entries), find_tied(first.entries)
        for key in sorted((ties.keys() | wanted_ties.keys()) & common.keys()):
            if ties.get(key) != wanted_ties.get(key):
                found.append(
                    f"{key} is tied to {ties.get(key, 'nothing')}, "
                    f"expected {wanted_ties.get(key, 'nothing')}"
                )
        if found:
            problems.append(f"\n  {source.path}: {'; '.join(sorted(found))}")
    if problems:
        raise ValueError(
            f"{len(problems)} of {len(sources)} weights do not fit those of {first.path}; "
            f"were all fine-tuned from one model with one head?{''.join(problems)}"
        )
    if promoted:
        logger.warning(
            "%s: several floating dtypes; the widest is kept", ", ".join(sorted(promoted))
        )
    return common
