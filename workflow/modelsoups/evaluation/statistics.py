"""How sure a number is, given how many images it was measured on, and paired tests of two models.

The paper's Tables 4 and C.1: "Statistical comparisons are performed using an exact McNemar test or
permutation test at alpha = 0.05". Everything drawn at random is seeded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isnan, nan

import numpy as np
from scipy.stats import t as student
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

NUM_RESAMPLES = 10_000
NUM_PERMUTATIONS = 10_000
LEVEL = 0.95
NEAR_ONE = 1 - 1e-9  # Fisher's transform of 1 is infinite
ALPHA = 0.05  # paper: Tables 4 and C.1

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its interval and the p-value of one procedure: p < 0.05 if and only if a null
    value lies outside of the 95 % interval."""

    value: float
    low: float  # NaN where nothing can be said
    high: float
    p: float  # two-sided, that the null value is the true one; not corrected
    df: float = inf  # degrees of freedom of the interval
    least: bool = False  # of several numbers: it is low by chance, and its interval allows for that


def estimate(
    value: float, error: float, df: float = inf, *, centre: float | None = None, null: float = 0
) -> Estimate:
    """A number with Student's interval, and its p-value.

    Args:
        error: standard error; 0 if the number cannot vary, NaN if nothing is known of it.
        df: its degrees of freedom.
        centre: of the interval, if not the number itself.
    """
    centre = value if centre is None else centre
    if isnan(value) or isnan(error):
        return Estimate(value=value, low=nan, high=nan, p=nan)
    if error == 0:
        return Estimate(value=value, low=centre, high=centre, p=float(centre == null))
    width = float(student.ppf((1 + LEVEL) / 2, df)) * error
    p = 2 * student.sf(abs(centre - null) / error, df)
    return Estimate(value=value, low=centre - width, high=centre + width, p=float(p), df=df)


def accuracy_interval(accuracy: float, num_images: int) -> Interval:
    """Wilson score interval of an accuracy (a fraction) on num_images images: low, high."""
    num_correct = count_correct(accuracy, num_images)
    low, high = proportion_confint(num_correct, num_images, alpha=1 - LEVEL, method="wilson")
    return float(low), float(high)


