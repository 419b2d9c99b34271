"""The greedy soup (paper Recipe 1), with one read per candidate and exact early rejection.

Whatever the number of candidates, main memory has the model and a tensor or two. The sum of the
soup so far, in float64 and so as much as two models, is in a file, or in a GPU's memory.
`selection` has the decisions, `rejection` how they are made on a part of the held-out examples.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from itertools import chain, cycle
from pathlib import Path

import numpy as np
from torch import Tensor

from modelsoups.base.progress import Trace
from modelsoups.evaluation.logits import read_logits
from modelsoups.evaluation.metrics import metric_of, name_of, shown
from modelsoups.models.ahead import ahead
from modelsoups.soups.pool import (
    Candidate,
    HeldOut,
    Soup,
    check_pool,
    of_the_best,
    record_of,
)
from modelsoups.soups.registry import GreedySpec, PrunedSpec
from modelsoups.soups.rejection import (
    ORDER_COUNTS,
    attempt_early,
    contested_first,
    describe_rejection,
    order_is_free,
    why_in_full,
)
from modelsoups.soups.selection import Attempt, Decision, choose, order_candidates
from modelsoups.weights.average import average, check_finite, check_fit, common_integers
from modelsoups.weights.checkpoints import (
    Checkpoint,
    Weights,
    check_alike,
    find_tied,
    read_whole,
)
from modelsoups.weights.sums import Sums

logger = logging.getLogger(__name__)


def greedy(
    spec: GreedySpec,
    candidates: Sequence[Candidate],
    held_out: HeldOut,
    trace: Trace,
    initialization: Path | None = None,
) -> Soup:
    """The mean of the candidates that Recipe 1 keeps."""
    accuracies = check_pool(candidates, held_out)
    alone = check_pool(candidates, held_out, spec.metric)
    order = order_candidates(alone, spec)
    names = [candidates[position].name for position in order]
    decisions = decided_before(trace, names)
    kept_as_is, whose = of_the_best(spec, candidates, alone)
    mean = RunningMean(spec, candidates, held_out, spec.accept_ties, kept_as_is)
    if kept := [d.name for d in decisions if d.decision == "kept"]:
        position_of = dict(zip(names, order, strict=True))
        mean.restore([position_of[name] for name in kept])

    decisions = choose(
        names,
        [accuracies[position] for position in order],
        spec,
        attempt=lambda turn, to_beat: mean.attempt(order[turn], to_beat),
        keep=lambda turn: mean.keep(order[turn]),
        decisions=decisions,
        note=lambda made: trace.save([asdict(decision) for decision in made]),
    )

    counts = Counter(mean.ingredients)  # in the order they were added
    weights = mean.average() | kept_as_is
    if spec.statistics == "estimate":
        held_out.pour(weights, "the greedy soup")
        weights |= held_out.estimate()
    scores = dict(zip((candidate.name for candidate in candidates), alone, strict=True))
    return Soup(
        weights=weights,
        ingredients=[candidates[position].name for position in counts],
        coefficients=[count / counts.total() for count in counts.values()],
        candidates=[
            {
                **record_of(decision, held_out),
                f"held_out_{name_of(spec.metric)}": shown(spec.metric, scores[decision.name]),
            }
            for decision in decisions
        ],
        held_out_score=mean.reported(),
        details={
            "num_evaluated": sum(decision.num_evaluated for decision in decisions),
            "num_of_full_evaluation": (len(decisions) - 1) * len(held_out),
            "order_is_free": mean.order_is_free,
            "early_rejection": mean.early_rejection(),
            **whose,
        },
    )


def decided_before(trace: Trace, names: Sequence[str]) -> list[Decision]:
    """The decisions of an interrupted call; none if they are of other candidates.

    Args: names: of the candidates in the order they are tried.
    """
    decisions = [Decision(**decision) for decision in trace.load() or []]
    if any(each.name != name for each, name in zip(decisions, cycle(names), strict=False)):
        logger.warning("the progress found is of other candidates; starting afresh")
        return []
    return decisions


class RunningMean:
    """The soup so far, and in the model the soup with one candidate more, or one less.

    Candidates are read tensor by tensor: once to try them, and once more if the soup changes. The
    float64 sum of the ingredients of a soup that grows never has anything but them added: taking a
    rejected candidate off again would leave its rounding error. So the soup equals that of
    `average`.
    """

    def __init__(
        self,
        spec: GreedySpec | PrunedSpec,
        candidates: Sequence[Candidate],
        held_out: HeldOut,
        accept_ties: bool = False,
        kept_as_is: Weights | None = None,
    ):
        """Args: kept_as_is: tensors that are not averaged; every soup has these."""
        self._sources = [Checkpoint(candidate.weights) for candidate in candidates]
        self._entries = check_alike(self._sources)
        check_fit(held_out.evaluator.model, self._entries)
        self._fixed = common_integers(self._sources, self._entries) | (kept_as_is or {})
        self._partial = bool(kept_as_is)
        tied = find_tied(self._entries)
        self._names: dict[str, list[str]] = {}  # tensor that is averaged -> its keys
        for key in self._entries:
            if key not in self._fixed:
                self._names.setdefault(tied.get(key, key), []).append(key)
        self._spec, self._candidates, self._held_out = spec, candidates, held_out
        self._accept_ties = accept_ties
        shapes = {key: tuple(self._entries[key].shape) for key in self._names}
        self._sum = Sums(shapes, held_out.evaluator.device)
        self._logits = self._new_logits = np.empty(
            (0, 0)
        )  # (n, C), of the soup and with the candidate
        self.ingredients: list[int] = []  # positions in the order added, some perhaps again
        self.order_is_free = True

    def attempt(self, position: int, to_beat: float | None) -> Attempt:
        """Try the soup with one more candidate."""
        self._pour([*self.ingredients, position], self._totals(position))
        stored = read_logits(self._candidates[position].logits).logits
        if to_beat is None:
            return self._attempt_first(stored)
        count = len(self.ingredients)
        return self._attempt((count * self._logits + stored) / (count + 1), to_beat)

    def attempt_without(self, position: int, to_beat: float) -> Attempt:
        """Try the soup without one of its ingredients."""
        left = [each for each in self.ingredients if each != position]
        self._pour(left, self._totals(position, removed=True))
        stored = read_logits(self._candidates[position].logits).logits
        return self._attempt((len(self.ingredients) * self._logits - stored) / len(left), to_beat)

    def keep(self, position: int) -> None:
        """Make the soup last attempted the soup: one with this candidate."""
        self._update(self._totals(position))
        self._logits = self._new_logits
        self.ingredients.append(position)

    def remove(self, position: int) -> None:
        """Make the soup last attempted the soup: one without this candidate."""
        self._update(self._totals(position, removed=True))
        self._logits = self._new_logits
        self.ingredients.remove(position)

    def _update(self, totals: Iterable[tuple[str, Tensor]]) -> None:
        for key, total in totals:
            self._sum.put(key, total)

    def average(self) -> Weights:
        """The weights of the soup; there is no other attempt after it."""
        self._sum.close()
        return average([self._candidates[position].weights for position in self.ingredients])

    def reported(self) -> float:
        """Held-out score of the soup by the metric that is reported."""
        return self._held_out.reported(self._logits)

    def score(self) -> float:
        """Held-out score of the soup, by the spec's metric."""
        return self._held_out.score(self._spec.metric, self._logits)

    def early_rejection(self) -> str:
        """For the record: `exact`, or `off` and why."""
        return describe_rejection(self._why_in_full(self._logits.shape[1]))

    def _why_in_full(self, num_classes: int) -> str:
        if not self._spec.early_rejection:
            return "the recipe has it so"
        if not self.order_is_free:
            return ORDER_COUNTS
        return why_in_full(self._spec.metric, num_classes)

    def restore(self, positions: Sequence[int], removed: Sequence[int] = ()) -> None:
        """Make the soup of these candidates, less some taken out afterwards, the soup."""
        for position in positions:
            self._update(self._totals(position))
            self.ingredients.append(position)
        for position in removed:
            self._update(self._totals(position, removed=True))
            self.ingredients.remove(position)
        self._pour(self.ingredients, self._sum.items())
        self._logits = self._held_out.logits()
        if self._held_out.kind != "score":
            self.order_is_free, _ = self._check_order(self._logits)

    def _totals(self, position: int, removed: bool = False) -> Iterator[tuple[str, Tensor]]:
        """The sum with a candidate or, `removed`, without it: tensor by tensor, in float64."""
        source, device = self._sources[position], self._held_out.evaluator.device
        with closing(ahead(partial(read_whole, source), self._names)) as tensors:
            for key, tensor in zip(self._names, tensors, strict=True):
                if not tensor.isfinite().all():
                    check_finite(source.load(), source.path)  # names all of them
                total = tensor.to(device).double()
                if removed:
                    total.neg_()
                if key in self._sum:
                    total += self._sum.get(key)
                yield key, total

    def _pour(self, ingredients: Sequence[int], totals: Iterable[tuple[str, Tensor]]) -> None:
        count = len(ingredients)
        means = (
            (name, mean)
            for key, total in totals
            for mean in [(total / count).to(self._entries[key].dtype)]
            for name in self._names[key]
        )
        names = [self._candidates[each].name for each in ingredients]
        tensors = chain(self._fixed.items(), means)
        self._held_out.evaluator.pour_each(tensors, f"the soup of {', '.join(names)}")
        if self._spec.statistics == "estimate":
            self._held_out.estimate()

    def _attempt(self, expected: np.ndarray, to_beat: float) -> Attempt:
        """Score the soup in the model, as far as the decision needs.

        Args: expected: (n, C) about what its logits will be.
        """
        metric, held_out = self._spec.metric, self._held_out
        if self._why_in_full(expected.shape[1]):
            return self._attempt_all()
        order = contested_first(expected, held_out, metric)
        tried, logits = attempt_early(held_out, metric, order, to_beat, self._accept_ties)
        if logits is not None:
            self._new_logits = logits
        return tried

    def _attempt_first(self, stored: np.ndarray) -> Attempt:
        """Score a single candidate, by its stored logits if they are what the model gives here.

        Logits in float16 are not, nor those made with the candidate's own statistics where the
        soup's are estimated, nor those of all its tensors where the soup has some of another. By a
        metric of logits it is what the model gives here: that predictions agree is too little.
        """
        if self._held_out.kind == "score":  # of all examples at once
            return self._attempt_all()
        num_checked = 2 * self._held_out.batch_size
        self.order_is_free, agree = self._check_order(stored)
        own = self._spec.statistics == "average" and not self._partial
        own = own and metric_of(self._spec.metric).reads == "predictions"
        if not agree or not own or stored.dtype != np.float32:
            tried = self._attempt_all()
            return replace(tried, num_evaluated=tried.num_evaluated + num_checked)
        self._new_logits = stored
        score = self._held_out.score(self._spec.metric, stored)
        return Attempt(score=score, bound=None, num_evaluated=num_checked)

    def _check_order(self, logits: np.ndarray) -> tuple[bool, bool]:
        free, agree = order_is_free(self._held_out, logits)
        if not free:
            logger.warning(
                "logits depend on the order of examples on %s: every soup is evaluated on all of "
                "them, in their order",
                self._held_out.evaluator.device,
            )
        if not agree:
            logger.info("the first candidate is evaluated afresh: its stored logits differ here")
        return free, agree

    def _attempt_all(self) -> Attempt:
        self._new_logits = self._held_out.logits()
        score = self._held_out.score(self._spec.metric, self._new_logits)
        return Attempt(score=score, bound=None, num_evaluated=len(self._held_out))
