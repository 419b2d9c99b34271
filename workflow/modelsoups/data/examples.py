"""Examples: what models read, in whatever form a task has them.

Nothing after this knows what an example is: models take what `batch` gives, and recipes, scores and
analyses see outputs and labels alone. A task of another kind adds a class with these methods, and
an entry in `modelsoups.data.tasks`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from modelsoups.data.specs import ViewSpec
from modelsoups.data.views import ViewOnRead

if TYPE_CHECKING:  # steps that list and decode images do without torch
    import torch


class Examples(Protocol):
    """The examples of a data set, in its order."""

    def __len__(self) -> int: ...

    def batch(self, indices: np.ndarray) -> "torch.Tensor":
        """What a model of the task takes for these examples, on the device of the examples.

        Args: indices: (b,) integers in any order, perhaps with repeats.
        """
        ...

    def shapes(self, indices: np.ndarray) -> np.ndarray:
        """A number (b,) for each of these examples: the same for those of one shape."""
        ...

    def take(self, indices: np.ndarray) -> "Examples":
        """These examples alone, in this order."""
        ...

    def to(self, device: "torch.device") -> "Examples":
        """The examples held on a device, so that no batch is copied there."""
        ...


class TrainingExamples(Protocol):
    """The examples of a training set, read one at a time in any order, as augmentation takes them.

    Those of a view's array are an array of pixels.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Any: ...


class Images:
    """Images at a view, memory-mapped, in memory, on a GPU, or decoded whenever they are read."""

    def __init__(self, pixels: "np.ndarray | ViewOnRead | torch.Tensor"):
        """pixels: (n, H, W, 3) uint8."""
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: np.ndarray) -> "torch.Tensor":
        """Images (b, 3, H, W) uint8, channels last in memory."""
        import torch

        if isinstance(self.pixels, torch.Tensor):
            images = self.pixels[torch.from_numpy(indices).to(self.pixels.device)]
        else:
            images = torch.from_numpy(np.asarray(self.pixels[indices]))
        return images.permute(0, 3, 1, 2)

    def shapes(self, indices: np.ndarray) -> np.ndarray:
        """Zeros (b,): a view gives all images one shape."""
        return np.zeros(len(indices), int)

    def take(self, indices: np.ndarray) -> "Images":
        """These images alone, in memory."""
        return Images(self.pixels[indices])

    def to(self, device: "torch.device") -> "Images":
        """The images on a GPU, where they take less than half of its free memory.

        For a CPU they stay where they are, memory-mapped if they were. What is decoded whenever it
        is read stays so: such sets are too large to be held.
        """
        import torch

        if device.type == "cpu" or isinstance(self.pixels, ViewOnRead):
            return self
        if device.type == "cuda" and self.pixels.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
            return self
        held = self.pixels
        held = held if isinstance(held, torch.Tensor) else torch.from_numpy(np.array(held))
        return Images(held.to(device))


def open_examples(
    path: str | Path, view: ViewSpec | None = None, column: str = "image", threads: int = 1
) -> Images:
    """The images of a view's array (`images.npy`), or of an index (`.parquet`) at a view.

    Those of an index are decoded whenever they are read.

    Args:
        view, column, threads: of an index; as in `views.decode`.
    Raises:
        ValueError: an index is to be read without a view.
    """
    if Path(path).suffix == ".npy":
        return Images(np.load(path, mmap_mode="r"))
    if view is None:
        raise ValueError(f"{path}: an index of images needs a view")
    return Images(ViewOnRead(pd.read_parquet(path), view, column, threads))