def mean_interval(accuracies: Sequence[float], num_images: Sequence[int]) -> Interval:
    """Bootstrap interval of the unweighted mean of accuracies on several sets: low, high.

    Each set's images are resampled with replacement, sets apart (stratified). An image is right or
    wrong, so the number right among n resampled images is a binomial draw with the set's accuracy:
    drawn as such, which is the same bootstrap at no cost per image. The interval runs between
    percentiles of the resampled means. A set with all images right, or none, does not vary.

    Args: accuracies: fractions, one a set; num_images: images of each set.
    """
    correct = [count_correct(*pair) for pair in zip(accuracies, num_images, strict=True)]
    sizes = np.asarray(num_images)
    rng = np.random.default_rng(0)
    draws = rng.binomial(sizes, np.asarray(correct) / sizes, size=(NUM_RESAMPLES, len(sizes)))
    means = (draws / sizes).mean(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def count_correct(accuracy: float, num_images: int) -> int:
    """The number of images that an accuracy means; a ValueError if it means no whole number."""
    count = round(accuracy * num_images)
    if not 0 <= count <= num_images or abs(count - accuracy * num_images) > 1e-3:
        raise ValueError(
            f"expected an accuracy that is a fraction of {num_images} images, found {accuracy}; "
            "give a fraction in [0, 1] (not percent) and the number of images it was measured on"
        )
    return count


def gap_interval(first: float, num_first: int, second: float, num_second: int) -> Interval:
    """95 % interval of the difference of two accuracies on different images (Newcombe): low, high.

    Args: first, second: fractions, on num_first and num_second images that are not the same ones.
    """
    low, high = confint_proportions_2indep(
        count_correct(first, num_first),
        num_first,
        count_correct(second, num_second),
        num_second,
        method="newcomb",
        compare="diff",
    )
    return float(low), float(high)


def mcnemar_test(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p-value of the exact McNemar test of two models on the same images.

    Args: first, second: (n,) booleans, whether each image is right.
    """
    table = [[0, int((first & ~second).sum())], [int((~first & second).sum()), 0]]
    return float(mcnemar(table, exact=True).pvalue)


def permutation_test(
    differences: Sequence[np.ndarray], num_permutations: int = NUM_PERMUTATIONS
) -> float:
    """Two-sided p-value of a paired permutation test of a mean over sets.

    Under the null hypothesis two models could have changed places on any image, which turns the
    sign of its difference. The statistic is the unweighted mean over the sets of the images' mean
    difference. Of the images of a set whose differences have one size, a binomial number keeps its
    sign: drawn as such, which costs nothing per image for differences of 0/1 scores.

    Args: differences: for each set (n,) first minus second score of an image.
    """
    rng = np.random.default_rng(0)
    observed = abs(np.mean([d.mean() for d in differences]))
    means = np.zeros(num_permutations)
    for difference in differences:
        sizes, counts = np.unique(np.abs(difference), return_counts=True)
        kept = rng.binomial(counts, 0.5, size=(num_permutations, len(counts)))
        means += (2 * kept - counts) @ sizes / len(difference)
    as_extreme = (np.abs(means / len(differences)) >= observed - 1e-12).sum()
    return float((as_extreme + 1) / (num_permutations + 1))


def paired_difference(
    differences: Sequence[np.ndarray], weights: Sequence[float] | None = None
) -> Estimate:
    """The mean over sets of the images' mean difference.

    The sets together get an image with difference 1 and one with -1, as in Bonett and Price's
    interval of paired proportions: with few images on which two models differ, the interval and the
    p-value come near the exact test's. Models that agree on every image have no interval but zero.

    Args:
        differences: for each set (n,) first minus second score of an image, in [-1, 1].
        weights: of the sets, sum 1; equal if left out.
    """
    shares = np.full(len(differences), 1 / len(differences)) if weights is None else weights
    value = float(np.dot(shares, [d.mean() for d in differences]))
    if not any(d.any() for d in differences):
        return estimate(value, 0.0)
    means, variances = _adjusted(differences)
    error = np.sqrt(np.dot(np.square(shares), variances))
    return estimate(value, float(error), centre=float(np.dot(shares, means)))


def _adjusted(differences: Sequence[np.ndarray]) -> tuple[list[float], list[float]]:
    """Each set's mean and its variance, with a share by size of an image of 1 and of one of -1."""
    total = sum(map(len, differences))
    means, variances = [], []
    for each in differences:
        share = 2 * len(each) / total
        n = len(each) + share
        mean = each.sum() / n
        means.append(mean)
        variances.append(((each**2).sum() + share) / n**2 - mean**2 / n)
    return means, variances


def replicated_difference(
    replicates: Sequence[Sequence[np.ndarray]], same_images: bool
) -> Estimate:
    """The mean over replicates of a difference, with an interval over draws and images.

    Replicates on images of their own differ by both, so that their spread alone says how sure the
    mean is, but for what training images that they share make alike in them: no spread of folds
    shows that (Bengio & Grandvalet 2004). Where all have the same images, the images' share of the
    variance, that of an image's mean over replicates, is added (a little too much: what image and
    draw make together counts in both), and the degrees of freedom are Satterthwaite's. Student's
    interval, not a bootstrap's: resamples of five numbers vary by a fifth too little, and
    percentiles know no tails.

    Args: replicates: for each the sets' (n,) first minus second score of an image.
    """
    means = np.array([np.mean([d.mean() for d in sets]) for sets in replicates])
    if not any(d.any() for sets in replicates for d in sets):
        return estimate(0.0, 0.0)
    shared = []
    if same_images:
        of_images = [np.mean(each, axis=0) for each in zip(*replicates, strict=True)]
        _, variances = _adjusted(of_images)
        shared = [(sum(variances) / len(variances) ** 2, min(map(len, of_images)) - 1.0)]
    return _over_replicates(means, shared)


def replicated_estimate(found: Sequence[Estimate], same_images: bool) -> Estimate:
    """The mean over replicates of any number, with an interval over draws and images.

    As `replicated_difference`, for numbers of which only the intervals are known. Where all have
    the same images, the share of these is at most the mean square of the standard errors (an
    image's own part, and what image and draw make together), which is added: too much rather than
    too little.

    Args: found: one a replicate, with normal intervals.
    """
    errors = np.array([standard_error(each) for each in found])
    shared = [(float(np.mean(errors**2)), inf)] if same_images else []
    return _over_replicates(np.array([each.value for each in found]), shared)


def _over_replicates(values: np.ndarray, shared: Sequence[tuple[float, float]]) -> Estimate:
    """The mean of values with Student's interval.

    Args: shared: parts of its variance that replicates have in common, each with its degrees of
        freedom, as Satterthwaite adds them up.
    """
    parts = [(float(values.var(ddof=1)) / len(values), len(values) - 1.0), *shared]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return estimate(float(values.mean()), 0.0)
    df = variance**2 / sum(part**2 / df for part, df in parts)
    return estimate(float(values.mean()), float(np.sqrt(variance)), df)


def bootstrap_error(
    statistic: Callable[[np.ndarray], float], num_units: int, num_resamples: int = 1000
) -> float:
    """Standard error of any statistic by resampling units (images, pairs of models).

    Resamples that give NaN are left out; NaN if most do.

    Args: statistic: of the resampled units' numbers (num_units,).
    """
    rng = np.random.default_rng(0)
    draws = rng.integers(num_units, size=(num_resamples, num_units))
    values = np.array([statistic(units) for units in draws])
    return float(np.nanstd(values, ddof=1)) if np.isnan(values).mean() < 0.5 else nan


def jackknife_error(statistic: Callable[[np.ndarray], float], num_units: int) -> float:
    """Standard error of any statistic by leaving out one unit after another.

    Made for statistics of pairs of units. Where units are what varies it is right; where each pair
    varies by itself it is 1.4 times too large, a bootstrap's over units 1.7 times.

    Args: statistic: of the remaining units' numbers (num_units - 1,).
    """
    values = np.array([statistic(np.delete(np.arange(num_units), i)) for i in range(num_units)])
    return float(np.sqrt(num_units - 1) * np.std(values))


def correlation_estimate(
    statistic: Callable[[np.ndarray], float],
    num_units: int,
    above: float = 0,
    error_of: Callable[[Callable[[np.ndarray], float], int], float] = bootstrap_error,
) -> Estimate:
    """A correlation, its interval and the p-value of `above`.

    Fisher's transform of it is taken as normal, in Student's interval: there are few units.

    Args: statistic: correlation of the resampled units' numbers. error_of: its standard error.
    """

    def transformed(units: np.ndarray) -> float:
        return float(np.arctanh(np.clip(statistic(units), -NEAR_ONE, NEAR_ONE)))

    value = statistic(np.arange(num_units))
    if isnan(value):
        return estimate(nan, nan)
    error = error_of(transformed, num_units)
    centre = transformed(np.arange(num_units))
    found = estimate(centre, error, num_units - 2, null=float(np.arctanh(above)))
    low, high = np.tanh(found.low), np.tanh(found.high)
    return Estimate(value=value, low=float(low), high=float(high), p=found.p)


def shifted(found: Estimate, by: float) -> Estimate:
    """The same with a constant added to it, and so another null value: its p-value stays."""
    if by == 0:
        return found
    return Estimate(value=found.value + by, low=found.low + by, high=found.high + by, p=found.p)


def scaled(found: Estimate, by: float) -> Estimate:
    """The same in another unit. Args: by: above zero."""
    return Estimate(value=by * found.value, low=by * found.low, high=by * found.high, p=found.p)


def above(found: Estimate, null: float) -> Estimate:
    """How far a number of `estimate` is above another null value."""
    centre = (found.low + found.high) / 2 - null
    return estimate(found.value - null, standard_error(found), found.df, centre=centre)


def standard_error(found: Estimate) -> float:
    """The standard error under an interval of `estimate`."""
    return (found.high - found.low) / 2 / float(student.ppf((1 + LEVEL) / 2, found.df))


def within(found: Estimate, margin: float) -> Estimate:
    """How far a number of `estimate` is inside of -margin to margin: above zero says that it is
    equivalent to 0."""
    inside = margin - abs((found.low + found.high) / 2)
    return estimate(inside, standard_error(found), found.df)


def weakest(estimates: Sequence[Estimate]) -> Estimate:
    """The least of several numbers: above zero says that all are.

    That all are is decided when each is, without a correction (an intersection-union test); that
    one is below zero when it is by Bonferroni's.

    Args: estimates: of `estimate`, about zero.
    """
    least = min(estimates, key=lambda each: each.value)
    if any(isnan(each.p) for each in estimates):
        return estimate(least.value, nan)
    number = len(estimates)
    above = max(each.p if each.low + each.high > 0 else 1.0 for each in estimates)
    below = min(each.p * number if each.low + each.high < 0 else 1.0 for each in estimates)
    wider = student.isf((1 - LEVEL) / 2 / number, inf) / student.isf((1 - LEVEL) / 2, inf)
    highs = [(each.low + each.high) / 2 + wider * (each.high - each.low) / 2 for each in estimates]
    low = min(each.low for each in estimates)
    p = min(above, below, 1.0)
    return Estimate(value=least.value, low=low, high=float(min(highs)), p=p, least=number > 1)


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation; NaN where one does not vary."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's correction of the p-values of a table; those that are NaN stay so and do not count."""
    corrected = np.array(p_values, dtype=float)
    known = ~np.isnan(corrected)
    if known.any():
        corrected[known] = multipletests(corrected[known], method="holm")[1]
    return corrected
