"""Intervals against hand-computed numbers and brute force."""

from functools import partial
from itertools import product
from math import sqrt

import numpy as np
import pytest
from scipy.stats import permutation_test as scipy_permutation_test

from modelsoups.evaluation.statistics import (
    above,
    accuracy_interval,
    bootstrap_error,
    correlation,
    correlation_estimate,
    count_correct,
    estimate,
    gap_interval,
    holm,
    jackknife_error,
    mcnemar_test,
    mean_interval,
    paired_difference,
    permutation_test,
    replicated_difference,
    replicated_estimate,
    scaled,
    shifted,
    weakest,
    within,
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


def test_interval_of_a_mean_is_the_same_each_time() -> None:
    first = mean_interval([0.6, 0.25], [50_000, 20_000])
    assert mean_interval([0.6, 0.25], [50_000, 20_000]) == first


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
    difference = np.repeat([1.0, -1, 0], [120, 50, 330])
    rng = np.random.default_rng(1)
    means = [rng.choice(difference, 500).mean() for _ in range(4000)]
    expected = np.quantile(means, [0.025, 0.975])
    found = paired_difference([difference])
    assert found.value == pytest.approx(70 / 500)
    assert (found.low, found.high) == pytest.approx(expected, abs=4e-3)
    with_another = paired_difference([difference, np.zeros(7000)])
    assert (with_another.low, with_another.high) == pytest.approx(expected / 2, abs=4e-3)
    weighted = paired_difference([difference, np.zeros(7000)], [1, 0])
    assert (weighted.low, weighted.high) == pytest.approx((found.low, found.high), abs=1e-3)


def test_paired_interval_is_bonett_and_prices() -> None:
    # Of 40 images 8 and 2 differ: 9/42 - 3/42 = 0.142857, variance (12/42 - 0.142857^2) / 42.
    found = paired_difference([np.repeat([1.0, -1, 0], [8, 2, 30])])
    half = 1.959964 * sqrt((12 / 42 - (6 / 42) ** 2) / 42)
    assert (found.low, found.high) == pytest.approx((6 / 42 - half, 6 / 42 + half), abs=1e-6)


def test_models_that_are_one_have_no_interval_but_zero() -> None:
    found = paired_difference([np.zeros(10)])
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_bootstrap_error_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=500)
    error = bootstrap_error(lambda images: float(values[images].mean()), 500)
    assert error == pytest.approx(values.std(ddof=1) / sqrt(500), rel=0.1)
    assert np.isnan(bootstrap_error(lambda images: np.nan, 5))


def test_jackknife_error_of_a_mean_is_its_standard_error() -> None:
    values = np.array([1.0, 2, 4, 9])
    error = jackknife_error(lambda units: float(values[units].mean()), 4)
    assert error == pytest.approx(values.std(ddof=1) / 2)
    pairs = np.add.outer(values, values)[np.triu_indices(4, 1)]  # each model is in three of six
    first, second = np.triu_indices(4, 1)

    def mean_of_pairs(units: np.ndarray) -> float:
        return float(pairs[np.isin(first, units) & np.isin(second, units)].mean())

    assert jackknife_error(mean_of_pairs, 4) == pytest.approx(2 * error)
    assert np.isnan(jackknife_error(lambda units: np.nan, 5))


def test_equivalence_of_few_draws_has_students_interval() -> None:
    found = within(estimate(0.5, 0.1, df=4), 1.0)
    half = 2.7764 * 0.1  # Student's of four degrees
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)
    assert above(estimate(0.5, 0.1, df=4), 0.1).low == pytest.approx(0.4 - half, abs=1e-4)


@pytest.mark.parametrize("value", [0.2, -0.2, 1.96001, -1.96001, 1.9599, 4.0])
@pytest.mark.parametrize("change", [lambda e: e, lambda e: shifted(e, 1), lambda e: scaled(e, 2)])
def test_p_is_below_5_percent_if_and_only_if_zero_is_outside(value, change) -> None:
    found = estimate(value, 1.0)
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    assert change(found).p == found.p
    for margin in (0.5, 3.0):
        for each in (within(found, margin), above(found, margin)):
            assert (each.p < 0.05) == (each.low > 0 or each.high < 0)
    both = weakest([found, estimate(5.0, 1.0)])
    assert (both.p < 0.05) == (both.low > 0 or both.high < 0)


