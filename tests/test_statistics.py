"""Intervals against hand-computed numbers and brute force."""

from math import sqrt

import numpy as np
import pytest

from modelsoups.statistics import accuracy_interval, count_correct, mean_interval


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
