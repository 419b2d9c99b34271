"""The analytic approximation on exactly quadratic logits, and against finite differences."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from modelsoups.analyses.approximation import (
    STEP,
    Line,
    agreement,
    approximate,
    approximate_pairs,
    compare_with_ensemble,
    derivatives,
    forward_mode,
    list_pairs,
    loss_curvature,
    variance,
)
from modelsoups.analyses.mixes import ImageSet
from modelsoups.data.class_maps import pool_logits
from modelsoups.evaluation.evaluator import predict
from modelsoups.evaluation.metrics import nll
from modelsoups.weights.average import average
from weight_space import RUN, make_model


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


def quadratic(alpha: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (6, 4) that are quadratic in alpha, with their derivatives."""
    a, b, c = np.random.default_rng(seed).normal(size=(3, 6, 4))
    return a + b * alpha + c * alpha**2, b + 2 * c * alpha, 2 * c


LABELS = np.array([0, 1, 2, 3, 0, 1])


def test_logit_part_is_exact_for_quadratic_logits() -> None:
    # K.3: f_ens - f_soup = alpha (1 - alpha) / 2 f''.
    alpha = 0.3
    soup, _, second = quadratic(alpha)
    ensemble = (1 - alpha) * quadratic(0)[0] + alpha * quadratic(1)[0]
    np.testing.assert_allclose(ensemble - soup, alpha * (1 - alpha) / 2 * second)


@pytest.mark.parametrize("beta", [1.0, 0.7])
def test_curvature_of_the_loss_is_that_of_finite_differences(beta) -> None:
    step = 1e-4
    losses = [nll(beta * quadratic(0.4 + shift)[0], LABELS) for shift in (-step, 0, step)]
    expected = (losses[0] - 2 * losses[1] + losses[2]) / step**2
    assert loss_curvature(*quadratic(0.4), LABELS, beta) == pytest.approx(expected, rel=1e-5)


def test_approximation_approaches_the_truth_as_the_models_do() -> None:
    """Endpoints closer by 10 make the truth smaller by 100, and its error by about 1000."""

    def error(scale: float) -> float:
        rng = np.random.default_rng(1)
        a, b, c = rng.normal(size=(3, 6, 4))
        alpha = 0.5

        def logits(t: float) -> np.ndarray:
            return a + scale * b * t + scale**2 * c * t**2

        soup = logits(alpha), scale * b + 2 * scale**2 * c * alpha, 2 * scale**2 * c
        beside = logits(alpha - STEP), logits(alpha + STEP)
        row = compare_with_ensemble(alpha, soup, beside, logits(0), logits(1), LABELS)[1]
        assert row["differences"] == pytest.approx(row["forward_mode"], rel=0.05)
        return abs(row["forward_mode"] - row["loss_difference"])

    assert error(0.01) < error(0.1) / 300


def test_sign_favours_the_soup_where_the_loss_is_convex() -> None:
    same = np.zeros((2, 3))
    assert approximate(0.5, 2.0, same, same, 1.0) == pytest.approx(-0.25)  # 0.25 / 2 times -2
    # A difference of logits of 3, 0, 0 under equal probabilities: variance 2.
    spread = np.array([[3.0, 0, 0], [3.0, 0, 0]])
    assert approximate(0.5, 0.0, same, spread, 1.0) == pytest.approx(0.25)


def test_variance_by_hand() -> None:
    # Values 0 and 4 with probabilities 1/4 and 3/4: mean 3, variance 9/4 + 3/4 = 3.
    assert variance(np.array([[0.25, 0.75]]), np.array([[0.0, 4.0]])) == pytest.approx([3.0])


@pytest.fixture(scope="module")
def pair():
    """Two sets of weights of a tiny network, and images."""
    torch.manual_seed(0)
    start = make_model().state_dict()
    end = {
        key: value + 0.1 * value.std(correction=0) * torch.randn_like(value)
        if value.is_floating_point() and "running" not in key
        else value
        for key, value in start.items()
    }
    return start, end, np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)


