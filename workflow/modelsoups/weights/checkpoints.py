"""Checkpoints: weights in safetensors files, read in parts, written whole, compared by header.

A `Checkpoint` is a file of which only the header has been read; its tensors are read when asked
for, with `pread` into memory that is used again, so that averaging K files takes the memory of
the result alone. (Mapped pages would be as fast, but count as the process's memory.)

Files are read and written here rather than by the safetensors package. Its files are for their
owner alone, whatever the umask; where a process is killed they stay under a random name; and their
metadata come in another order each time, so that equal weights would have different hashes. Else
the bytes are those that it writes.
"""

import errno
import json
import logging
import os
import resource
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch

from modelsoups.base.files import publish, what_is
from modelsoups.weights.torch_files import KINDS, not_tensors

logger = logging.getLogger(__name__)

Weights = dict[str, torch.Tensor]
PREFIX = "model."  # of the own names of a model made elsewhere, in the files of a study

# In the order in which tensors lie in a file: the widest first, so that all are aligned.
DTYPES = {
    "I64": torch.int64,
    "F64": torch.float64,
    "F32": torch.float32,
    "I32": torch.int32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
ALIGNMENT = 8  # bytes, of the header's length

# Where the metadata say which keys share another's tensor. It was "tied" in earlier files, which
# other programs may write for reasons of their own.
TIED, FORMERLY_TIED = "modelsoups.tied", "tied"


class Entry(NamedTuple):
    """What a header tells of a tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    storage: int  # byte offset in the file, or a hash of the address in memory; equal if tied

    @property
    def numel(self) -> int:
        return prod(self.shape)


class Checkpoint:
    """A safetensors file: `entries` by key, and parts of its tensors when asked for."""

    def __init__(self, path: str | Path):
        """Read and check the header.

        Raises:
            ValueError: something else than a safetensors file, a cut one, one that breaks a rule of
                the format, or with a dtype that no soup is made of.
        """
        self.path = Path(path)
        self._fd = _open(path)
        weakref.finalize(self, os.close, self._fd)
        size = os.fstat(self._fd).st_size
        start = b"" if self.path.is_dir() else os.pread(self._fd, 9, 0)
        length = int.from_bytes(start[:8], "little")
        if start[4:] != b"\0\0\0\0{":  # the length of a header, below 4 GiB, and the header
            kind = what_is(path)
            cure = "; of what torch.save wrote give the state dict" if kind in KINDS else ""
            raise ValueError(f"{path}: expected a safetensors file, found {kind}{cure}")
        try:
            if 8 + length > size:
                raise ValueError(_cut(size, 8 + length))
            header = json.loads(os.pread(self._fd, length, 8), object_pairs_hook=_without_repeats)
            self.metadata: dict[str, str] = header.pop("__metadata__", None) or {}
            self.entries = read_entries(header, 8 + length, size)
            for key, other in read_tied(self.metadata, self.entries).items():
                self.entries[key] = self.entries[other]
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not a whole safetensors file: {error}") from error

    def read(self, key: str, start: int, count: int) -> torch.Tensor:
        """`count` elements of a tensor from `start` on, flat."""
        part = torch.empty(count, dtype=self.entries[key].dtype)
        self.read_bytes(key, start, _bytes_of(part))
        return part

    def read_bytes(self, key: str, start: int, view: memoryview) -> None:
        """Fill a view of bytes from element `start` of a tensor on, into those that follow it."""
        entry = self.entries[key]
        offset = entry.storage + start * entry.dtype.itemsize
        while view:
            count = os.preadv(self._fd, [view], offset)
            if not count:
                raise ValueError(f"{self.path}: ends within {key}; it changed while being read")
            view, offset = view[count:], offset + count

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
        self._weights = weights
        self._flat = {key: tensor.detach().reshape(-1) for key, tensor in weights.items()}
        self.entries = {
            key: Entry(
                tensor.dtype,
                tuple(tensor.shape),
                hash((tensor.data_ptr(), tensor.stride())),  # a transposed view is another tensor
            )
            for key, tensor in weights.items()
        }

    def read(self, key: str, start: int, count: int) -> torch.Tensor:
        """`count` elements of a tensor from `start` on, flat, in main memory; copied from a GPU."""
        return self._flat[key][start : start + count].cpu()

    def load(self) -> Weights:
        """All tensors, as they were given."""
        return dict(self._weights)


Source = Checkpoint | InMemory
Model = Mapping[str, torch.Tensor] | str | Path | Source


def items_of(models: Iterable[Model] | Mapping[str, Model]) -> list[tuple[str, Model]]:
    """Each with its name: that of a mapping, or its number in a list.

    Raises:
        ValueError: there is none, or one model stands where several are expected.
    """
    given = list(models.values()) if isinstance(models, Mapping) else []
    if isinstance(models, str | os.PathLike) or any(map(torch.is_tensor, given)):
        raise ValueError(
            "expected a list of state dicts or files, or a mapping that names them, found one "
            f"{'state dict' if given else f'file ({models})'}; put it in a list"
        )
    pairs = models.items() if isinstance(models, Mapping) else enumerate(models)
    if not (items := [(str(name), model) for name, model in pairs]):
        raise ValueError("expected ingredients, found none")
    return items


def open_source(weights: Model, name: str) -> Source:
    """Weights in memory, or those of a safetensors file; what is open already stays as it is.

    Args: name: of weights in memory, for errors.
    Raises:
        ValueError: it is none of these.
    """
    if isinstance(weights, Source):
        return weights
    if isinstance(weights, str | os.PathLike):
        return Checkpoint(weights)
    if not isinstance(weights, Mapping):
        raise ValueError(
            f"{name}: expected a state dict or a safetensors file, found {type(weights).__name__}; "
            "give a model's `state_dict()`"
        )
    if others := not_tensors(weights):
        raise ValueError(
            f"{name}: expected a state dict (names with a tensor each), found {others}; give the "
            "part that holds the weights"
        )
    if odd := [
        f"{key} ({tensor.dtype}, {tensor.layout})"
        for key, tensor in weights.items()
        if tensor.layout != torch.strided or (tensor.is_floating_point() and tensor.itemsize < 2)
    ]:
        raise ValueError(
            f"{name}: expected dense tensors, and floats of 16 bits or more, found "
            f"{', '.join(odd[:4])}; give them as such (`.to_dense()`, `.float()`)"
        )
    return InMemory(name, weights)


def read_whole(source: Source, key: str) -> torch.Tensor:
    entry = source.entries[key]
    return source.read(key, 0, entry.numel).view(entry.shape)


def read_each(
    sources: Iterable[Source], key: str, start: int, row: torch.Tensor
) -> Iterator[torch.Tensor]:
    """A row (width,) that at each step has elements of the next source's tensor, from `start`
    on."""
    memory = _bytes_of(row)
    for source in sources:
        _fill(source, key, start, row, memory)
        yield row


def read_rows(sources: Sequence[Source], key: str, start: int, block: torch.Tensor) -> None:
    """Fill a block (num_sources, width) with elements of a tensor of each, from `start` on."""
    for source, row in zip(sources, block, strict=True):
        _fill(source, key, start, row, _bytes_of(row))


def _bytes_of(row: torch.Tensor) -> memoryview:
    return row.view(torch.uint8).numpy().data


def _fill(source: Source, key: str, start: int, row: torch.Tensor, memory: memoryview) -> None:
    if isinstance(source, Checkpoint) and source.entries[key].dtype == row.dtype:
        source.read_bytes(key, start, memory)
    else:
        row.copy_(source.read(key, start, len(row)))


def read_weights(path: str | Path) -> Weights:
    """Read all tensors of a safetensors file; tied keys share one."""
    return Checkpoint(path).load()


def load(weights: Model) -> Weights:
    """Weights as they are, or all tensors of their file."""
    return open_source(weights, "the weights").load()


def write_weights(
    path: str | Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write weights as safetensors, atomically; tied tensors once. Metadata are stored as JSON.

    The same weights and metadata give the same bytes. Of the weights no second copy is made.

    Raises:
        ValueError: a dtype that no file holds.
    """
    tied = find_tied(InMemory(str(path), weights).entries)
    text = {key: json.dumps(value) for key, value in (metadata or {}).items()}
    if tied:
        text[TIED] = json.dumps(tied)
    own = {key: tensor.detach() for key, tensor in weights.items() if key not in tied}
    if unknown := [f"{key} ({t.dtype})" for key, t in own.items() if t.dtype not in NAMES]:
        raise ValueError(f"{path}: expected tensors of {[*DTYPES]}, found {', '.join(unknown)}")
    order = sorted(own, key=lambda key: ([*NAMES].index(own[key].dtype), key))
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **text}}
    start = 0
    for key in order:
        stop = start + own[key].nbytes
        header[key] = {
            "dtype": NAMES[own[key].dtype],
            "shape": [*own[key].shape],
            "data_offsets": [start, stop],
        }
        start = stop
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % ALIGNMENT)
    with publish(path) as draft, open(draft, "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for key in order:
            file.write(own[key].cpu().contiguous().view(-1).view(torch.uint8).numpy().data)


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


def read_entries(header: Mapping[str, Any], begin: int, size: int) -> dict[str, Entry]:
    """The tensors of a safetensors file of `size` bytes, which begin at byte `begin`.

    Raises:
        ValueError: names a tensor that breaks a rule of the format: it has no shape, its bytes are
            not as many as that takes, or the bytes of all do not lie side by side without gaps.
    """
    entries, spans = {}, []
    for key, info in header.items():
        try:
            name, shape, (start, stop) = info["dtype"], tuple(info["shape"]), info["data_offsets"]
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{key} has no dtype, shape and data_offsets but {json.dumps(info)[:80]}"
            ) from None
        if name not in NAMES.values():
            raise ValueError(f"{key} has dtype {name}, not one of {[*DTYPES]}")
        if not all(isinstance(number, int) and number >= 0 for number in (*shape, start, stop)):
            raise ValueError(
                f"{key} has shape {[*shape]} and data_offsets {[start, stop]}; expected integers "
                "from 0 on"
            )
        entry = Entry(DTYPES[name], shape, begin + start)
        if stop - start != entry.numel * entry.dtype.itemsize:
            raise ValueError(f"{key} takes {stop - start} bytes, which is not its shape")
        entries[key] = entry
        spans.append((start, stop, key))
    end, before = 0, "the header"
    for start, stop, key in sorted(spans):
        if start != end:
            what = "begins within" if start < end else "leaves a gap after"
            raise ValueError(f"{key} (data_offsets {[start, stop]}) {what} {before}")
        end, before = stop, key
    if begin + end > size:
        raise ValueError(_cut(size, begin + end))
    if begin + end < size:
        raise ValueError(f"it has {size:,} bytes, its header says {begin + end:,}")
    return entries


