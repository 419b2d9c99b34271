"""Causes that the weights tell: what is averaged does not belong together."""

from collections.abc import Mapping

import numpy as np

from modelsoups.diagnosis.distances import HALF, RELATED
from modelsoups.diagnosis.facts import Facts
from modelsoups.diagnosis.score_causes import is_diverged
from modelsoups.diagnosis.words import (
    Explained,
    Verdict,
    is_clean,
    names_of,
    open_models,
    verb,
    who,
)

MATCHED, GAIN = 0.5, 0.3  # a head's rows fit so well in another order, so much better: cosines
NAMES_GAIN = 0.2  # accuracy that other names for the classes add
GROWN = 1.5  # times the length of the best model's weights
APART = 0.5  # cosine of two heads below which they were not trained from one
FAR_STATISTICS = 3.0  # times the models' median distance
SEEN_STATISTICS = 0.1  # less than this no distance of statistics is looked at
ROUNDED = 0.1  # rounding errors beyond this part of the models' distances


def judge_failed(failed: Mapping[str, str]) -> Verdict | None:
    """Runs that failed or have values that are not finite, with the reasons."""
    if not (models := list(failed)):
        return None
    return Verdict(
        kind="failed",
        models=models,
        what=f"{names_of(models)} {verb(models, 'has', 'have')} no usable weights.",
        evidence="; ".join(f"{name}: {failed[name]}" for name in models[:3]) + ".",
        advice="Leave out what diverged, or train it again with a smaller learning rate.",
    )


def judge_shapes(misfits: Mapping[str, str]) -> Verdict | None:
    """Models with other tensors than most, with the differences."""
    if not (models := list(misfits)):
        return None
    return Verdict(
        kind="shapes",
        models=models,
        what=f"{names_of(models)} {verb(models, 'is', 'are')} of another architecture or head than "
        "most, and cannot be averaged with them.",
        evidence="; ".join(f"{name} {misfits[name]}" for name in models[:3]) + ".",
        advice="Make one soup of each architecture and set of classes.",
    )


def judge_duplicates(facts: Facts, explained: Explained) -> Verdict | None:
    pairs = facts.geometry.duplicates()
    if not pairs:
        return None
    later = list(dict.fromkeys(second for _, second in pairs))
    models = [name for name in later if name != facts.start]
    if facts.start is not None:
        pairs = [(first, second) for first, second in pairs if second in models]
    return Verdict(
        kind="duplicates",
        models=models,
        what="; ".join(f"{second} is {first} again" for first, second in pairs[:4]) + ".",
        evidence="Their weights are the same: relative distance below one in a million.",
        advice="A copy adds nothing and counts twice in a uniform soup; give each model once.",
    )


def judge_initialization(facts: Facts, explained: Explained) -> Verdict | None:
    """Weights without any likeness to those of the others, layer by layer."""
    families = facts.geometry.families()
    home = next(family for family in families if facts.reference in family)
    models = [name for name in facts.models if name not in home and name not in explained]
    names = list(facts.geometry.names)
    lengths = dict(zip(names, np.sqrt(facts.geometry.total.diagonal()), strict=True))
    usual = lengths[facts.reference]
    # A bad model whose weights have grown, or gone, may have come from anywhere.
    models = [
        name
        for name in models
        if not is_diverged(facts, facts.models[name]) or 1 / GROWN < lengths[name] / usual < GROWN
    ]
    if not models:
        return None
    rows, reference = [names.index(name) for name in models], names.index(facts.reference)
    between = float(facts.geometry.cosines[rows, reference].max())
    known = facts.start is not None and facts.start in home
    alone = len(home) == 1
    return Verdict(
        kind="initialization",
        models=list(facts.models) if alone else models,
        what="No two of the models share an initialisation."
        if alone
        else f"{names_of(models)} {verb(models, 'does', 'do')} not share the initialisation of the "
        "others.",
        evidence=f"Weights of models fine-tuned from one start point the same way; "
        f"{verb(models, 'its', 'their')} median cosine by layer with those of {facts.reference}"
        f"{' and of the start' if known else ''} is {between:.2f} at most (unrelated: 0; one "
        f"start: above {RELATED}).",
        advice="Average only models that were fine-tuned from the same weights.",
    )


