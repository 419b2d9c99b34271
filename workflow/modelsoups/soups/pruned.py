"""The pruned soup: from the mean of all candidates, those are taken out without which it is better.

As the greedy soup the other way round (Dansereau et al. 2023, arXiv 2301.10092): it begins where
that may never come, at the uniform soup, and ends where no single removal raises the held-out
score. Candidates are tried one after another, the worst alone first, and those that are left again,
until each of them has been tried in vain since the last removal. A tie removes nothing.

The soup without a candidate is the float64 sum less that candidate: one read a trial. A trial may
differ from `average` of what is left in the last bit of a few weights in 2^29, as the sum has been
rounded once more; the result is `average` of what is left, and scored as such. Early rejection is
that of the greedy soup, with the same decisions as a full evaluation.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from modelsoups.base.progress import Trace
from modelsoups.soups.greedy import RunningMean
from modelsoups.soups.pool import Candidate, HeldOut, Soup, check_pool, record_of
from modelsoups.soups.registry import GreedySpec, PrunedSpec
from modelsoups.soups.selection import Attempt, order_candidates

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A candidate that the soup was tried without, and what became of it."""

    name: str
    held_out_accuracy: float  # of the candidate alone; of no classes its score
    decision: Literal["kept", "removed"]
    score: float | None  # of the soup without it
    bound: float | None  # where evaluation stopped early: the score is at most this
    num_evaluated: int  # examples


def pruned(
    spec: PrunedSpec,
    candidates: Sequence[Candidate],
    held_out: HeldOut,
    trace: Trace,
    initialization: Path | None = None,
) -> Soup:
    """The mean of the candidates that no removal improves."""
    accuracies = check_pool(candidates, held_out)
    alone = check_pool(candidates, held_out, spec.metric)
    order = order_candidates(alone, GreedySpec(order=spec.order, seed=spec.seed))
    if spec.order == "held-out":
        order.reverse()
    position_of = {candidate.name: position for position, candidate in enumerate(candidates)}

    removals = [Removal(**removal) for removal in trace.load() or []]
    gone = [removal.name for removal in removals if removal.decision == "removed"]
    mean = RunningMean(spec, candidates, held_out)
    mean.restore(range(len(candidates)), [position_of[name] for name in gone])

    def attempt(name: str, to_beat: float) -> Attempt:
        return mean.attempt_without(position_of[name], to_beat)

    removals = prune(
        [candidates[position].name for position in order],
        dict(zip(position_of, accuracies, strict=True)),
        mean.score(),
        attempt=attempt,
        remove=lambda name: mean.remove(position_of[name]),
        removals=removals,
        note=lambda made: trace.save([asdict(removal) for removal in made]),
    )

    left = [candidates[position] for position in sorted(mean.ingredients)]
    mean.ingredients.sort()
    weights = mean.average()
    held_out.pour(weights, "the pruned soup")
    if spec.statistics == "estimate":
        weights |= held_out.estimate()
    names = [candidate.name for candidate in left]
    tried = {removal.name for removal in removals}
    return Soup(
        weights=weights,
        ingredients=names,
        coefficients=[1 / len(names)] * len(names),
        candidates=[
            *(record_of(removal, held_out) for removal in removals),
            *(
                {"name": each.name, **held_out.alone(accuracy), "decision": "kept"}
                for each, accuracy in zip(candidates, accuracies, strict=True)
                if each.name not in tried  # the only one left
            ),
        ],
        held_out_score=held_out.reported(held_out.logits()),
        details={
            "num_evaluated": sum(removal.num_evaluated for removal in removals),
            "num_of_full_evaluation": len(removals) * len(held_out),
            "order_is_free": mean.order_is_free,
            "early_rejection": mean.early_rejection(),
        },
    )


def prune(
    names: Sequence[str],
    accuracies: dict[str, float],
    score: float,
    *,
    attempt: Callable[[str, float], Attempt],
    remove: Callable[[str], None],
    removals: Sequence[Removal] = (),
    note: Callable[[list[Removal]], None] = lambda removals: None,
) -> list[Removal]:
    """Try the soup without each candidate, until each that is left was tried in vain.

    Args:
        names: in the order they are tried. accuracies: of each alone, for the record.
        score: of the soup of all or, after an interruption, of those that are left.
        attempt: from a name, and the score to beat, to the score without that candidate.
        remove: called with the name last attempted if it goes.
        removals: those of an interrupted earlier call.
        note: called with all removals after each.
    """
    made: list[Removal] = []
    waiting, in_vain, best = deque(names), 0, score
    while in_vain < len(waiting) and len(waiting) > 1:
        name = waiting[0]
        if len(made) < len(removals):
            made.append(removals[len(made)])
        else:
            tried = attempt(name, best)
            goes = tried.score is not None and tried.score > best
            if goes:
                remove(name)
            made.append(
                Removal(
                    name=name,
                    held_out_accuracy=accuracies[name],
                    decision="removed" if goes else "kept",
                    **asdict(tried),
                )
            )
            logger.info("%s %s: without it %s", made[-1].decision, name, tried)
            note(made)
        if made[-1].decision == "removed" and made[-1].score is not None:
            waiting.popleft()
            in_vain, best = 0, made[-1].score
        else:
            waiting.rotate(-1)
            in_vain += 1
    return made