def read_tied(metadata: Mapping[str, str], entries: Mapping[str, Entry]) -> dict[str, str]:
    """Each key that shares another's tensor -> that one, from a file's metadata.

    What earlier files call `tied` counts only if it can hardly be anything else: names without a
    tensor, each of them with the name of a tensor in this file.

    Raises:
        ValueError: the project's own entry does not fit the tensors.
    """
    if not isinstance(metadata, Mapping):
        raise ValueError(f"its metadata are {metadata!r:.80}, not a mapping")
    name = TIED if TIED in metadata else FORMERLY_TIED
    try:
        tied = json.loads(metadata.get(name, "{}"))
        fits = tied.keys().isdisjoint(entries) and all(key in entries for key in tied.values())
    except (ValueError, TypeError, AttributeError):
        fits = False
    if name == TIED and not fits:
        raise ValueError(f"its metadata {TIED} = {metadata[TIED][:80]!r} do not fit its tensors")
    return tied if fits else {}


def _open(path: str | Path) -> int:
    """A descriptor of a file; where no more may be open, as many as the system lets this process
    have: a pool may be larger than the usual limit of 1,024, or 256."""
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if error.errno != errno.EMFILE or limit == most:
            raise
    higher = 4 * limit if most == resource.RLIM_INFINITY else min(4 * limit, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (higher, most))
    return os.open(path, os.O_RDONLY)


def _cut(size: int, expected: int) -> str:
    return f"it is cut ({size:,} bytes, its header says {expected:,}); copy or download it again"


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The mapping of a JSON object, whose keys must differ."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)} stands there twice")
    return mapping


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
