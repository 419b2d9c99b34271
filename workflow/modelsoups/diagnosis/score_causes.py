"""Causes that scores tell: runs that diverged or went too far, one that spoils the rest."""

from collections.abc import Sequence

import numpy as np

from modelsoups.diagnosis.facts import Facts, ModelFacts
from modelsoups.diagnosis.words import Explained, Verdict, names_of, open_models, who

MUCH_LARGER = 2.0  # learning rate or distance, times the others'


def is_diverged(facts: Facts, model: ModelFacts) -> bool:
    """Whether a model is far worse than the best: than its start or, of shares, half as good."""
    if not facts.worse(model.against_best):
        return False
    best = facts.models[facts.reference].score
    below_start = facts.start_score is not None and model.score < facts.start_score - facts.margin
    trained = facts.start_score is not None and best > facts.start_score + facts.margin
    return (below_start and trained) or (facts.is_share and model.score < best / 2)


def judge_diverged(facts: Facts, explained: Explained) -> Verdict | None:
    found = {
        name: model
        for name, model in open_models(facts, explained).items()
        if is_diverged(facts, model)
    }
    if not found:
        return None
    scores = ", ".join(facts.show(model.score) for model in list(found.values())[:8])
    start = "" if facts.start_score is None else f", the start {facts.show(facts.start_score)}"
    rates = lr_text(facts, list(found))
    return Verdict(
        kind="diverged",
        models=list(found),
        what=f"{names_of(list(found))} diverged or did not learn.",
        evidence=f"Alone: {scores}; {facts.reference} has "
        f"{facts.show(facts.models[facts.reference].score)}{start}.{rates}",
        advice="Leave it out of uniform soups (greedy does), or train it again with a smaller "
        "learning rate.",
    )


def is_below_start(facts: Facts) -> bool:
    """Whether no model is as good as what all were fine-tuned from."""
    return facts.worse(facts.over_start)


def judge_start(facts: Facts, explained: Explained) -> Verdict | None:
    if not is_below_start(facts) or facts.over_start is None or facts.start_score is None:
        return None
    return Verdict(
        kind="start",
        models=[],
        what="No model is as good as the start that they were fine-tuned from.",
        evidence=f"{facts.reference}, the best, scores {facts.show_difference(facts.over_start)} "
        f"against {facts.show(facts.start_score)} of the start.",
        advice="Look at the learning rate, the labels and the length of training before making "
        "soups.",
    )


def has_barrier(facts: Facts, model: ModelFacts) -> bool:
    """Whether the middle between a model and the reference is worse than the mean of both."""
    return model.line is not None and facts.worse(model.line.middle)


def lr_text(facts: Facts, models: Sequence[str]) -> str:
    """The learning rates of some models and of the others, if they are known."""
    rates = {name: each.settings.get("lr") for name, each in facts.models.items()}
    inside = [rate for name, rate in rates.items() if rate is not None and name in models]
    outside = [rate for name, rate in rates.items() if rate is not None and name not in models]
    if not inside:
        return ""
    text = f" Learning rates: {min(inside):.2g} to {max(inside):.2g}"
    return text + (f"; of the others {min(outside):.2g} to {max(outside):.2g}." if outside else ".")


def where(facts: Facts, models: Sequence[str]) -> str:
    """The layer that costs most if it alone is halfway to the farthest model, if that is known."""
    if facts.blocks_of not in models or not facts.blocks:
        return ""
    layer = max(facts.blocks, key=lambda each: facts.blocks[each])
    drop = facts.blocks[layer]
    lost = f"{100 * drop:.1f} points" if facts.is_share else f"{drop:.3g}"
    return f" Of single layers halfway to {facts.blocks_of}, {layer} costs most: {lost}."


def judge_learning_rate(facts: Facts, explained: Explained) -> Verdict | None:
    """Barriers that nothing above explains: the runs have left the basin they began in."""
    rest = open_models(facts, explained)
    models = [name for name, model in rest.items() if has_barrier(facts, model)]
    others = [n for n in facts.models if n not in models and n not in explained]
    if not models:
        return None
    rates = {name: model.settings.get("lr") for name, model in facts.models.items()}
    inside = [rate for name in models if (rate := rates[name]) is not None]
    outside = [rate for name in others if (rate := rates[name]) is not None]
    most = len(models) > len(rest) / 2
    larger = bool(inside and outside) and float(np.median(inside)) >= (
        MUCH_LARGER * float(np.median(outside))
    )
    far = [model for name in models if (model := facts.models[name].moved) is not None]
    near = [model for name in others if (model := facts.models[name].moved) is not None]
    farther = bool(far and near) and float(np.median(far)) >= MUCH_LARGER * float(np.median(near))
    if not (most or larger or farther):
        return None
    middles = [facts.models[name].line.middle for name in models]  # type: ignore[union-attr]
    worst = min(middles, key=lambda each: each.value)
    moved = (
        f" They moved {np.median(far):.2f} times the length of the weights from the start"
        + (f", the others {np.median(near):.2f}." if near and not most else ".")
        if far
        else f" Their distance from {facts.reference} is up to "
        f"{max(facts.distance(facts.reference, name) for name in models):.2f} times the length of "
        "the weights."
    )
    if most and not (larger or farther):  # of the pool, also where single lines are not sure
        models = list(rest)
    models = who(facts, models)
    return Verdict(
        kind="learning-rate",
        models=models,
        what="The learning rate (or the length of training) is too high for a soup"
        + ("." if len(models) == len(facts.models) else f": of {names_of(models)}."),
        evidence=f"Start and head are shared, but halfway to {facts.reference} the score falls "
        f"below the mean of both ends, by {facts.show_difference(worst)} at worst."
        f"{lr_text(facts, models)}{moved}{where(facts, models)}",
        advice="Fine-tune with a smaller peak learning rate or for fewer epochs (the paper's soups "
        "have small ones, Section 3.2), or leave out the runs with the largest.",
    )


def judge_barrier(facts: Facts, explained: Explained) -> Verdict | None:
    """Barriers of some models that neither learning rate nor distance explain."""
    rest = open_models(facts, explained)
    models = [name for name, model in rest.items() if has_barrier(facts, model)]
    if not models:
        return None
    middles = [facts.models[name].line.middle for name in models]  # type: ignore[union-attr]
    worst = min(middles, key=lambda each: each.value)
    return Verdict(
        kind="barrier",
        models=models,
        what=f"There is a barrier between {facts.reference} and {names_of(models)}.",
        evidence="Halfway the score falls below the mean of both ends, by "
        f"{facts.show_difference(worst)} at worst.{where(facts, models)}",
        advice="Look at that layer, and at what those runs have that the others do not; a greedy "
        "soup leaves them out.",
    )


def judge_ingredient(facts: Facts, explained: Explained) -> Verdict | None:
    """A model without which the soup of all is better (intervals by Bonferroni's rule)."""
    found = {
        name: model.without
        for name, model in facts.models.items()
        if name not in explained and model.without is not None and facts.better(model.without)
    }
    if not found:
        return None
    name = max(found, key=lambda each: found[each].value)
    decisions = "".join(
        f" {recipe}: {what}." for recipe, what in facts.models[name].decisions.items()
    )
    return Verdict(
        kind="ingredient",
        models=[name],
        what=f"One ingredient spoils the soup: {name}.",
        evidence=f"The uniform soup without it scores {facts.show_difference(found[name])} against "
        f"that of all.{decisions}",
        advice="Leave it out, or make a greedy or pruned soup.",
    )
