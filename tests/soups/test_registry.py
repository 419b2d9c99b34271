"""What follows from the entry of a recipe: specs, their checks, a schema, rows and markers."""

import subprocess
import sys
from dataclasses import MISSING, fields
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from modelsoups.evaluation.metrics import METRICS, METRICS_OF
from modelsoups.soups.options import BY_GROUP
from modelsoups.soups.registry import (
    ENSEMBLES,
    RECIPES,
    GreedyEnsembleSpec,
    GreedySpec,
    LearnedSpec,
    UniformSpec,
    ensemble_schema,
    full_config,
    function_of,
    method_of,
    parse_ensemble,
    parse_recipe,
    recipe_problems,
    recipe_schema,
)
from modelsoups.study.study import Study


def test_parsing_imports_the_standard_library_alone():
    code = (
        "import sys, modelsoups.soups.registry; "
        "print([name for name in ('numpy', 'pandas', 'torch') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_config_becomes_a_spec():
    assert parse_recipe({"kind": "uniform"}) == UniformSpec()
    config = {"kind": "greedy", "order": "random", "seed": 3}
    assert parse_recipe(config) == GreedySpec(order="random", seed=3)
    assert parse_ensemble(config) == GreedyEnsembleSpec(order="random", seed=3)


def test_a_full_config_has_every_option():
    assert full_config({"kind": "greedy", "seed": 2}, ensemble=True) == {
        "kind": "greedy",
        "order": "held-out",
        "seed": 2,
        "accept_ties": False,
    }


@pytest.mark.parametrize("entry", [*RECIPES.values(), *ENSEMBLES.values()])
def test_every_entry_has_a_function(entry):
    assert callable(function_of(entry))


@pytest.mark.parametrize("config", [{}, {"kind": "greedi"}])
def test_an_unknown_kind_is_refused_with_those_allowed(config):
    found = repr(config.get("kind"))
    with pytest.raises(ValueError, match=f"kind {found} is unknown, allowed: {', '.join(RECIPES)}"):
        parse_recipe(config)
    with pytest.raises(ValueError, match=f"kind {found} is unknown, allowed: uniform, greedy$"):
        parse_ensemble(config)


def test_unknown_keys_are_refused_with_those_allowed():
    with pytest.raises(ValueError, match="of kind uniform: colour, order unknown, allowed: stat"):
        parse_recipe({"kind": "uniform", "order": "random", "colour": "red"})
    with pytest.raises(ValueError, match="uniform: statistics is 'no', allowed: average, estimate"):
        parse_recipe({"kind": "uniform", "statistics": "no"})
    with pytest.raises(ValueError, match="ensemble of kind uniform: order unknown, allowed: no op"):
        parse_ensemble({"kind": "uniform", "order": "random"})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"kind": "greedy", "order": "best"},
            "greedy: order is 'best', allowed: held-out, random",
        ),
        (
            {"kind": "greedy", "metric": "top5"},
            "greedy: metric is 'top5', allowed: accuracy, macro_f1, matthews",
        ),
        (
            {"kind": "greedy", "statistics": "none"},
            "greedy: statistics is 'none', allowed: average, estimate",
        ),
        ({"kind": "greedy", "replacement": True, "accept_ties": True}, "could add equals for ever"),
        ({"kind": "greedy", "seed": -1}, "greedy: seed is -1, allowed: 0 and above"),
        (
            {"kind": "learned", "coefficients_per": "block"},
            "learned: coefficients_per is 'block', allowed: model, layer, tensor",
        ),
        ({"kind": "learned", "epochs": 0}, "learned: epochs is 0, allowed: 1 and above"),
        ({"kind": "learned", "batch_size": 0}, "learned: batch_size is 0, allowed: 1 and above"),
        ({"kind": "learned", "learning_rate": 0}, "learning_rate is 0, allowed: above 0"),
    ],
)
def test_an_option_out_of_range_is_refused_by_spec_and_schema(config, message):
    with pytest.raises(ValueError, match=message):
        parse_recipe(config)
    if "replacement" not in config:  # a schema sees options one by one
        assert problems(recipe_schema(), config)