def test_weakest_says_that_all_are_above_zero() -> None:
    assert weakest([estimate(3.0, 1.0), estimate(5.0, 1.0)]).low > 0
    assert weakest([estimate(1.0, 1.0), estimate(5.0, 1.0)]).low < 0
    # One of ten at 2.5 errors below zero: p is 0.012, times ten 0.12.
    one_below = weakest([estimate(-2.5, 1.0)] + [estimate(1.0, 1.0)] * 9)
    assert (one_below.value, one_below.p) == (-2.5, pytest.approx(0.124, abs=1e-3))
    assert one_below.high > 0
    assert weakest([estimate(-3.5, 1.0)] + [estimate(1.0, 1.0)] * 9).high < 0


# Simulations: how often the interval of what verdicts rest on lies above and below zero.

NUM_DRAWS = 400
WRONG = 0.05  # of draws, on one side: 2.5 % and three standard errors of 400 draws


def rates(draw, num_draws: int = NUM_DRAWS) -> tuple[float, float]:
    """Shares of draws that hold and that fail."""
    rng = np.random.default_rng(0)
    found = [draw(rng) for _ in range(num_draws)]
    return np.mean([each.low > 0 for each in found]), np.mean([each.high < 0 for each in found])


def images(rng, effect: float, num_images: int, differing: float = 0.1) -> np.ndarray:
    """Differences of two models that are right on other images in a tenth of cases."""
    chances = [(differing + effect) / 2, (differing - effect) / 2, 1 - differing]
    return rng.choice([1.0, -1.0, 0.0], num_images, p=chances)


@pytest.mark.parametrize("sizes", [[40], [843], [968, 1344, 1311, 1321, 888]])
def test_comparison_of_equal_models_is_wrong_in_a_fortieth_of_draws_a_side(sizes) -> None:
    holds, fails = rates(lambda rng: paired_difference([images(rng, 0, n) for n in sizes]))
    assert holds < WRONG and fails < WRONG


def test_comparison_sees_the_papers_effect_where_there_are_images_enough() -> None:
    """Greedy soup minus best run: 0.65 points in distribution, 2.9 on the shifts."""
    few = rates(lambda rng: paired_difference([images(rng, 0.0065, 843)]))
    many = rates(lambda rng: paired_difference([images(rng, 0.0065, 50_000)]))
    shifts = rates(lambda rng: paired_difference([images(rng, 0.029, 1000) for _ in range(5)]))
    assert few[0] < 0.2 and many[0] > 0.95 and shifts[0] > 0.95
    assert max(few[1], many[1], shifts[1]) < 0.02


@pytest.mark.parametrize("effects", [[0] * 11, [0] + [0.05] * 10])
def test_weakest_of_several_is_wrong_in_a_fortieth_of_draws_a_side(effects) -> None:
    """Where none differs from zero, and where all but one are above it."""
    holds, fails = rates(
        lambda rng: weakest([paired_difference([images(rng, each, 843)]) for each in effects])
    )
    assert holds < WRONG and fails < WRONG


def draws_of(rng, effect: float, spread: float, same_images: bool) -> list[list[np.ndarray]]:
    """Five draws whose true effects differ; on the same images these share what they are."""
    sizes = [1000] * 5 if same_images else [843]
    shared = [images(rng, 0, n, 0.05) for n in sizes]
    found = []
    for _ in range(5):
        own = np.clip(rng.normal(effect, spread), -0.08, 0.08)
        sets = [images(rng, own, n, 0.08) for n in sizes]
        if same_images:
            sets = [np.clip(a + b, -1, 1) for a, b in zip(sets, shared, strict=True)]
        found.append(sets)
    return found


@pytest.mark.parametrize("same_images", [False, True])
@pytest.mark.parametrize("spread", [0, 0.012])
def test_replicates_of_equal_methods_are_wrong_in_a_fortieth_a_side(same_images, spread) -> None:
    holds, fails = rates(
        lambda rng: replicated_difference(draws_of(rng, 0, spread, same_images), same_images)
    )
    assert holds < WRONG and fails < WRONG


@pytest.mark.parametrize("same_images", [False, True])
def test_numbers_pooled_by_their_intervals_are_not_wrong_more_often(same_images) -> None:
    def pooled(rng):
        found = [paired_difference(sets) for sets in draws_of(rng, 0, 0.012, same_images)]
        return replicated_estimate(found, same_images)

    holds, fails = rates(pooled)
    assert holds < WRONG and fails < WRONG


