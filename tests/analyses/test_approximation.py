"""The analytic approximation on exactly quadratic logits, and against finite differences."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from modelsoups.analyses import approximation
from modelsoups.analyses.approximation import (
    STEP,
    agreement,
    approximate,
    approximate_pairs,
    compare_with_ensemble,
    gain_of_calibration,
    list_pairs,
    loss_curvature,
    variance,
    without_failed,
)
from modelsoups.evaluation.failures import write_no_logits
from modelsoups.evaluation.logits import read_logits
from modelsoups.evaluation.metrics import nll
from modelsoups.weights.checkpoints import read_weights
from weight_space import RUN, Killed, interrupted, make_evaluator, resumed


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


def test_pairs_that_share_models_are_no_independent_evidence() -> None:
    """All pairs of seven models, whose two columns are sums of the models' own, not correlated:
    resampled pairs are wrong in a quarter of the cases."""
    pairs = list(combinations(range(7), 2))
    wrong = 0
    for seed in range(40):
        own = np.random.default_rng(seed).normal(size=(7, 2))
        rows = [(f"{i:03d}", f"{j:03d}", *(own[i] + own[j])) for i, j in pairs]
        table = pd.DataFrame(rows, columns=["start", "end", "differences", "loss_difference"])
        found = agreement(table, "loss_difference", "differences").correlation
        wrong += found.low > 0 or found.high < 0
    assert wrong <= 4


def test_gain_of_calibration_is_of_two_correlations() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    rows = {"start": [f"{i:03d}" for i in range(40)], "end": ["x", "y"] * 20, "differences": x}
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
