"""Angles and planes in weight space (paper Sec. 3.2, Figures 2 and 3, Appendix J.1).

All that is needed of the runs' weights are the inner products of their displacements from the
initialisation, a small matrix, made in one pass tensor by tensor.
"""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from modelsoups.weights.checkpoints import (
    Checkpoint,
    Entry,
    Source,
    check_alike,
    find_tied,
    read_rows,
)
from modelsoups.weights.layers import layer_of

Group = TypeVar("Group", bound=Hashable)
BLOCK = 2**24  # elements of all models together that are read at a time


def is_repeated_weight(key: str, entry: Entry) -> bool:
    """Whether a tensor counts for angles: a matrix or kernel of a numbered, repeated block.

    "We use the repeated weights which constitute the majority of the network parameters. We ignore
    gain terms" (Appendix J.1): no embedding, no head, no vector.
    """
    numbered = any(part.isdigit() for part in key.split("."))
    return numbered and layer_of(key) not in ("embedding", "head") and len(entry.shape) >= 2


def displacement_products(
    start: str | Path,
    models: Sequence[str | Path],
    counts: Callable[[str, Entry], bool] = lambda key, entry: True,
) -> np.ndarray:
    """Inner products of the models' displacements from `start`: (k, k) float64.

    Tied tensors, which are one parameter, count once.

    Args: files of weights; counts: whether a floating tensor counts, from its key and header.
    Raises: ValueError if keys or shapes differ, or no tensor counts.
    """
    products = products_by_group(
        [Checkpoint(path) for path in models],
        lambda key, entry: "counts" if counts(key, entry) else None,
        Checkpoint(start),
    )
    if not products:
        keys = list(Checkpoint(start).entries)
        raise ValueError(f"{start}: expected tensors that count, found none among {keys}")
    return products["counts"]


def products_by_group(
    models: Sequence[Source],
    group_of: Callable[[str, Entry], Group | None],
    start: Source | None = None,
) -> dict[Group, np.ndarray]:
    """Inner products within each group of tensors: (k, k) float64.

    Args:
        group_of: from a floating tensor's key and header to its group; None: it does not count.
        start: the products are those of displacements from it, or of the weights themselves.
    Raises: ValueError if keys or shapes differ.
    """
    sources = [*models] if start is None else [start, *models]
    common = check_alike(sources)
    tied = find_tied(common)
    products: dict[Group, np.ndarray] = {}
    for key, entry in common.items():
        if not entry.dtype.is_floating_point or key in tied:
            continue
        if (group := group_of(key, entry)) is None:
            continue
        total = products.setdefault(group, np.zeros((len(models), len(models))))
        width = max(1, BLOCK // len(sources))
        for begin in range(0, entry.numel, width):
            end = min(begin + width, entry.numel)
            block = torch.empty(len(sources), end - begin, dtype=torch.float64)
            read_rows(sources, key, begin, block)
            rows = block.numpy()
            if start is not None:
                rows = rows[1:] - rows[0]
            total += rows @ rows.T  # of (k, end - begin)
    return products


def angle(products: np.ndarray, first: int, second: int) -> float:
    """Angle in degrees between two displacements, from their inner products."""
    lengths = np.sqrt(products[first, first] * products[second, second])
    return float(np.degrees(np.arccos(np.clip(products[first, second] / lengths, -1, 1))))


def plane_coordinates(products: np.ndarray) -> np.ndarray:
    """Coordinates of the start and two models in the orthonormal basis of their plane: (3, 2).

    The first axis points to the first model; the second, orthogonal to it, to the side of the
    other (as Garipov et al. 2018).

    Args: products: (2, 2) inner products of the models' displacements.
    Raises: ValueError if the three lie on a line.
    """
    length = np.sqrt(products[0, 0])
    along = products[0, 1] / length if length else 0.0
    across = products[1, 1] - along**2
    if not length or across <= 1e-12 * products[1, 1]:
        raise ValueError("expected three models that span a plane, found three on a line")
    return np.array([[0, 0], [length, 0], [along, np.sqrt(across)]])


def plane_coefficients(corners: np.ndarray, mix: Sequence[float]) -> np.ndarray:
    """Coefficients (3,) of start, first and second model in a mix; they sum to one.

    Args: corners: (3, 2) of `plane_coordinates`. mix: (2,) in the same basis.
    """
    second = mix[1] / corners[2, 1]
    first = (mix[0] - second * corners[2, 0]) / corners[1, 0]
    return np.array([1 - first - second, first, second])


def plane_grid(corners: np.ndarray, resolution: int, margin: float = 0.3) -> np.ndarray:
    """Mixes on a grid around the corners: (resolution^2, 2), x varying fastest.

    Args: margin: beyond the corners' box, as a fraction of its larger side.
    """
    low, high = corners.min(axis=0), corners.max(axis=0)
    room = margin * (high - low).max()
    x, y = (np.linspace(a - room, b + room, resolution) for a, b in zip(low, high, strict=True))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
