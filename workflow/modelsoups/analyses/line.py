"""The logits of a network along the line between two sets of weights, and their derivatives.

By nested forward-mode differentiation, exact at one point of the line (Section 4, Appendix K.3).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from modelsoups.data.class_maps import pool_alike, pool_logits
from modelsoups.evaluation.evaluator import EvaluationSet, Evaluator
from modelsoups.weights.checkpoints import Weights

Logits = Callable[[torch.Tensor], torch.Tensor]  # alpha (scalar) -> logits (b, C)


def derivatives(f: Logits, alpha: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """f and its first and second derivative at alpha, by forward mode over forward mode."""
    at, one = torch.tensor(alpha), torch.tensor(1.0)
    values, slopes = jvp(lambda a: jvp(f, (a,), (one,)), (at,), (one,))  # type: ignore[misc]
    return values[0], values[1], slopes[1]


class WrittenOut(TorchFunctionMode):
    """Writes out operations whose second forward derivative torch 2.13 lacks or has wrong.

    It has none of SiLU, and for layer norm another value than finite differences find
    (tests/analyses/test_line.py).
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.silu:
            return args[0] * torch.sigmoid(args[0])
        if func is F.layer_norm:
            return layer_norm(*args, **kwargs)
        return func(*args, **kwargs)


@contextmanager
def forward_mode() -> Iterator[None]:
    """Where nested forward mode works: layers written out, attention without fused kernels."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), WrittenOut():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5) -> torch.Tensor:
    """Layer norm, written out."""
    axes = tuple(range(-len(normalized_shape), 0))
    centred = x - x.mean(axes, keepdim=True)
    scaled = centred * torch.rsqrt((centred * centred).mean(axes, keepdim=True) + eps)
    scaled = scaled if weight is None else scaled * weight
    return scaled if bias is None else scaled + bias


class Line:
    """The logits of a model on a data set, along the line between two sets of weights."""

    def __init__(self, evaluator: Evaluator, start: Weights, end: Weights, each: EvaluationSet):
        """evaluator: has the model, its device and batch size; its own weights are not used."""
        self._model, self._device = evaluator.model, evaluator.device
        self._batch_size, self._each = evaluator.batch_size, each
        self._start = {key: value.to(self._device) for key, value in start.items()}
        self._step = {
            key: end[key].to(self._device) - value
            for key, value in self._start.items()
            if value.is_floating_point() and not end[key].equal(start[key])
        }

    @torch.no_grad()
    def logits(self, alpha: float) -> np.ndarray:
        """Logits (n, T) float32 at (1 - alpha) start + alpha end."""
        at = torch.tensor(alpha)
        logits = np.concatenate([f(at).cpu().numpy() for f in self._batches()])
        self._check_finite(alpha, logits)
        class_map = self._each.class_map
        return logits if class_map is None else pool_logits(logits, class_map)

    @torch.no_grad()
    def derivatives(self, alpha: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits at alpha and their first and second derivative in alpha: (n, T) float32 each."""
        with forward_mode():
            parts = [derivatives(f, alpha) for f in self._batches()]
        value, slope, curvature = (
            torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True)
        )
        self._check_finite(alpha, value, slope, curvature)
        if self._each.class_map is not None:
            value, slope, curvature = pool_alike(value, self._each.class_map, slope, curvature)
        return value, slope, curvature

    def _batches(self) -> Iterator[Logits]:
        indices = np.arange(len(self._each.labels))
        for first in range(0, len(indices), self._batch_size):
            batch = self._each.examples.batch(indices[first : first + self._batch_size])
            yield partial(self._forward, batch.to(self._device))

    def _check_finite(self, alpha: float, *found: np.ndarray) -> None:
        broken = ~np.all([np.isfinite(array).all(axis=1) for array in found], axis=0)
        if broken.any():
            raise ValueError(
                f"{self._each.dataset}: at alpha = {alpha:g} {broken.sum()} of {len(broken)} "
                "examples have logits or derivatives that are NaN or infinite, the first is row "
                f"{broken.argmax()}; take pairs of models that are closer together"
            )

    def _forward(self, batch: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        weights = {
            key: value + alpha * self._step[key] if key in self._step else value
            for key, value in self._start.items()
        }
        return functional_call(self._model, weights, (batch,))
