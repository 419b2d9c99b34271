"""How sure a number is, given how many images it was measured on."""

from collections.abc import Sequence

import numpy as np
from statsmodels.stats.proportion import proportion_confint

NUM_RESAMPLES = 10_000
LEVEL = 0.95

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
