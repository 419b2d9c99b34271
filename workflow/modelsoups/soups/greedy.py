"""The greedy soup (paper Recipe 1), with one read per candidate and exact early rejection.

A candidate is kept if the soup with it has a strictly higher held-out score, as Recipe 1 and the
official code have it (`main.py:181`); with `accept_ties` also if the score is equal, as the caption
of Figure 1 says ("does not decrease"). The first candidate is always kept. `trials` explains how
decisions are made on a part of the images.
"""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

import numpy as np

from modelsoups.evaluation.logits import read_logits
from modelsoups.soups.pool import Candidate, HeldOut, Soup, Trace, check_pool
from modelsoups.soups.rejection import (
    PER_IMAGE,
    WHOLE,
    Attempt,
    attempt_per_image,
    margins,
    order_is_free,
    score_all,
)
from modelsoups.weights.average import average, check_finite, common_integers
from modelsoups.weights.checkpoints import Checkpoint, Weights, check_alike, find_tied, read_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GreedySpec:
    """How candidates are tried."""

    order: Literal["held-out", "random"] = "held-out"  # by accuracy, best first, or seeded
    seed: int = 0  # of the random order
    accept_ties: bool = False  # also keep a candidate that leaves the score as it was
    replacement: bool = False  # go through the candidates again until a pass adds none (App. I)
    metric: str = "accuracy"  # or another one of trials.PER_IMAGE and trials.WHOLE
    early_rejection: bool = True  # stop evaluating where the decision is certain
    statistics: Literal["average", "estimate"] = "average"  # of BatchNorms, in every trial

    def __post_init__(self) -> None:
        allowed = {
            "order": ["held-out", "random"],
            "metric": [*PER_IMAGE, *WHOLE],
            "statistics": ["average", "estimate"],
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(
                    f"greedy: {name} is {getattr(self, name)!r}, allowed: {', '.join(values)}"
                )
        if self.replacement and self.accept_ties:
            raise ValueError("greedy: replacement with accept_ties could add equals for ever")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A candidate, and what became of it."""

    name: str
    held_out_accuracy: float  # of the candidate alone
    decision: Literal["kept", "rejected"]
    score: float | None  # of the soup with it
    bound: float | None  # where evaluation stopped early: the score is at most this
    images_evaluated: int


def greedy(
    spec: GreedySpec, candidates: Sequence[Candidate], held_out: HeldOut, trace: Trace
) -> Soup:
    """The mean of the candidates that Recipe 1 keeps."""
    accuracies = check_pool(candidates, held_out)
    order = order_candidates(accuracies, spec)
    decisions = [Decision(**decision) for decision in trace.load() or []]
    kitchen = _Kitchen(spec, candidates, held_out)
    kept = [order[i % len(order)] for i, d in enumerate(decisions) if d.decision == "kept"]
    if kept:
        kitchen.restore(kept)

    coming = islice(cycle(order), len(decisions), None if spec.replacement else len(order))
    stream = read_ahead(candidates[position].weights for position in coming)
    decisions = choose(
        [candidates[position].name for position in order],
        [accuracies[position] for position in order],
        spec,
        attempt=lambda place, to_beat: kitchen.attempt(order[place], next(stream), to_beat),
        keep=lambda place: kitchen.keep(order[place]),
        decisions=decisions,
        note=lambda made: trace.save([asdict(decision) for decision in made]),
    )
    stream.close()

    counts = Counter(kitchen.ingredients)  # in the order they were added
    weights = average([candidates[position].weights for position in kitchen.ingredients])
    if spec.statistics == "estimate":
        held_out.pour(weights)
        weights |= held_out.estimate()
    return Soup(
        weights=weights,
        ingredients=[candidates[position].name for position in counts],
        coefficients=[count / counts.total() for count in counts.values()],
        candidates=[asdict(decision) for decision in decisions],
        held_out_accuracy=kitchen.accuracy(),
        details={
            "images_evaluated": sum(decision.images_evaluated for decision in decisions),
            "images_of_full_evaluation": (len(decisions) - 1) * len(held_out),
            "order_is_free": kitchen.order_is_free,
        },
    )


def order_candidates(accuracies: Sequence[float], spec: GreedySpec) -> list[int]:
    """Positions of the candidates in the order they are tried.

    Of equal accuracies the later in the pool comes first, as in the official code, which sorts
    upwards and reverses.
    """
    if spec.order == "random":
        return np.random.default_rng(spec.seed).permutation(len(accuracies)).tolist()
    return np.argsort(accuracies, kind="stable")[::-1].tolist()


def choose(
    names: Sequence[str],
    accuracies: Sequence[float],
    spec: GreedySpec,
    *,
    attempt: Callable[[int, float | None], Attempt],
    keep: Callable[[int], None] = lambda place: None,
    decisions: Sequence[Decision] = (),
    note: Callable[[list[Decision]], None] = lambda decisions: None,
) -> list[Decision]:
    """Decide on candidates in the order given (Recipe 1).

    Args:
        accuracies: of each candidate alone.
        attempt: from a candidate's place and the score to beat (None for the first) to the score
            of the soup with it.
        keep: called with the place of the candidate last attempted if it is kept.
        decisions: those of an interrupted earlier call.
        note: called with all decisions after each.
    """
    made = list(decisions)
    kept_scores = [d.score for d in made if d.decision == "kept" and d.score is not None]
    best = kept_scores[-1] if kept_scores else None
    while not _finished(made, len(names), spec.replacement):
        place = len(made) % len(names)
        tried = attempt(place, best)
        kept = best is None or (
            tried.score is not None
            and (tried.score > best or (spec.accept_ties and tried.score == best))
        )
        if kept:
            best = tried.score
            keep(place)
        made.append(
            Decision(
                name=names[place],
                held_out_accuracy=accuracies[place],
                decision="kept" if kept else "rejected",
                **asdict(tried),
            )
        )
        _log(made[-1])
        note(made)
    return made


def _log(decision: Decision) -> None:
    result = f"{decision.score:.4f}" if decision.score is not None else f"<= {decision.bound:.4f}"
    logger.info(
        "%s %s: %.4f alone, soup with it %s, %d images evaluated",
        *(decision.decision, decision.name, decision.held_out_accuracy, result),
        decision.images_evaluated,
    )


def _finished(decisions: Sequence[Decision], num_candidates: int, replacement: bool) -> bool:
    if not decisions or len(decisions) % num_candidates:
        return False
    last_pass = decisions[-num_candidates:]
    return not replacement or all(decision.decision == "rejected" for decision in last_pass)


class _Kitchen:
    """The soup so far, and the soup with the next candidate in the model.

    The float64 sum of the ingredients never has anything but them added: taking a rejected
    candidate off again would leave its rounding error. So the soup equals that of `average`.
    """

    def __init__(self, spec: GreedySpec, candidates: Sequence[Candidate], held_out: HeldOut):
        sources = [Checkpoint(candidate.weights) for candidate in candidates]
        self._entries = check_alike(sources)
        self._fixed = common_integers(sources, self._entries)
        self._tied = find_tied(self._entries)
        self._spec, self._candidates, self._held_out = spec, candidates, held_out
        self._sum: Weights = {}
        self._new_sum: Weights = {}  # with the candidate last attempted
        self._logits = self._new_logits = np.empty(0)  # (n, C), of the soup and with the candidate
        self.ingredients: list[int] = []  # positions in the order added, some perhaps again
        self.order_is_free = True

    def attempt(self, position: int, weights: Weights, to_beat: float | None) -> Attempt:
        """Try the soup with one more candidate."""
        check_finite(weights, self._candidates[position].weights)
        self._pour_with(weights)
        stored = read_logits(self._candidates[position].logits).logits
        if to_beat is None:
            return self._attempt_first(stored)
        if not self._spec.early_rejection or self._spec.metric in WHOLE or not self.order_is_free:
            return self._attempt_all()
        # The sum has the same order of margins as the mean.
        expected = len(self.ingredients) * self._logits + stored
        order = margins(expected, self._held_out.labels).argsort(kind="stable")
        tried, logits = attempt_per_image(
            self._held_out, PER_IMAGE[self._spec.metric], order, to_beat, self._spec.accept_ties
        )
        if logits is not None:
            self._new_logits = logits
        return tried

    def keep(self, position: int) -> None:
        """Make the soup last attempted the soup."""
        self._sum, self._logits = self._new_sum, self._new_logits
        self.ingredients.append(position)

    def accuracy(self) -> float:
        """Held-out accuracy of the soup."""
        return score_all("accuracy", self._logits, self._held_out.labels)

    def restore(self, positions: Sequence[int]) -> None:
        """Make the soup of these candidates the soup."""
        for position in positions:
            self._pour_with(read_weights(self._candidates[position].weights))
            self._sum = self._new_sum
            self.ingredients.append(position)
        self._logits = self._held_out.logits()
        self.order_is_free, _ = self._check_order(self._logits)

    def _pour_with(self, weights: Weights) -> None:
        num_ingredients = len(self.ingredients) + 1
        soup = dict(self._fixed)
        self._new_sum = {}
        for key, entry in self._entries.items():
            if key in self._tied:
                soup[key] = soup[self._tied[key]]
            elif key not in self._fixed:
                total = weights[key].to(self._held_out.device).double()
                if self._sum:
                    total += self._sum[key]
                self._new_sum[key] = total
                soup[key] = (total / num_ingredients).to(entry.dtype)
        self._held_out.pour(soup)
        if self._spec.statistics == "estimate":
            self._held_out.estimate()

    def _attempt_first(self, stored: np.ndarray) -> Attempt:
        """Score a single candidate, by its stored logits if the model agrees with them."""
        num_checked = 2 * self._held_out.batch_size
        self.order_is_free, agree = self._check_order(stored)
        if not agree or stored.dtype != np.float32:
            tried = self._attempt_all()
            return replace(tried, images_evaluated=tried.images_evaluated + num_checked)
        self._new_logits = stored
        score = score_all(self._spec.metric, stored, self._held_out.labels)
        return Attempt(score=score, bound=None, images_evaluated=num_checked)

    def _check_order(self, logits: np.ndarray) -> tuple[bool, bool]:
        free, agree = order_is_free(self._held_out, logits)
        if not free:
            logger.warning(
                "logits depend on the order of images on %s: every soup is evaluated on all "
                "images, in their order",
                self._held_out.device,
            )
        if not agree:
            logger.info("the first candidate is evaluated afresh: its stored logits differ here")
        return free, agree

    def _attempt_all(self) -> Attempt:
        self._new_logits = self._held_out.logits()
        score = score_all(self._spec.metric, self._new_logits, self._held_out.labels)
        return Attempt(score=score, bound=None, images_evaluated=len(self._held_out))


def read_ahead(paths: Iterable[Path]) -> Generator[Weights]:
    """Weights of each file; the next is read while one is in use."""
    with ThreadPoolExecutor(1) as reader:
        waiting: Future[Weights] | None = None
        for path in paths:
            coming = reader.submit(read_weights, path)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
