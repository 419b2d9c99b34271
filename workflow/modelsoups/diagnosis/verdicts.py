"""Verdicts on a pool: what is wrong, the evidence, and what to do; computed from facts alone.

Judges are asked one after another, the most fundamental first. A model that one of them has named
is explained, and later ones look at the others: a model with another start has a barrier, too, but
that is no sign of a learning rate.
"""

from modelsoups.diagnosis import conclusions, score_causes, weight_causes
from modelsoups.diagnosis.facts import Facts
from modelsoups.diagnosis.words import Judge, Verdict

CAUSES: dict[str, Judge] = {
    "failed": lambda facts, explained: weight_causes.judge_failed(facts.failed),
    "shapes": lambda facts, explained: weight_causes.judge_shapes(facts.misfits),
    "duplicates": weight_causes.judge_duplicates,
    "initialization": weight_causes.judge_initialization,
    "class-order": weight_causes.judge_class_order,
    "head": weight_causes.judge_head,
    "statistics": weight_causes.judge_statistics,
    "start": score_causes.judge_start,
    "diverged": score_causes.judge_diverged,
    "learning-rate": score_causes.judge_learning_rate,
    "barrier": score_causes.judge_barrier,
    "ingredient": score_causes.judge_ingredient,
    "precision": weight_causes.judge_precision,
}
CONCLUSIONS: dict[str, Judge] = {
    "held-out": conclusions.judge_held_out,
    "alike": conclusions.judge_alike,
    "fine": conclusions.judge_fine,
}


def find_causes(facts: Facts) -> list[Verdict]:
    """What is wrong with a pool or some of its models, the most fundamental first."""
    return _ask(CAUSES, facts, {})


def conclude(facts: Facts, causes: list[Verdict]) -> list[Verdict]:
    """What is to be said besides causes; something, if there are none."""
    explained = {name: each.kind for each in causes for name in each.models}
    if score_causes.is_below_start(facts):
        return []  # gains over a model that is worse than the start say nothing
    found = _ask(CONCLUSIONS, facts, explained)
    return found if found or causes else [conclusions.unexplained(facts)]


def _ask(judges: dict[str, Judge], facts: Facts, explained: dict[str, str]) -> list[Verdict]:
    verdicts = []
    for each in judges.values():
        if found := each(facts, explained):
            verdicts.append(found)
            explained |= dict.fromkeys(found.models, found.kind)
    return verdicts
