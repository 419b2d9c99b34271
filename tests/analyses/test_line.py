"""Derivatives along a line, by hand, of layers and of a network against finite differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from modelsoups.analyses.line import Line, derivatives, forward_mode
from modelsoups.data.class_maps import pool_logits
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import read_weights
from weight_space import make_evaluator, make_model


def test_derivatives_of_a_cubic() -> None:
    # 2 + 3a + 4a^2 + 5a^3 at 0.5: 5.125 ; 3 + 8a + 15a^2 = 10.75 ; 8 + 30a = 23.
    value, first, second = derivatives(lambda a: 2 + 3 * a + 4 * a**2 + 5 * a**3, 0.5)
    assert (float(value), float(first), float(second)) == (5.125, 10.75, 23)


@pytest.mark.parametrize(
    "layer",
    [
        nn.SiLU(),
        nn.GELU(),
        nn.Hardswish(),
        nn.GroupNorm(2, 4),
        nn.LayerNorm(8),
        nn.MultiheadAttention(8, 2, batch_first=True),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_second_derivative_of_a_layer_is_that_of_finite_differences(layer) -> None:
    torch.manual_seed(0)
    layer = layer.double().eval()
    x, direction = torch.randn(2, 3, 4, 8, dtype=torch.float64)

    def f(a: torch.Tensor) -> torch.Tensor:
        moved = x + a * direction
        if isinstance(layer, nn.MultiheadAttention):
            return layer(moved, moved, moved, need_weights=False)[0]
        return layer(moved)

    with torch.no_grad():
        with forward_mode():
            _, _, second = derivatives(f, 0.1)
        step = 1e-3
        low, middle, high = (f(torch.tensor(0.1 + shift)) for shift in (-step, 0, step))
    expected = (low - 2 * middle + high) / step**2
    torch.testing.assert_close(second.double(), expected, atol=1e-3, rtol=1e-3)


@pytest.fixture(scope="module")
def line_of(files):
    """From a data set, and a batch size, to the line between two runs."""
    start, end = read_weights(files["initialization"]), read_weights(files["003"])

    def line(each, batch_size: int = 4) -> Line:
        return Line(Evaluator(make_model(), batch_size=batch_size), start, end, each)

    return line


def test_derivatives_along_a_line_of_a_network_are_those_of_finite_differences(
    files, line_of, photos
) -> None:
    evaluator = make_evaluator()

    def logits(alpha: float) -> np.ndarray:
        ends = [files["initialization"], files["003"]]
        evaluator.pour(average(ends, [1 - alpha, alpha]))
        return evaluator.logits(photos).astype(np.float64)

    line = line_of(photos, batch_size=3)  # batches of 3, 3 and 2
    value, first, second = line.derivatives(0.3)
    np.testing.assert_allclose(line.logits(0.3), value, atol=1e-5)
    step = 0.05
    low, middle, high = (logits(0.3 + shift) for shift in (-step, 0, step))
    np.testing.assert_allclose(value, middle, atol=1e-4)
    np.testing.assert_allclose(first, (high - low) / (2 * step), atol=0.02 * np.abs(first).max())
    expected = (high - 2 * middle + low) / step**2
    np.testing.assert_allclose(second, expected, atol=0.1 * np.abs(second).max())


def test_with_a_class_map_derivatives_are_those_of_the_pooled_logits(line_of, photos) -> None:
    class_map = np.array([[2, 0], [1, 1]])  # the larger of classes 2 and 0, and class 1
    whole, line = line_of(photos), line_of(replace(photos, class_map=class_map))
    logits, *slopes = whole.derivatives(0.3)
    pooled, *pooled_slopes = line.derivatives(0.3)
    first_class = np.where(logits[:, 2] >= logits[:, 0], 2, 0)
    assert pooled.shape == (8, 2)
    np.testing.assert_array_equal(line.logits(0.3), pool_logits(whole.logits(0.3), class_map))
    for own, found in zip([logits, *slopes], [pooled, *pooled_slopes], strict=True):
        np.testing.assert_array_equal(found[:, 0], own[np.arange(8), first_class])
        np.testing.assert_array_equal(found[:, 1], own[:, 1])


def test_line_through_weights_without_finite_logits_is_an_error(files, photos) -> None:
    weights = read_weights(files["000"])
    far = {**weights, "head.weight": torch.full_like(weights["head.weight"], torch.inf)}
    line = Line(make_evaluator(), weights, far, photos)
    with pytest.raises(ValueError, match=r"photos: at alpha = 0.5 8 of 8 examples have logits"):
        line.logits(0.5)