def test_unknown_order_of_an_ensemble_is_refused():
    with pytest.raises(ValueError, match=r"order is 'test', allowed: held-out, random"):
        GreedyEnsembleSpec(order="test")  # type: ignore[arg-type]


def problems(schema, config) -> list[str]:
    Draft202012Validator.check_schema(schema)
    return [error.message for error in Draft202012Validator(schema).iter_errors(config)]


def test_schema_takes_every_option_and_no_other():
    for schema, entries, parse in (
        (recipe_schema(), RECIPES, parse_recipe),
        (ensemble_schema(), ENSEMBLES, parse_ensemble),
    ):
        for kind, entry in entries.items():
            defaults = {
                each.name: each.default
                for each in fields(entry.spec)
                if each.default is not MISSING and each.metadata["written"]
            }
            needed = {"coefficients": {"000": 1.0}} if kind == "weighted" else {}
            config = {"kind": kind, **defaults, **needed}
            assert problems(schema, config) == []
            assert parse(config) == entry.spec(**needed)
            for name in needed:
                assert problems(schema, {"kind": kind}) == [f"{name!r} is a required property"]
            assert "'colour' was unexpected" in problems(schema, {**config, "colour": "red"})[0]
    assert "not one of ['uniform', 'greedy']" in problems(ensemble_schema(), {"kind": "learned"})[0]
    assert problems(recipe_schema(), {}) == ["'kind' is a required property"]


def test_schema_has_types_limits_and_a_description_of_every_option():
    assert problems(recipe_schema(), {"kind": "greedy", "replacement": "no"}) == [
        "'no' is not of type 'boolean'"
    ]
    assert problems(recipe_schema(), {"kind": "learned", "epochs": 0}) == [
        "0 is less than the minimum of 1"
    ]
    assert problems(recipe_schema(), {"kind": "learned", "epochs": 1.5})
    for schema in (recipe_schema(), ensemble_schema()):
        for branch in schema["allOf"]:
            options = branch["then"]["properties"]
            assert all(options[name]["description"] for name in options if name != "kind")


def test_rows_and_the_papers_numbers_follow_from_the_options():
    assert method_of({"kind": "uniform"}).paper == (0.7997, 0.5145)
    assert method_of({"kind": "learned", "coefficients_per": "layer"}).paper == (0.8137, 0.5087)
    assert method_of({"kind": "uniform"}, ensemble=True).label == "Ensemble"
    assert method_of({"kind": "greedy"}, ensemble=True).paper == (0.8190, 0.4944)


def test_recipes_that_differ_in_a_seed_or_in_speed_are_one_row():
    rows = [
        method_of({"kind": "greedy", "order": "random", "seed": seed, "early_rejection": early})
        for seed, early in ((1, True), (2, False), (3, True))
    ]
    assert rows[0] == rows[1] == rows[2]
    assert rows[0].label == "Greedy soup (random order)"
    assert rows[0].paper == (0.8079, 0.5130)
    assert method_of({"kind": "learned", "resident_gib": 40}).label == "Learned soup"


def test_options_that_the_paper_has_no_row_for_are_a_row_without_its_number():
    method = method_of({"kind": "greedy", "order": "random", "accept_ties": True})
    assert method.label == "Greedy soup (random order, accept ties)"
    assert method.paper is None
    assert (method.look["facecolor"], method.look["edgecolor"]) == ("none", "tab:orange")
    labels = [
        method_of({"kind": "greedy", "statistics": "estimate"}).label,
        method_of({"kind": "greedy", "metric": "macro_f1"}).label,
        method_of({"kind": "learned", "coefficients_per": "tensor", "epochs": 5}).label,
    ]
    assert labels == [
        "Greedy soup (statistics estimate)",
        "Greedy soup (metric macro_f1)",
        "Learned soup (coefficients per tensor, epochs 5)",
    ]


