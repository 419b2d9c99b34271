"""Calibration: expected calibration error and temperature scaling (paper Figure B.2, K.4).

scipy is imported where it is used: most jobs that import metrics are spared a third of a second.
"""

import numpy as np

NUM_BINS = 15
NUM_ROWS = 1024  # whose probabilities are computed together
LARGEST = 100.0  # inverse temperatures are searched between 1 / LARGEST and LARGEST


def expected_calibration_error(
    logits: np.ndarray, labels: np.ndarray, num_bins: int = NUM_BINS
) -> float:
    """ECE with equal-mass bins (Roelofs et al. 2020), in [0, 1].

    Images are sorted by the probability of their prediction and cut into bins of equal size, up to
    one image; the ECE is the mean over images of their bin's gap between accuracy and confidence.

    Args: logits: (n, C). labels: (n,).
    """
    from scipy.special import softmax

    starts = range(0, len(logits), NUM_ROWS)  # in parts: float64 of all would be large
    parts = (logits[start : start + NUM_ROWS].astype(np.float64) for start in starts)
    confidence = np.concatenate([softmax(part, axis=1).max(axis=1) for part in parts])
    right = logits.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, min(num_bins, len(order)))
    gaps = [abs(right[b].mean() - confidence[b].mean()) * len(b) for b in bins]
    return float(sum(gaps) / len(order))


def fit_inverse_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The factor beta on the logits that minimises the cross-entropy (Guo et al. 2017).

    The cross-entropy is convex in beta, so that a bounded search finds the one minimum; it is
    looked for between 1 / LARGEST and LARGEST.

    Args: logits: (n, C). labels: (n,).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logits = logits.astype(np.float64)
    rows = np.arange(len(labels))

    def loss(log_beta: float) -> float:
        return -log_softmax(np.exp(log_beta) * logits, axis=1)[rows, labels].mean()

    bounds = (-np.log(LARGEST), np.log(LARGEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))