def test_number_of_images_of_their_own_is_pooled_as_the_difference_is() -> None:
    draws = draws_of(np.random.default_rng(0), 0.01, 0.012, False)
    found = replicated_estimate([paired_difference(sets) for sets in draws], False)
    assert found == replicated_difference(draws, False)


def test_standard_error_of_shared_images_is_added_to_that_of_draws() -> None:
    """Values 1, 2 and 3: s^2 / 3 is 1/3. With errors of 1 beside it 4/3, and Satterthwaite's
    degrees of freedom are (4/3)^2 / ((1/3)^2 / 2) = 32."""
    found = replicated_estimate([estimate(value, 1.0) for value in (1.0, 2.0, 3.0)], True)
    assert found.value == 2
    assert found.high - 2 == pytest.approx(2.0369 * np.sqrt(4 / 3), abs=1e-3)


def test_numbers_that_are_the_same_in_every_replicate_do_not_vary() -> None:
    found = replicated_estimate([estimate(0.0, 0.0)] * 3, True)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_replicates_see_the_papers_effect_on_the_shifts() -> None:
    holds, fails = rates(lambda rng: replicated_difference(draws_of(rng, 0.029, 0.008, True), True))
    assert holds > 0.95 and fails == 0


@pytest.mark.parametrize(("effect", "margin"), [(0.01, 0.01), (-0.01, 0.01)])
def test_methods_that_differ_by_the_margin_are_equivalent_in_a_fortieth_of_draws(
    effect, margin
) -> None:
    holds, fails = rates(
        lambda rng: within(replicated_difference(draws_of(rng, effect, 0, True), True), margin)
    )
    assert holds < WRONG and fails < WRONG


def test_equal_methods_are_found_equivalent_where_draws_agree_enough() -> None:
    """And those that differ as the paper's greedy soup and best run on the shifts are not."""

    def equivalence(effect, margin):
        return rates(
            lambda rng: within(replicated_difference(draws_of(rng, effect, 0, True), True), margin)
        )

    assert equivalence(0, 0.02)[0] > 0.95
    holds, fails = equivalence(0.029, 0.01)
    assert holds == 0 and fails > 0.95


def test_images_alone_are_too_sure_of_a_difference_that_draws_share() -> None:
    """What one draw says of its own images is no verdict on the method."""

    def one_draw(rng):
        return paired_difference(draws_of(rng, 0, 0.02, False)[0])

    holds, fails = rates(one_draw)
    assert holds > 0.1 and fails > 0.1


def pairs_of_runs(rng, slope: float, num_runs: int = 8) -> tuple[np.ndarray, np.ndarray, list]:
    """x and y of all pairs of runs, each the sum of what its two runs bring and of chance."""
    of_x, of_y = rng.normal(size=(2, num_runs))
    pairs = [(i, j) for i in range(num_runs) for j in range(i)]
    x = np.array([of_x[i] + of_x[j] for i, j in pairs]) + rng.normal(size=len(pairs))
    y = np.array([of_y[i] + of_y[j] for i, j in pairs]) + rng.normal(size=len(pairs))
    return x, y + slope * x, pairs


def estimate_of_pairs(rng, slope: float):
    """The correlation over pairs of eight runs, which are resampled."""
    x, y, pairs = pairs_of_runs(rng, slope)
    first, second = np.array(pairs).T

    def statistic(chosen: np.ndarray) -> float:
        counts = np.bincount(chosen, minlength=8)
        weights = counts[first] * counts[second]
        if (weights > 0).sum() < 3:
            return np.nan
        (a, b), (_, d) = np.cov(x, y, fweights=weights)
        return b / np.sqrt(a * d)

    return correlation_estimate(statistic, 8, error_of=partial(bootstrap_error, num_resamples=100))


@pytest.mark.slow
def test_correlation_over_pairs_of_runs_counts_that_they_share_runs() -> None:
    holds, fails = rates(lambda rng: estimate_of_pairs(rng, 0), 200)
    assert holds < WRONG + 0.03 and fails < WRONG + 0.03  # a bootstrap of eight runs
    strong, wrong = rates(lambda rng: estimate_of_pairs(rng, 2.5), 100)
    assert strong > 0.9 and wrong == 0


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
