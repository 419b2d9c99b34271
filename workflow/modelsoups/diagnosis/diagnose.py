"""The diagnosis of a pool, from what is cheap to what is dear.

Headers tell which models do not fit; one pass over the files tells distances and angles, heads,
statistics and copies. Then come evaluations on a sample of the held-out set: each model alone (if
its scores are not at hand), three places on the line from the best model to each other, the uniform
soup, the same with its BatchNorm statistics estimated anew and without one model each, and one
block at a time on the way to the worst. Besides the evaluator's own weights two sets are in memory,
and a buffer; for the soups without one model a sum in float64 as well.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from modelsoups.diagnosis import tables
from modelsoups.diagnosis.distances import (
    VARIANCE,
    Geometry,
    find_misfits,
    half_precision,
    layer_with_classifier,
    match_heads,
    measure,
    relabelled_accuracy,
    statistics_gaps,
)
from modelsoups.diagnosis.facts import Facts, ModelFacts
from modelsoups.diagnosis.trials import (
    Evaluate,
    Scores,
    along_line,
    block_by_block,
    compare,
    decisive,
    without_each,
)
from modelsoups.diagnosis.verdicts import conclude, find_causes
from modelsoups.diagnosis.weight_causes import (
    FAR_STATISTICS,
    SEEN_STATISTICS,
    judge_failed,
    judge_shapes,
)
from modelsoups.diagnosis.words import Verdict
from modelsoups.evaluation.statistics import Estimate
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import (
    Checkpoint,
    Model,
    Source,
    Weights,
    open_source,
)

logger = logging.getLogger(__name__)

START = "initialization"
FEWEST = 2  # models that a soup is made of


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is at hand besides weights, of the very examples that `evaluate` scores."""

    alone: Mapping[str, Scores] = field(default_factory=dict)  # of models, perhaps of the start
    predictions: Mapping[str, np.ndarray] = field(default_factory=dict)  # (n,) classes
    labels: np.ndarray | None = None  # (n,)
    # Names -> scores of the mean of these models' outputs.
    ensemble: Callable[[Sequence[str]], Scores] | None = None
    soups: Mapping[str, Scores] = field(default_factory=dict)  # stored soups
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # hyper-parameters
    # Model -> recipe -> what became of it there, in words.
    decisions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Verdicts in words, the most fundamental first, and the facts that they follow from."""

    verdicts: Sequence[Verdict]
    facts: Facts | None  # None if there were no two models to compare

    def __str__(self) -> str:
        sentences = [*map(str, self.verdicts), *self.remedy()]
        return "\n".join(["Diagnosis:", *(f"- {each}" for each in sentences)])

    def remedy(self) -> list[str]:
        """What the soup of the models that nothing is wrong with scores, if they are not all."""
        if self.facts is None or self.facts.rest is None:
            return []
        return [
            f"The uniform soup of the {len(self.facts.stays)} others scores "
            f"{self.facts.show_difference(self.facts.rest)} against {self.facts.reference}; "
            f"that of all {self.facts.show_difference(self.facts.soup)}."
        ]

    @property
    def models(self) -> pd.DataFrame:
        """One row a model: `tables.list_models`."""
        return tables.list_models(self.facts, self.verdicts)


def diagnose(
    models: Mapping[str, Model],
    evaluate: Evaluate,
    *,
    initialization: Model | None = None,
    estimate: Callable[[Weights], Weights] | None = None,
    known: Known = Known(),
    margin: float = 0.02,
) -> Diagnosis:
    """Why the soup of a pool is no better than its best model.

    Args:
        models: name -> weights, or their safetensors file; at least two.
        evaluate: weights -> scores on a sample of the held-out set, of which the first decides.
        initialization: what the models were fine-tuned from, if it is at hand.
        estimate: weights -> the same with the statistics of BatchNorms estimated on examples.
        known: what need not be computed.
        margin: a smaller difference of scores is no reason; 0.02 as in Frankle et al. 2020
            (arXiv 1912.05671, Section 2), who call two networks connected below a barrier of 2 %.
    Raises: ValueError if there are fewer than two models.
    """
    if len(models) < FEWEST:
        raise ValueError(f"expected at least two models to diagnose, found {len(models)}")
    if START in models and initialization is not None:
        raise ValueError(f"expected models by other names than {START}, which is their start")
    start = {} if initialization is None else {START: initialization}
    everything: dict[str, Model] = {**models, **start}
    sources = {name: open_source(model, name) for name, model in everything.items()}
    failed = {
        name: f"the run failed ({why})"
        for name, source in sources.items()
        if isinstance(source, Checkpoint) and (why := source.metadata.get("failure"))
    }
    fitting = {name: source for name, source in sources.items() if name not in failed}
    misfits = find_misfits(fitting) if fitting else {}
    if (why := misfits.pop(START, None)) is not None:
        logger.warning("%s is not looked at: it %s", START, why)
        del fitting[START]
    fitting = {name: source for name, source in fitting.items() if name not in misfits}
    # The start comes first.
    fitting = {name: fitting[name] for name in sorted(fitting, key=lambda name: name != START)}
    if len(fitting.keys() & models.keys()) < FEWEST:
        return without_facts(failed, misfits)
    geometry, gaps = measure(fitting), statistics_gaps(fitting)
    alone = dict(known.alone)
    for name, length in zip(fitting, geometry.total.diagonal(), strict=True):
        if not np.isfinite(length + gaps[name]):
            failed[name] = "values are NaN or infinite"
        elif name not in alone:
            alone[name] = evaluate(sources[name].load())
        if name not in failed and not np.isfinite(decisive(alone[name])).all():
            failed[name] = "its score is NaN or infinite"
    whole = {name: source for name, source in fitting.items() if name not in failed}
    pool = {name: whole[name] for name in models if name in whole}
    if len(pool) < FEWEST:
        return without_facts(failed, misfits)
    geometry = geometry.of(list(whole))
    gaps = statistics_gaps(whole)
    facts = measure_scores(pool, whole, geometry, gaps, alone, evaluate, estimate, known, margin)
    facts = replace(facts, failed=failed, misfits=misfits)
    causes = find_causes(facts)
    facts = measure_rest(facts, causes, pool, decisive(alone[facts.reference]), evaluate, known)
    return Diagnosis(verdicts=[*causes, *conclude(facts, causes)], facts=facts)


def measure_rest(
    facts: Facts,
    causes: Sequence[Verdict],
    pool: Mapping[str, Source],
    best: np.ndarray,
    evaluate: Evaluate,
    known: Known,
) -> Facts:
    """The facts with the soup and the ensemble of the models that nothing is wrong with."""
    harmful = {name for each in causes for name in each.models if each.kind != "precision"}
    stays = [name for name in pool if name not in harmful]
    rest, ensemble = None, None
    if FEWEST <= len(stays) < len(pool):
        scores = evaluate(average([pool[name] for name in stays]))
        rest = compare(decisive(scores), best)
    if len(stays) >= FEWEST and known.ensemble is not None:
        ensemble = compare(decisive(known.ensemble(stays)), best)
    return replace(facts, stays=stays, rest=rest, ensemble=ensemble)


def without_facts(failed: Mapping[str, str], misfits: Mapping[str, str]) -> Diagnosis:
    """When fewer than two models are left that can be averaged."""
    verdicts = [each for each in (judge_failed(failed), judge_shapes(misfits)) if each is not None]
    return Diagnosis(verdicts=verdicts, facts=None)


def measure_scores(
    pool: Mapping[str, Source],
    sources: Mapping[str, Source],
    geometry: Geometry,
    gaps: Mapping[str, float],
    alone: Mapping[str, Scores],
    evaluate: Evaluate,
    estimate: Callable[[Weights], Weights] | None,
    known: Known,
    margin: float,
) -> Facts:
    """What evaluations tell of a pool, put together with what its weights do."""
    reference = choose_reference(geometry, alone)
    best = decisive(alone[reference])
    estimate = estimate if any(key.endswith(VARIANCE) for key in entries_of(sources)) else None

    def re_estimated(weights: Weights, plain: Scores) -> Estimate | None:
        if estimate is None:
            return None
        return compare(decisive(evaluate(estimate(weights))), decisive(plain))

    lines = {
        name: along_line(pool[reference], model, (alone[reference], alone[name]), evaluate)
        for name, model in pool.items()
        if name != reference
    }
    soup = average(list(pool.values()))
    of_soup = evaluate(soup)
    without = without_each(pool, soup, evaluate) if len(pool) > FEWEST else {}
    soup_re_estimated = re_estimated(soup, of_soup)
    del soup
    matches = match_heads({name: sources[name] for name in pool}, geometry.head)
    usual = float(np.median([gaps[name] for name in pool]))
    places = list(geometry.names)
    settled = {
        name: ModelFacts(
            score=float(decisive(alone[name]).mean()),
            against_best=compare(decisive(alone[name]), best),
            relabelled=relabelled_accuracy(known.predictions[name], known.labels)
            if name in known.predictions and known.labels is not None
            else None,
            moved=float(geometry.distances[0, places.index(name)]) if START in places else None,
            match=matches.get(name),
            statistics=gaps[name],
            re_estimated=re_estimated(model.load(), alone[name])
            if gaps[name] > max(FAR_STATISTICS * usual, SEEN_STATISTICS)
            else None,
            line=lines.get(name),
            without=compare(decisive(without[name]), decisive(of_soup)) if without else None,
            dtype=half_precision(sources).get(name),
            settings=known.settings.get(name, {}),
            decisions=known.decisions.get(name, {}),
        )
        for name, model in pool.items()
    }
    farthest = min(lines, key=lambda name: lines[name].middle.value)
    blocks = {}
    if lines[farthest].middle.value < -margin:
        layer_of = partial(layer_with_classifier, head=geometry.head)
        found = block_by_block(pool[reference], pool[farthest], layer_of, evaluate)
        blocks = {layer: float((best - decisive(each)).mean()) for layer, each in found.items()}
    differing = [float((decisive(alone[name]) != best).mean()) for name in lines]
    return Facts(
        models=settled,
        failed={},
        misfits={},
        geometry=geometry,
        start=START if START in places else None,
        start_score=float(decisive(alone[START]).mean()) if START in places else None,
        over_start=compare(best, decisive(alone[START])) if START in places else None,
        reference=reference,
        metric=next(iter(alone[reference])),
        is_share=all(0 <= each.score <= 1 for each in settled.values()),
        num_examples=len(best),
        soup=compare(decisive(of_soup), best),
        soup_score=float(decisive(of_soup).mean()),
        re_estimated=soup_re_estimated,
        soups={name: compare(decisive(each), best) for name, each in known.soups.items()},
        disagreement=float(np.median(differing)) if len(best) > 1 else None,
        blocks=blocks,
        blocks_of=farthest if blocks else None,
        margin=margin,
    )


def choose_reference(geometry: Geometry, alone: Mapping[str, Scores]) -> str:
    """The best model of those that share a start: of the largest such family, that of the start
    before others, then that of the best model."""

    def score(name: str) -> float:
        return float(decisive(alone[name]).mean())

    families = []
    for family in geometry.families():
        if members := [name for name in family if name != START]:
            best = max(members, key=score)
            families.append((len(members), START in family, score(best), best))
    return max(families)[-1]


def entries_of(sources: Mapping[str, Source]) -> Mapping[str, Any]:
    return next(iter(sources.values())).entries
