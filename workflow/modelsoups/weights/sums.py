"""Float64 sums of weights that grow, kept out of main memory."""

import tempfile
import weakref
from collections.abc import Iterator, Mapping
from itertools import accumulate
from math import prod

import torch
from torch import Tensor


class Sums:
    """A float64 tensor a key: in a GPU's memory, or of a CPU in a file without a name (in TMPDIR).

    The file is as large as two models in float32. What is written to it stays in the system's cache
    as long as there is memory to spare.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], device: torch.device):
        """Nothing is there yet. Args: shapes: of every tensor that may be put."""
        sizes = [8 * prod(shape) for shape in shapes.values()]
        self._starts = dict(zip(shapes, accumulate(sizes, initial=0), strict=False))
        self._shapes = shapes
        self._held: dict[str, Tensor] = {}  # on a GPU
        self._file = None
        if device.type == "cpu":
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
            weakref.finalize(self, self._file.close)  # however the job ends
        self._there: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._there

    def put(self, key: str, total: Tensor) -> None:
        """Replace the tensor of a key. Args: total: float64, on the device."""
        self._there.add(key)
        if self._file is None:
            self._held[key] = total
            return
        self._file.seek(self._starts[key])
        self._file.write(total.contiguous().view(-1).numpy().data)

    def get(self, key: str) -> Tensor:
        """The tensor of a key, on the device."""
        if self._file is None:
            return self._held[key]
        total = torch.empty(self._shapes[key], dtype=torch.float64)
        self._file.seek(self._starts[key])
        self._file.readinto(total.view(-1).numpy().data.cast("B"))
        return total

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Keys and tensors, one after the other."""
        return ((key, self.get(key)) for key in self._shapes if key in self._there)

    def close(self) -> None:
        """Give memory and file back."""
        self._held = {}
        if self._file is not None:
            self._file.close()
