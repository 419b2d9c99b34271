"""Recipe 1 of the paper, whatever is scored: candidates one after another, kept if they help.

A candidate is kept if the score with it is strictly higher, as Recipe 1 and the official code have
it (`main.py:181`); with `accept_ties` also if the score is equal, as the caption of Figure 1 says
("does not decrease"). The first candidate is always kept.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from modelsoups.soups.registry import GreedySpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The score with a candidate, or a bound that is enough to reject it."""

    score: float | None  # None where evaluation stopped early
    bound: float | None  # then the score is at most this
    num_evaluated: int  # examples


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A candidate, and what became of it."""

    name: str
    held_out_accuracy: float  # of the candidate alone; of no classes its score
    decision: Literal["kept", "rejected"]
    score: float | None  # of the soup with it
    bound: float | None  # where evaluation stopped early: the score is at most this
    num_evaluated: int  # examples


def order_candidates(scores: Sequence[float], spec: GreedySpec) -> list[int]:
    """Positions of the candidates in the order they are tried.

    Of equal scores the later in the pool comes first, as in the official code, which sorts upwards
    and reverses.

    Args: scores: held-out score of each candidate alone, by the spec's metric.
    """
    if spec.order == "random":
        return np.random.default_rng(spec.seed).permutation(len(scores)).tolist()
    return np.argsort(scores, kind="stable")[::-1].tolist()


def choose(
    names: Sequence[str],
    accuracies: Sequence[float],
    spec: GreedySpec,
    *,
    attempt: Callable[[int, float | None], Attempt],
    keep: Callable[[int], None] = lambda position: None,
    decisions: Sequence[Decision] = (),
    note: Callable[[list[Decision]], None] = lambda decisions: None,
) -> list[Decision]:
    """Decide on candidates in the order given (Recipe 1).

    Args:
        accuracies: of each candidate alone, for the record.
        attempt: from a candidate's position in that order, and the score to beat (None for the
            first), to the score with it.
        keep: called with the position of the candidate last attempted if it is kept.
        decisions: those of an interrupted earlier call.
        note: called with all decisions after each.
    """
    made = list(decisions)
    kept_scores = [d.score for d in made if d.decision == "kept" and d.score is not None]
    best = kept_scores[-1] if kept_scores else None
    while not _finished(made, len(names), spec.replacement):
        position = len(made) % len(names)
        tried = attempt(position, best)
        kept = best is None or (
            tried.score is not None
            and (tried.score > best or (spec.accept_ties and tried.score == best))
        )
        if kept:
            best = tried.score
            keep(position)
        made.append(
            Decision(
                name=names[position],
                held_out_accuracy=accuracies[position],
                decision="kept" if kept else "rejected",
                **asdict(tried),
            )
        )
        _log(made[-1])
        note(made)
    return made


def _finished(decisions: Sequence[Decision], num_candidates: int, replacement: bool) -> bool:
    if not decisions or len(decisions) % num_candidates:
        return False
    last_pass = decisions[-num_candidates:]
    return not replacement or all(decision.decision == "rejected" for decision in last_pass)


def _log(decision: Decision) -> None:
    result = f"{decision.score:.4f}" if decision.score is not None else f"<= {decision.bound:.4f}"
    logger.info(
        "%s %s: %.4f alone, together %s, %d examples evaluated",
        *(decision.decision, decision.name, decision.held_out_accuracy, result),
        decision.num_evaluated,
    )
