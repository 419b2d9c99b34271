"""Intervals against hand-computed numbers and brute force."""

from itertools import product
from math import sqrt

import numpy as np
import pytest
from scipy.stats import permutation_test as scipy_permutation_test

from modelsoups.evaluation.statistics import (
    accuracy_interval,
    bootstrap_interval,
    correlation,
    count_correct,
    difference_interval,
    gap_interval,
    holm,
    mcnemar_test,
    mean_interval,
    permutation_test,
)


def test_accuracy_interval_is_wilsons() -> None:
    # z = 1.959964, n = 100, p = 0.8: center (p + z^2/2n) / (1 + z^2/n) = 0.819207 / 1.038415,
    # half width z / (1 + z^2/n) * sqrt(p(1-p)/n + z^2/4n^2).
    z, n, p = 1.959964, 100, 0.8
    center = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert accuracy_interval(0.8, 100) == pytest.approx((center - half, center + half), abs=1e-6)
    assert accuracy_interval(0.8, 100) == pytest.approx((0.71117, 0.86663), abs=1e-5)


def test_accuracy_interval_stays_within_0_and_1() -> None:
    # All 10 right: low is n / (n + z^2) = 10 / 13.8415, high 1.
    assert accuracy_interval(1.0, 10) == pytest.approx((10 / 13.841459, 1.0))


def test_interval_of_a_mean_has_the_width_of_the_normal_approximation() -> None:
    # Variances of the two: 0.5 * 0.5 / 1000 and 0.9 * 0.1 / 4000; of half their sum: a quarter of
    # 0.00025 + 0.0000225, which is 0.000068125, standard deviation 0.0082538.
    low, high = mean_interval([0.5, 0.9], [1000, 4000])
    assert (low + high) / 2 == pytest.approx(0.7, abs=5e-4)
    assert (high - low) / 2 == pytest.approx(1.96 * 0.0082538, rel=0.03)


def test_interval_of_a_mean_is_that_of_resampled_images() -> None:
    sets = [np.repeat([1, 0], [30, 20]), np.repeat([1, 0], [5, 15])]  # 0.6 of 50 and 0.25 of 20
    rng = np.random.default_rng(1)
    means = [
        np.mean([rng.choice(images, len(images)).mean() for images in sets]) for _ in range(4000)
    ]
    expected = np.quantile(means, [0.025, 0.975])
    assert mean_interval([0.6, 0.25], [50, 20]) == pytest.approx(expected, abs=0.01)


def test_interval_of_a_mean_repeats_with_its_seed() -> None:
    first = mean_interval([0.6, 0.25], [50_000, 20_000], seed=3)
    assert mean_interval([0.6, 0.25], [50_000, 20_000], seed=3) == first
    assert mean_interval([0.6, 0.25], [50_000, 20_000], seed=4) != first


def test_sets_count_alike_whatever_their_sizes() -> None:
    assert mean_interval([1.0, 0.0], [10, 100_000]) == (0.5, 0.5)


@pytest.mark.parametrize("accuracy", [80.0, -0.1, 0.123])
def test_what_is_no_fraction_of_the_images_is_refused(accuracy: float) -> None:
    with pytest.raises(ValueError, match=rf"fraction of 10 images, found {accuracy}"):
        count_correct(accuracy, 10)


def right(*runs: tuple[int, bool]) -> np.ndarray:
    """Booleans given as (how many, which) one after the other."""
    return np.repeat([which for _, which in runs], [count for count, _ in runs])


def test_mcnemar_counts_the_images_that_one_model_alone_has_right() -> None:
    # 9 to the first alone, 2 to the second: 2 (C(11,0) + C(11,1) + C(11,2)) / 2^11 = 134 / 2048.
    first = right((50, True), (9, True), (2, False), (7, False))
    second = right((50, True), (9, False), (2, True), (7, False))
    assert mcnemar_test(first, second) == pytest.approx(134 / 2048)
    assert mcnemar_test(second, first) == pytest.approx(134 / 2048)
    assert mcnemar_test(first, first) == 1


def test_permutation_test_is_mcnemars_on_one_set() -> None:
    difference = np.repeat([1, -1, 0], [9, 2, 57])
    assert permutation_test([difference], num_permutations=200_000) == pytest.approx(
        134 / 2048, abs=2e-3
    )


def test_permutation_test_of_a_mean_of_sets_counts_sets_alike() -> None:
    # Sets of 2 and 4 images: the statistic is (s1 / 2 + s2 / 4) / 2 over all 2^6 signs.
    sets = [np.array([1.0, 0.5]), np.array([0.5, 0.5, -0.5, 1.0])]
    observed = (0.75 + 0.375) / 2
    means = [
        (np.dot(signs[:2], sets[0]) / 2 + np.dot(signs[2:], sets[1]) / 4) / 2
        for signs in product([-1, 1], repeat=6)
    ]
    exact = np.mean(np.abs(means) >= observed - 1e-12)
    assert permutation_test(sets, num_permutations=100_000) == pytest.approx(exact, abs=5e-3)


def test_permutation_test_agrees_with_scipy() -> None:
    differences = np.random.default_rng(0).normal(0.2, 1, 60)
    theirs = scipy_permutation_test(
        (differences, np.zeros(60)),
        lambda a, b: np.mean(a - b),
        permutation_type="samples",
        n_resamples=20_000,
        rng=1,
    )
    ours = permutation_test([differences], num_permutations=20_000)
    assert ours == pytest.approx(theirs.pvalue, abs=0.01)


def test_interval_of_a_difference_is_that_of_resampled_pairs() -> None:
    difference = np.repeat([1, -1, 0], [12, 5, 33])
    rng = np.random.default_rng(1)
    means = [rng.choice(difference, 50).mean() for _ in range(4000)]
    expected = np.quantile(means, [0.025, 0.975])
    assert difference_interval([difference]) == pytest.approx(expected, abs=0.021)  # a step is 0.02
    low, high = difference_interval([difference, np.zeros(7)])
    assert (low, high) == pytest.approx(expected / 2, abs=0.011)


def test_bootstrap_of_a_mean_is_the_interval_of_a_difference() -> None:
    difference = np.repeat([1, -1, 0], [300, 100, 600])
    low, high = bootstrap_interval(lambda images: float(difference[images].mean()), 1000)
    assert (low, high) == pytest.approx(difference_interval([difference]), abs=6e-3)


def test_holm_multiplies_the_smallest_by_the_number_of_comparisons() -> None:
    # Sorted 0.01, 0.02, 0.04: times 3, 2, 1 is 0.03, 0.04, 0.04; NaN does not count.
    assert holm([0.04, np.nan, 0.01, 0.02]) == pytest.approx(
        [0.04, np.nan, 0.03, 0.04], nan_ok=True
    )
    assert np.isnan(holm([np.nan])).all()


def test_gap_of_two_accuracies_on_different_images_is_newcombes() -> None:
    # Newcombe 1998, method 10: 56/70 against 48/80, difference 0.2, interval 0.0524 to 0.3339.
    assert gap_interval(56 / 70, 70, 48 / 80, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_correlation_of_what_does_not_vary_is_not_a_number() -> None:
    assert correlation(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])) == pytest.approx(1)
    assert np.isnan(correlation(np.array([1.0, 1]), np.array([2.0, 4])))