def test_derivatives_along_a_line_of_a_network_are_those_of_finite_differences(pair) -> None:
    start, end, images = pair
    model = make_model()

    def logits(alpha: float) -> np.ndarray:
        model.load_state_dict(average([start, end], [1 - alpha, alpha]))
        return predict(model, images, 4, torch.device("cpu")).astype(np.float64)

    line = Line(make_model(), start, end, images, 3, torch.device("cpu"))  # batches of 3 and 1
    value, first, second = line.derivatives(0.3)
    np.testing.assert_allclose(line.logits(0.3), value, atol=1e-5)
    step = 0.05
    low, middle, high = (logits(0.3 + shift) for shift in (-step, 0, step))
    np.testing.assert_allclose(value, middle, atol=1e-4)
    np.testing.assert_allclose(first, (high - low) / (2 * step), atol=0.02 * np.abs(first).max())
    expected = (high - 2 * middle + low) / step**2
    np.testing.assert_allclose(second, expected, atol=0.1 * np.abs(second).max())


def test_with_a_class_map_derivatives_are_those_of_the_pooled_logits(pair) -> None:
    start, end, images = pair
    class_map = np.array([[2, 0], [1, 1]])  # the larger of classes 2 and 0, and class 1
    device = torch.device("cpu")
    whole = Line(make_model(), start, end, images, 4, device)
    line = Line(make_model(), start, end, images, 4, device, class_map)
    logits, *slopes = whole.derivatives(0.3)
    pooled, *pooled_slopes = line.derivatives(0.3)
    first_class = np.where(logits[:, 2] >= logits[:, 0], 2, 0)
    assert pooled.shape == (4, 2)
    np.testing.assert_array_equal(line.logits(0.3), pool_logits(whole.logits(0.3), class_map))
    for own, found in zip([logits, *slopes], [pooled, *pooled_slopes], strict=True):
        np.testing.assert_array_equal(found[:, 0], own[np.arange(4), first_class])
        np.testing.assert_array_equal(found[:, 1], own[:, 1])


def test_every_pair_alpha_and_dataset_has_a_calibrated_and_a_plain_row(pair) -> None:
    start, end, images = pair
    labels = np.array([0, 1, 2, 0])
    weights = {"a": start, "b": end}
    stored = {}
    for name, tensors in weights.items():
        model = make_model()
        model.load_state_dict(tensors)
        stored[name] = predict(model, images, 4, torch.device("cpu"))
    table = approximate_pairs(
        make_model(),
        weights.__getitem__,
        {"photos": ImageSet(images=images, labels=labels)},
        lambda name, dataset: stored[name],
        [("a", "b", "seed", 1e-3)],
        [0.25, 0.5],
        4,
        torch.device("cpu"),
    )
    assert table[["alpha", "calibrated"]].to_numpy().tolist() == [
        [0.25, True],
        [0.25, False],
        [0.5, True],
        [0.5, False],
    ]
    assert (table.loc[~table["calibrated"], "beta"] == 1).all()
    assert table["error_difference"].nunique() <= 2  # no matter which beta


def test_pairs_are_those_of_the_paper() -> None:
    """K.4: 3 learning rates, 2 levels, 2 seeds and the initialisation make 21 pairs."""
    runs = {}
    for lr in (1e-6, 1e-5, 1e-4):
        for augmentation in ("minimal", "strong"):
            for seed in (0, 1):
                name = f"{len(runs):03d}"
                runs[name] = replace(RUN, lr=lr, augmentation=augmentation, seed=seed)
    spec = {
        "learning_rates": [1e-6, 1e-5, 1e-4],
        "levels": [{"augmentation": "minimal"}, {"augmentation": "strong"}],
        "seeds": [0, 1],
    }
    pairs = list_pairs(spec, runs)
    assert len(set(pairs)) == 21
    kinds = pd.Series([what for _, _, what, _ in pairs]).value_counts().to_dict()
    assert kinds == {"learning rate": 6, "seed": 6, "initialization": 6, "augmentation": 3}
    assert pairs[0] == ("000", "004", "learning rate", 1e-5)
    assert pairs[-1] == ("initialization", "010", "initialization", 1e-4)


def test_agreement_is_correlation_and_sign() -> None:
    points = pd.DataFrame(
        {
            "start": list("aabbcc"),
            "end": list("xxyyzz"),
            "differences": [1.0, 2, 3, -1, -2, 0],
            "loss_difference": [2.0, 4, 6, -2, 4, 0],
        }
    )
    found = agreement(points, "loss_difference", "differences")
    expected = np.corrcoef(points["differences"], points["loss_difference"])[0, 1]
    assert found["correlation"] == pytest.approx(expected)
    assert found["same_sign"] == pytest.approx(4 / 5)  # the last does not count
    assert found["low"] <= found["correlation"] <= found["high"]
