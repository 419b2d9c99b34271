"""What else there is to say: too few examples, nothing to gain, all well."""

from modelsoups.diagnosis.facts import Facts
from modelsoups.diagnosis.trials import examples_to_tell
from modelsoups.diagnosis.words import Explained, Verdict, is_clean
from modelsoups.evaluation.statistics import Estimate

TELL = 0.01  # difference of shares that a held-out set should be able to tell
ALIKE = 0.25  # part of the best's errors on which models differ from it, if they are alike
FEW = 3  # models


def gains_of(facts: Facts) -> dict[str, Estimate]:
    """What soups gain over the best model: that of the models that stay, and the stored ones."""
    others = "" if facts.rest is None else f" of the {len(facts.stays)} others"
    return {f"the uniform soup{others}": facts.rest or facts.soup, **facts.soups}


def best_of(facts: Facts) -> tuple[str, Estimate]:
    """The soup that gains most, and what."""
    return max(gains_of(facts).items(), key=lambda each: each[1].value)


def judge_held_out(facts: Facts, explained: Explained) -> Verdict | None:
    """Whether the held-out set can tell a soup from the best model."""
    name, found = best_of(facts)
    if facts.num_examples < 2 or found.low > 0 or found.high < 0:
        return None
    difference = max(abs(found.value), TELL) if facts.is_share else abs(found.value)
    if not difference:
        return None
    needed = examples_to_tell(found, facts.num_examples, difference)
    if needed <= facts.num_examples:
        return None
    shown = f"{100 * difference:.1f} points" if facts.is_share else f"{difference:.3g}"
    return Verdict(
        kind="held-out",
        models=[],
        what="The held-out set is too small to tell whether a soup is better.",
        evidence=f"On {facts.num_examples:,} examples {name} is {facts.show_difference(found)} "
        f"against {facts.reference}: the interval has zero in it.",
        advice=f"About {needed:,} examples would tell a difference of {shown}; a greedy soup "
        "chosen on fewer follows chance.",
    )


def judge_alike(facts: Facts, explained: Explained) -> Verdict | None:
    """Nothing is wrong, and there is nothing to gain."""
    if any(facts.better(found, 0.0) for found in gains_of(facts).values()):
        return None
    if len(facts.stays) < 2 and not is_clean(explained):
        return None
    unequal = facts.worse(facts.ensemble) or facts.worse(facts.rest or facts.soup)
    reasons = []
    if len(facts.stays) < FEW and is_clean(explained):
        reasons.append(f"too few: {len(facts.stays)} to average")
    if facts.ensemble is not None and not facts.better(facts.ensemble, 0.0):
        kind = "too unequal" if unequal else "too alike"
        reasons.append(
            f"{kind}: even an ensemble of all scores only "
            f"{facts.show_difference(facts.ensemble)} against {facts.reference}"
        )
    elif facts.ensemble is None and facts.disagreement is not None and not unequal:
        mistakes = 1 - facts.models[facts.reference].score
        if facts.disagreement < ALIKE * mistakes:
            reasons.append(
                f"too alike: they differ from {facts.reference} on "
                f"{100 * facts.disagreement:.1f} % of the examples"
            )
    if not reasons:
        return None
    return Verdict(
        kind="alike",
        models=[],
        what=f"{'Nothing' if is_clean(explained) else 'Else nothing'} is wrong: the models are "
        f"{' and '.join(each.partition(':')[0] for each in reasons)}.",
        evidence=f"{'; '.join(each for each in reasons)[0].upper()}{'; '.join(reasons)[1:]}.",
        advice="Add runs from the same start that differ in learning rate, augmentation, data "
        "order or length.",
    )


def judge_fine(facts: Facts, explained: Explained) -> Verdict | None:
    name, found = best_of(facts)
    if not facts.better(found, 0.0):
        return None
    seen = f" on {facts.num_examples:,} held-out examples" if facts.num_examples > 1 else ""
    return Verdict(
        kind="fine",
        models=[],
        what=f"{name[0].upper()}{name[1:]} is better than the best model.",
        evidence=f"{facts.show_difference(found)} against {facts.reference}{seen}.",
        advice="Take it; report it on a test set that nothing was chosen on.",
    )


def unexplained(facts: Facts) -> Verdict:
    """When no judge has found anything."""
    return Verdict(
        kind="unexplained",
        models=[],
        what="No soup is better than the best model, and no known reason was found.",
        evidence=f"The uniform soup is {facts.show_difference(facts.soup)} against "
        f"{facts.reference}; there is no barrier between the models"
        + (
            f", and an ensemble of all is {facts.show_difference(facts.ensemble)}."
            if facts.ensemble
            else "."
        ),
        advice="Try a greedy or a learned soup, and more or more varied runs.",
    )