def judge_class_order(facts: Facts, explained: Explained) -> Verdict | None:
    """Heads whose rows, or predictions whose names, fit in another order."""
    reasons = {}
    for name, model in open_models(facts, explained).items():
        match = model.match
        if match and match.matched > max(MATCHED, match.cosine + GAIN):
            reasons[name] = (
                f"{match.num_moved} rows of its classifier fit other classes of the others' "
                f"(mean cosine {match.matched:.2f} in the order that suits best, "
                f"{match.cosine:.2f} in its own)"
            )
        if model.relabelled is not None and model.relabelled - model.score > NAMES_GAIN:
            found = reasons.get(name)
            reasons[name] = (f"{found}; " if found else "") + (
                f"with other names for its classes it scores {facts.show(model.relabelled)}, as "
                f"they are {facts.show(model.score)}"
            )
    if not reasons:
        return None
    return Verdict(
        kind="class-order",
        models=list(reasons),
        what=f"{names_of(list(reasons))} {verb(list(reasons), 'has', 'have')} the classes in "
        "another order.",
        evidence="; ".join(f"{name}: {why}" for name, why in list(reasons.items())[:3]) + ".",
        advice="Bring the rows of the classifier (weight and bias) into one order, then average.",
    )


def judge_head(facts: Facts, explained: Explained) -> Verdict | None:
    """A shared start, but for the classifier."""
    models = [
        name
        for name, model in facts.models.items()
        if name not in explained
        and model.match
        and model.match.cosine < APART
        and not is_diverged(facts, model)
    ]
    if not models:
        return None
    cosines = [facts.models[name].match.cosine for name in models]  # type: ignore[union-attr]
    models = who(facts, models)
    return Verdict(
        kind="head",
        models=models,
        what="The heads of the models were trained apart."
        if len(models) == len(facts.models)
        else f"The head of {names_of(models)} was trained apart from that of the others.",
        evidence=f"The other layers share their start, but the rows of {facts.geometry.head} have "
        f"a mean cosine of {min(cosines):.2f} to {max(cosines):.2f} with the others' for the same "
        "classes.",
        advice="Start all runs from one head (a linear probe, or one random head with its seed), "
        "or make the soup of the backbones and fit a new head on it.",
    )


def judge_statistics(facts: Facts, explained: Explained) -> Verdict | None:
    """BatchNorm's statistics of one model, or of the soup."""
    usual = float(np.median([model.statistics for model in facts.models.values()]))
    gains = {
        name: model.re_estimated
        for name, model in facts.models.items()
        if name not in explained
        and model.re_estimated is not None
        and facts.better(model.re_estimated)
        and model.statistics > max(FAR_STATISTICS * usual, SEEN_STATISTICS)
    }
    gain = facts.re_estimated
    mends = (
        is_clean(explained)
        and gain is not None
        and facts.better(gain)
        and facts.soup.value + gain.value > -facts.margin
    )
    if not gains and not mends:
        return None
    models = list(gains)
    parts = [
        f"{name}'s are {facts.models[name].statistics:.2f} standard deviations from the models' "
        f"median (usual: {usual:.2f}), and estimated anew on the held-out examples they change "
        f"its score by {facts.show_difference(found)}"
        for name, found in gains.items()
    ]
    if facts.re_estimated is not None:
        parts.append(
            "the uniform soup with statistics estimated on the held-out examples instead of "
            f"averaged scores {facts.show_difference(facts.re_estimated)}"
        )
    text = "; ".join(parts)
    return Verdict(
        kind="statistics",
        models=models,
        what="The averaged BatchNorm statistics do not describe the soup's activations."
        if mends
        else f"BatchNorm statistics of {names_of(models)} are of other inputs than the others'.",
        evidence=f"{text[0].upper()}{text[1:]}.",
        advice="Estimate the statistics of the soup anew (`statistics: estimate` of uniform and "
        "greedy soups), and look at the resolution and normalisation that the models were "
        "trained with.",
    )


def judge_precision(facts: Facts, explained: Explained) -> Verdict | None:
    """Half-precision files whose rounding is large beside what tells the models apart."""
    halves = {name: m.dtype for name, m in facts.models.items() if m.dtype is not None}
    if not halves:
        return None
    # A rounding error is even up to its largest, so its root mean square is that over sqrt 3.
    errors = {f"{dtype}".removeprefix("torch."): error for dtype, error in HALF.items()}
    rounding = max(errors[dtype] for dtype in halves.values()) / 3**0.5
    others = [name for name in facts.models if name != facts.reference]
    distances = [facts.distance(facts.reference, name) for name in others]
    apart = float(np.median([each for each in distances if each > 0] or [0.0]))
    if rounding < ROUNDED * apart:
        return None
    return Verdict(
        kind="precision",
        models=list(halves),
        what=f"{names_of(list(halves))} {verb(list(halves), 'is', 'are')} in half precision, "
        "too coarse for how little the models differ.",
        evidence=f"A rounding changes weights by about {rounding:.1e} of their size, and the "
        f"models are {apart:.1e} apart.",
        advice="Average checkpoints in float32, as they were trained, and round the soup.",
    )