def test_labels_and_markers_tell_methods_apart():
    methods = [
        method for entry in [*RECIPES.values(), *ENSEMBLES.values()] for _, method in entry.methods
    ]
    assert len({method.label for method in methods}) == len(methods)
    assert len({method.look["marker"] for method in methods}) == len(methods)


def test_metrics_of_greedy_are_metrics_of_predictions_and_those_of_other_targets():
    wanted = {name for name, metric in METRICS.items() if metric.reads == "predictions"}
    wanted |= {*METRICS_OF["labels"], *METRICS_OF["numbers"]}
    metric = recipe_schema()["allOf"][1]["then"]["properties"]["metric"]
    assert set(metric["anyOf"][0]["enum"]) == wanted
    assert problems(recipe_schema(), {"kind": "greedy", "metric": "package.metrics:brier"}) == []
    own = {"function": "m:f", "better": "lower", "per_example": True}
    assert problems(recipe_schema(), {"kind": "greedy", "metric": own}) == []
    assert problems(recipe_schema(), {"kind": "greedy", "metric": "nll"})
    with pytest.raises(ValueError, match="metric is 'nll', allowed: accuracy.*module:function"):
        parse_recipe({"kind": "greedy", "metric": "nll"})
    assert set(BY_GROUP) == {name for name, metric in METRICS.items() if metric.by_group}


def test_defaults_of_learning_are_the_papers():
    spec = LearnedSpec()
    assert (spec.learning_rate, spec.epochs, spec.constraint) == (0.1, 3, "softmax")


STUDY: dict[str, Any] = {
    "datasets": {"holdout": {"role": "held_out"}},
    "sweeps": {
        "given": {"kind": "checkpoints", "backbone": "tower", "files": "m_{0..2}.pt"},
        "with-start": {
            **{"kind": "checkpoints", "backbone": "tower", "files": "m_{0..2}.pt"},
            "initialization": "m_0.pt",
        },
    },
    "recipes": {"mine": {"kind": "stock"}, "mean": {"kind": "uniform"}},
}


def test_a_recipe_that_needs_the_initialization_is_refused_where_there_is_none():
    (problem,) = recipe_problems(Study(STUDY))
    assert problem.startswith("given: recipe mine (kind stock) needs the one model that all of its")
    assert "list the `recipes` of given without mine" in problem
    sweeps = {**STUDY["sweeps"], "given": {**STUDY["sweeps"]["given"], "recipes": ["mean"]}}
    assert not list(recipe_problems(Study({**STUDY, "sweeps": sweeps})))


def test_options_that_do_not_fit_are_problems_of_a_study():
    recipes = {"mine": {"kind": "greedy", "replacement": True, "accept_ties": True}}
    (problem,) = recipe_problems(Study({**STUDY, "recipes": recipes}))
    assert problem.startswith("recipes.mine: greedy: replacement with accept_ties could add")


@pytest.mark.parametrize(
    ("recipes", "wanted"),
    [
        ({"near": {"kind": "interpolated", "of": "greedy"}}, "near is of 'greedy', which is none"),
        ({"near": {"kind": "interpolated", "of": "near"}}, "leads back to itself: near of near"),
        (
            {
                "a": {"kind": "interpolated", "of": "b"},
                "b": {"kind": "interpolated", "of": "a"},
            },
            "leads back to itself: a of b of a",
        ),
    ],
)
def test_a_recipe_of_another_that_is_not_there_or_leads_back_is_refused(recipes, wanted):
    sweeps = {"with-start": STUDY["sweeps"]["with-start"]}
    problems = list(recipe_problems(Study({**STUDY, "sweeps": sweeps, "recipes": recipes})))
    assert any(wanted in problem for problem in problems)
