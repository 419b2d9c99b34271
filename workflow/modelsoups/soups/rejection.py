"""The held-out score of a soup in the making, evaluated no further than a decision needs.

*Exact early rejection.* A soup is beaten as soon as even full marks on all images not yet looked at
would not do: for accuracy, as soon as it has made as many mistakes as the soup it has to beat.
Whatever order the images come in, the decision is that of a full evaluation. To make it early,
images come first that the soup will probably get wrong. Stored logits tell which: those of averaged
weights are close to the average of the logits (paper Sec. 4), so images are ordered by the margin
of that average for the true class: first what it gets wrong, then what is contested.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import fsum

import numpy as np
from sklearn.metrics import f1_score, matthews_corrcoef

from modelsoups.soups.pool import HeldOut

Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]  # logits (b, C), labels (b,) -> (b,)
Score = Callable[[np.ndarray, np.ndarray], float]


def correct(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """1.0 where the largest logit is the label's, else 0.0: (b,)."""
    return (logits.argmax(axis=1) == labels).astype(np.float64)


def macro_f1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the classes' F1 scores, over classes that occur as label or prediction."""
    return float(f1_score(labels, logits.argmax(axis=1), average="macro", zero_division=0))


def matthews(logits: np.ndarray, labels: np.ndarray) -> float:
    """Matthews' correlation coefficient."""
    return float(matthews_corrcoef(labels, logits.argmax(axis=1)))


# Scores in [0, 1], one an image: their mean can be bounded before all images are evaluated.
PER_IMAGE: dict[str, Scores] = {"accuracy": correct}
# Scores of all predictions together: every soup is evaluated on all images.
WHOLE: dict[str, Score] = {"macro_f1": macro_f1, "matthews": matthews}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The score of a soup, or a bound that is enough to reject it."""

    score: float | None  # None where evaluation stopped early
    bound: float | None  # then the score is at most this
    images_evaluated: int


def score_all(metric: str, logits: np.ndarray, labels: np.ndarray) -> float:
    """The metric of all images: logits (n, C), labels (n,)."""
    if metric in WHOLE:
        return WHOLE[metric](logits, labels)
    return fsum(PER_IMAGE[metric](logits, labels)) / len(labels)


def margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """By how much the label's logit is above all others: (n,), negative where the model errs."""
    others = logits.copy()
    rows = np.arange(len(labels))
    others[rows, labels] = -np.inf
    return logits[rows, labels] - others.max(axis=1)


def attempt_per_image(
    held_out: HeldOut, scores: Scores, order: np.ndarray, to_beat: float, accept_ties: bool
) -> tuple[Attempt, np.ndarray | None]:
    """Score the model, on images in `order`, until it is certain to be rejected, or on all.

    Returns:
        the attempt and, if all images were evaluated, their logits (n, C), by index.
    """
    num_images = len(order)
    logits: np.ndarray | None = None
    found: list[float] = []
    for start in range(0, num_images, held_out.batch_size):
        indices = order[start : start + held_out.batch_size]
        batch = held_out.logits(indices)
        if logits is None:
            logits = np.empty((num_images, batch.shape[1]), np.float32)
        logits[indices] = batch
        found.extend(scores(batch, held_out.labels[indices]).tolist())
        # fsum rounds correctly, whatever the order, so a bound is never below what it bounds.
        bound = fsum([*found, num_images - len(found)]) / num_images
        rejected = bound < to_beat or (bound == to_beat and not accept_ties)
        if rejected and len(found) < num_images:
            return Attempt(score=None, bound=bound, images_evaluated=len(found)), None
    return Attempt(score=bound, bound=None, images_evaluated=num_images), logits


def order_is_free(held_out: HeldOut, logits: np.ndarray) -> tuple[bool, bool]:
    """Whether the model's logits ignore the order of images, and agree with those given.

    Looked at on one batch, of the images nearest to another prediction.

    Args:
        logits: (n, C), of the same model, from elsewhere.

    Returns:
        whether a shuffled batch has equal logits, bit for bit; and whether its predictions are
        those of `logits`.
    """
    nearest = np.abs(margins(logits, held_out.labels)).argsort(kind="stable")
    indices = nearest[: held_out.batch_size]
    shuffle = np.random.default_rng(0).permutation(len(indices))
    found = held_out.logits(indices)
    free = np.array_equal(found[shuffle], held_out.logits(indices[shuffle]))
    return free, np.array_equal(found.argmax(axis=1), logits[indices].argmax(axis=1))
