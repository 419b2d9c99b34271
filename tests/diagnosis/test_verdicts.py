"""Verdicts that follow from facts: those of a real pool, with single numbers changed."""

from dataclasses import replace

import numpy as np
import pytest

from modelsoups.diagnosis.diagnose import diagnose
from modelsoups.diagnosis.trials import Line
from modelsoups.diagnosis.verdicts import conclude, find_causes
from modelsoups.evaluation.statistics import Estimate, estimate

BETTER, WORSE = estimate(0.05, 0.01), estimate(-0.05, 0.01)
UNSURE = estimate(-0.05, 0.1)


@pytest.fixture(scope="module")
def facts(kitchen):
    pool = {name: kitchen.good[name] for name in ("run1", "run2", "run3", "run4")}
    return diagnose(pool, kitchen.evaluate, initialization=kitchen.start).facts


def changed(facts, name, **fields):
    """The facts with other ones of a model."""
    return replace(facts, models={**facts.models, name: replace(facts.models[name], **fields)})


def other_than(facts) -> list[str]:
    """The models without the reference."""
    return [name for name in facts.models if name != facts.reference]


def dip(middle: Estimate) -> Line:
    """A line whose middle is as far from both ends."""
    spread = (middle.high - middle.low) / 4
    low = np.array([middle.value - spread, middle.value + spread] * 50)
    return Line(scores={0.0: {"score": low * 0}, 0.5: {"score": low}, 1.0: {"score": low * 0}})


def test_ingredient_without_which_the_soup_is_surely_better_is_named_with_its_decision(facts):
    name = other_than(facts)[0]
    decisions = {"greedy": "rejected, the soup in question scoring at most 50.0 %"}
    [found] = find_causes(changed(facts, name, without=BETTER, decisions=decisions))
    assert (found.kind, list(found.models)) == ("ingredient", [name])
    assert "+5.0 (+3.0 to +7.0) points" in found.evidence
    assert "greedy: rejected" in found.evidence
    assert find_causes(changed(facts, name, without=estimate(0.05, 0.1))) == []
    assert find_causes(changed(facts, name, without=estimate(0.01, 0.001))) == []


def test_barrier_of_one_model_is_no_matter_of_the_learning_rate_unless_it_is_larger(facts):
    name, *others = other_than(facts)
    with_barrier = replace(
        changed(facts, name, line=dip(WORSE)), blocks={"blocks.1": 0.04}, blocks_of=name
    )
    [found] = find_causes(with_barrier)
    assert (found.kind, list(found.models)) == ("barrier", [name])
    assert "blocks.1 costs most: 4.0 points" in found.evidence
    faster = changed(with_barrier, name, settings={"lr": 0.3})
    for each in [*others, facts.reference]:
        faster = changed(faster, each, settings={"lr": 0.1})
    [found] = find_causes(faster)
    assert (found.kind, list(found.models)) == ("learning-rate", [name])
    assert "Learning rates: 0.3 to 0.3; of the others 0.1 to 0.1." in found.evidence


def test_barriers_of_most_models_are_said_of_the_pool(facts):
    names = other_than(facts)
    many = changed(changed(facts, names[0], line=dip(WORSE)), names[1], line=dip(WORSE))
    [found] = find_causes(many)
    assert found.kind == "learning-rate"
    assert set(found.models) == set(facts.models)


def test_model_that_is_explained_is_not_explained_again(facts):
    name = other_than(facts)[0]
    bad = {"score": 0.1, "against_best": estimate(-0.4, 0.01), "without": BETTER}
    kinds = [each.kind for each in find_causes(changed(facts, name, line=dip(WORSE), **bad))]
    assert kinds == ["diverged"]


def test_models_below_their_start_are_a_cause_and_no_gain_over_them_is_praised(facts):
    below = replace(facts, over_start=WORSE, soup=BETTER)
    causes = find_causes(below)
    assert [each.kind for each in causes] == ["start"]
    assert conclude(below, causes) == []
    assert find_causes(replace(facts, over_start=UNSURE)) == []


def test_statistics_that_help_but_do_not_mend_are_no_cause(facts):
    mended = replace(facts, re_estimated=BETTER, soup=UNSURE)
    assert [each.kind for each in find_causes(mended)] == ["statistics"]
    assert find_causes(replace(mended, soup=estimate(-0.2, 0.01))) == []


def test_conclusion_follows_from_soup_and_ensemble(facts):
    def kinds(**fields):
        verdicts = conclude(replace(facts, stays=list(facts.models), **fields), [])
        return {each.kind: str(each) for each in verdicts}

    assert set(kinds(soup=BETTER)) == {"fine"}
    assert "too alike" in kinds(soup=estimate(0, 0.003), ensemble=estimate(0, 0.003))["alike"]
    assert "too unequal" in kinds(soup=WORSE, ensemble=WORSE)["alike"]
    assert set(kinds(soup=WORSE, ensemble=BETTER)) == {"unexplained"}
    assert set(kinds(soup=WORSE, ensemble=WORSE, soups={"greedy": BETTER})) == {"fine"}


def test_held_out_set_that_is_too_small_is_told_how_large_it_should_be(facts):
    wide = replace(facts, soup=estimate(0.01, 0.02), soups={}, num_examples=100)
    verdicts = {each.kind: each for each in conclude(wide, [])}
    # Half the interval is 1.96 * 0.02 wide, 3.92 times the difference: 15.4 times the examples.
    assert "About 1,537 examples would tell a difference of 1.0 points" in (
        verdicts["held-out"].advice
    )
    sure = replace(facts, soup=estimate(0.01, 0.002), num_examples=100)
    assert "held-out" not in {each.kind for each in conclude(sure, [])}
