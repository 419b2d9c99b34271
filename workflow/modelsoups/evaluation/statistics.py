"""How sure a number is, given how many images it was measured on, and paired tests of two models.

The paper's Tables 4 and C.1: "Statistical comparisons are performed using an exact McNemar test or
permutation test at alpha = 0.05". Everything drawn at random is seeded.
"""

from collections.abc import Callable, Sequence

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

NUM_RESAMPLES = 10_000
NUM_PERMUTATIONS = 10_000
LEVEL = 0.95
ALPHA = 0.05  # paper: Tables 4 and C.1

Interval = tuple[float, float]


def accuracy_interval(accuracy: float, num_images: int, level: float = LEVEL) -> Interval:
    """Wilson score interval of an accuracy (a fraction) on num_images images: low, high."""
    num_correct = count_correct(accuracy, num_images)
    low, high = proportion_confint(num_correct, num_images, alpha=1 - level, method="wilson")
    return float(low), float(high)


def mean_interval(
    accuracies: Sequence[float],
    num_images: Sequence[int],
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Bootstrap interval of the unweighted mean of accuracies on several sets: low, high.

    Each set's images are resampled with replacement, sets apart (stratified). An image is right or
    wrong, so the number right among n resampled images is a binomial draw with the set's accuracy:
    drawn as such, which is the same bootstrap at no cost per image. The interval runs between
    percentiles of the resampled means. A set with all images right, or none, does not vary.

    Args: accuracies: fractions, one a set; num_images: images of each set; seed: of the draws.
    """
    correct = [count_correct(*pair) for pair in zip(accuracies, num_images, strict=True)]
    sizes = np.asarray(num_images)
    rng = np.random.default_rng(seed)
    draws = rng.binomial(sizes, np.asarray(correct) / sizes, size=(num_resamples, len(sizes)))
    means = (draws / sizes).mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
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
    differences: Sequence[np.ndarray], seed: int = 0, num_permutations: int = NUM_PERMUTATIONS
) -> float:
    """Two-sided p-value of a paired permutation test of a mean over sets.

    Under the null hypothesis two models could have changed places on any image, which turns the
    sign of its difference. The statistic is the unweighted mean over the sets of the images' mean
    difference. Of the images of a set whose differences have one size, a binomial number keeps its
    sign: drawn as such, which costs nothing per image for differences of 0/1 scores.

    Args: differences: for each set (n,) first minus second score of an image.
    """
    rng = np.random.default_rng(seed)
    observed = abs(np.mean([d.mean() for d in differences]))
    means = np.zeros(num_permutations)
    for difference in differences:
        sizes, counts = np.unique(np.abs(difference), return_counts=True)
        kept = rng.binomial(counts, 0.5, size=(num_permutations, len(counts)))
        means += (2 * kept - counts) @ sizes / len(difference)
    as_extreme = (np.abs(means / len(differences)) >= observed - 1e-12).sum()
    return float((as_extreme + 1) / (num_permutations + 1))


def difference_interval(
    differences: Sequence[np.ndarray],
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Bootstrap interval of the mean over sets of the images' mean difference: low, high.

    Images are resampled within their set (stratified), the two models' scores together (paired).
    The numbers of images with each difference are a multinomial draw: drawn as such.

    Args: differences: for each set (n,) first minus second score of an image.
    """
    rng = np.random.default_rng(seed)
    means = np.zeros(num_resamples)
    for difference in differences:
        values, counts = np.unique(difference, return_counts=True)
        draws = rng.multinomial(len(difference), counts / len(difference), size=num_resamples)
        means += draws @ values / len(difference)
    return _percentiles(means / len(differences), level)


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float],
    num_units: int,
    seed: int = 0,
    num_resamples: int = 1000,
    level: float = LEVEL,
) -> Interval:
    """Bootstrap interval of any statistic of resampled units (images, pairs of models): low, high.

    Args: statistic: of the resampled units' numbers (num_units,); resamples that give NaN are
        left out.
    """
    rng = np.random.default_rng(seed)
    draws = rng.integers(num_units, size=(num_resamples, num_units))
    return _percentiles(np.array([statistic(units) for units in draws]), level)


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


def _percentiles(values: np.ndarray, level: float) -> Interval:
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
