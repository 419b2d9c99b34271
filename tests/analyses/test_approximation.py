"""The analytic approximation on exactly quadratic logits, and against finite differences."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from modelsoups.analyses import approximation
from modelsoups.analyses.approximation import (
    STEP,
    Line,
    agreement,
    approximate,
    approximate_pairs,
    compare_with_ensemble,
    derivatives,
    forward_mode,
    gain_of_calibration,
    list_pairs,
    loss_curvature,
    variance,
    without_failed,
)
from modelsoups.data.class_maps import pool_logits
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.evaluation.failures import write_no_logits
from modelsoups.evaluation.logits import read_logits
from modelsoups.evaluation.metrics import nll
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import read_weights
from weight_space import RUN, Killed, interrupted, make_evaluator, make_model, resumed


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


PAIRS = [("000", "001", "seed", 1e-3), ("initialization", "002", "initialization", 1e-2)]


@pytest.fixture(scope="module")
def approximated(files, logits, photos):
    """From parts to the table of two pairs on four images."""
    four = replace(photos, examples=photos.examples.take(np.arange(4)), labels=photos.labels[:4])

    def run(parts=None) -> pd.DataFrame:
        return approximate_pairs(
            make_evaluator(),
            lambda name: read_weights(files[name]),
            [four],
            lambda name, dataset: read_logits(logits[dataset][name]).logits[:4],
            PAIRS,
            [0.5],
            parts,
        )

    return run


@pytest.fixture(scope="module")
def table(approximated):
    return approximated()


def test_every_pair_has_a_calibrated_and_a_plain_row(table) -> None:
    assert table[["start", "end", "calibrated"]].to_numpy().tolist() == [
        [start, end, calibrated] for start, end, *_ in PAIRS for calibrated in (True, False)
    ]
    assert (table.loc[~table["calibrated"], "beta"] == 1).all()
    assert (table.groupby("end")["error_difference"].nunique() == 1).all()  # whichever beta


def test_after_a_kill_the_finished_pairs_are_not_evaluated_again(
    approximated, table, monkeypatch, tmp_path
) -> None:
    along, made = approximation.approximate_along, []

    def counted(*args):
        made.append(args)
        return along(*args)

    monkeypatch.setattr(approximation, "approximate_along", counted)
    with pytest.raises(Killed):
        approximated(interrupted(tmp_path / "rows", 1))
    del made[:]
    again = approximated(resumed(tmp_path / "rows"))
    pd.testing.assert_frame_equal(again, table, check_exact=True)
    assert len(made) == 1


def test_pairs_of_runs_that_failed_and_were_skipped_are_left_out(logits, tmp_path) -> None:
    failed = tmp_path / "failed.parquet"
    write_no_logits(failed, "loss is NaN", {})
    stored = {**logits["photos"], "001": failed}
    assert without_failed(PAIRS, stored) == PAIRS[1:]
    with pytest.raises(ValueError, match="pairs of models that did not fail, found none of 1"):
        without_failed(PAIRS[:1], stored)


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
    table = pd.DataFrame(
        {
            "start": list("aabbcc"),
            "end": list("xxyyzz"),
            "differences": [1.0, 2, 3, -1, -2, 0],
            "loss_difference": [2.0, 4, 6, -2, 4, 0],
        }
    )
    found = agreement(table, "loss_difference", "differences")
    expected = np.corrcoef(table["differences"], table["loss_difference"])[0, 1]
    assert found.correlation.value == pytest.approx(expected)
    assert found.same_sign.value == pytest.approx(4 / 5 - 0.5)  # the last does not count
    assert found.correlation.low <= found.correlation.value <= found.correlation.high
    assert (found.n, found.num_pairs) == (6, 3)


def test_gain_of_calibration_is_of_two_correlations() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    rows = {"start": [f"{i:03d}" for i in range(40)], "end": "x", "differences": x}
    clear = pd.DataFrame({**rows, "calibrated": True, "truth": x + 0.1 * rng.normal(size=40)})
    noisy = pd.DataFrame({**rows, "calibrated": False, "truth": x + 2 * rng.normal(size=40)})
    found = gain_of_calibration(pd.concat([clear, noisy]), "truth", "differences")
    assert found.low > 0
    same = pd.concat([clear, clear.assign(calibrated=False)])
    assert gain_of_calibration(same, "truth", "differences").value == 0


def test_true_differences_are_of_all_images_and_derivatives_of_a_sample(
    files, logits, photos
) -> None:
    def run(max_images=None) -> pd.DataFrame:
        return approximate_pairs(
            make_evaluator(),
            lambda name: read_weights(files[name]),
            [photos],
            lambda name, dataset: read_logits(logits[dataset][name]).logits,
            PAIRS[:1],
            [0.5],
            max_images=max_images,
        )

    whole, sampled = run(), run(3)
    assert sampled["num_derived"].tolist() == [3, 3] and sampled["n"].tolist() == [8, 8]
    for truth in ("beta", "loss_difference", "error_difference"):
        np.testing.assert_allclose(sampled[truth], whole[truth], rtol=1e-4, atol=1e-6)
    assert not np.allclose(sampled["forward_mode"], whole["forward_mode"], rtol=1e-3)
