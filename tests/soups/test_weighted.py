"""Soups with coefficients that the config gives, and soups of some layers."""

import pytest

from modelsoups.base.progress import Trace
from modelsoups.soups.pool import Candidate
from modelsoups.soups.registry import (
    UniformSpec,
    WeightedSpec,
    full_config,
    method_of,
    parse_recipe,
)
from modelsoups.soups.uniform import uniform
from modelsoups.soups.weighted import weighted
from modelsoups.weights.average import average


def candidates_of(pool):
    return [
        Candidate(name=name, weights=path, logits=pool.logits(name))
        for name, path in zip(pool.states, pool.arguments()["weights"], strict=True)
    ]


def cook(pool, **options):
    return weighted(WeightedSpec(**options), candidates_of(pool), pool.held_out, Trace(None, None))


def test_coefficients_are_those_of_the_config(pool):
    soup = cook(pool, coefficients={"grid-2": 1.5, "000": -0.5})
    wanted = average([pool.states["000"], pool.states["grid-2"]], [-0.5, 1.5])
    assert all(soup.weights[key].equal(wanted[key]) for key in wanted)
    assert soup.ingredients == ["000", "grid-2"]
    assert soup.coefficients == [-0.5, 1.5]


def test_one_candidate_with_all_the_weight_is_itself(pool):
    soup = cook(pool, coefficients={"000": 1})
    assert all(soup.weights[key].equal(t) for key, t in pool.states["000"].items())


def test_unknown_names_and_other_sums_are_refused(pool):
    with pytest.raises(ValueError, match=r"weighted: \['b'\] are no candidates; these are init"):
        cook(pool, coefficients={"000": 0.5, "b": 0.5})
    with pytest.raises(ValueError, match="weighted: coefficients have sum 1, found 0.9"):
        WeightedSpec(coefficients={"a": 0.9})


def test_uniform_soup_of_some_layers_has_the_others_of_the_best_model(pool):
    scores = {name: cook(pool, coefficients={name: 1}).held_out_score for name in pool.states}
    best = pool.states[max(scores, key=lambda name: (scores[name], [*scores].index(name)))]
    soup = uniform(
        UniformSpec(except_=["head.*"]), candidates_of(pool), pool.held_out, Trace(None, None)
    )
    assert pool.states[soup.details["other_layers_of"]] is best
    mean = average(list(pool.states.values()))
    for key in mean:
        wanted = best[key] if key.startswith("head.") else mean[key]
        assert soup.weights[key].equal(wanted)


def test_pattern_that_fits_nothing_is_named(pool):
    with pytest.raises(ValueError, match=r"'tail\.\*' fits no tensor; their names are norm"):
        cook(pool, coefficients={"000": 1}, only=["tail.*"])
    with pytest.raises(ValueError, match="leave no tensor to average"):
        cook(pool, coefficients={"000": 1}, except_=["*"])


def test_except_is_the_configs_word_and_records_have_it_where_it_is_used():
    config = {"kind": "uniform", "except": ["head.*"]}
    assert parse_recipe(config) == UniformSpec(except_=["head.*"])
    assert full_config(config) == {"kind": "uniform", "statistics": "average", "except": ["head.*"]}
    assert full_config({"kind": "uniform"}) == {"kind": "uniform", "statistics": "average"}
    assert method_of(config).label == "Uniform soup (except head.*)"
    label = method_of({"kind": "greedy", "metric": {"function": "m:f", "better": "lower"}}).label
    assert label == "Greedy soup (metric m:f)"
