"""What a config asks for: targets, their analyses and what would keep them from being made."""

import pytest

from modelsoups.paper.targets import (
    list_analyses,
    list_names,
    list_problems,
    list_schemas,
    list_targets,
)
from modelsoups.study.study import Study

PLANES = {"sweep": "grid", "lr": 1e-3, "smaller_lr": 1e-2, "resolution": 3}


def test_a_study_has_what_its_config_has_a_key_for_in_the_papers_order() -> None:
    config = {"table4": ["b", "a"], "figureH": ["a"], "figure1": "a", "figure2": PLANES}
    targets = list_targets(config)
    assert list(targets) == ["figure2", "figure1", "table4-b", "table4-a", "figureH1", "figureL3"]
    assert targets["table4-a"].title == "Table 4, sweep a"
    assert list_targets({"study": "a toy study"}) == {}


def test_runs_of_one_match_are_studied_once_and_others_apart() -> None:
    config = {
        "figureB2": {"sweep": "grid", "match": {"lr": 1e-3}},
        "figureG4": [
            {"sweep": "grid", "match": {"lr": 1e-3}},
            {"sweep": "grid", "match": {"lr": 1e-2}},
        ],
    }
    assert list_analyses(config) == {
        "grid": {
            "seeds/lr-0.001": {"match": {"lr": 1e-3}},
            "seeds/lr-0.01": {"match": {"lr": 1e-2}},
        }
    }


def test_figures_that_share_a_sweep_share_its_growth() -> None:
    config = {"figureB1": {"sweep": "grid", "num_orders": 2, "seed": 1}, "figureH": ["grid"]}
    assert list_analyses(config) == {"grid": {"growth": {"num_orders": 2, "seed": 1}}}


def test_one_table_by_two_plans_is_refused() -> None:
    match = {"lr": 1e-3}, {"lr": 1.0000001e-3}  # alike in six digits, which name the table
    config = {"figureG4": [{"sweep": "grid", "match": each} for each in match]}
    with pytest.raises(ValueError, match="ask for seeds/lr-0.001 of sweep grid by different plans"):
        list_analyses(config)


def test_names_and_schemas_are_by_key() -> None:
    figure = {"sweeps": ["grid"], "alphas": [1], "soups": ["mine"]}
    assert list(list_names({"figureD1": figure, "figure1": "a"})) == [
        ("figure1", "sweep", "a"),
        ("figureD1", "sweep", "grid"),
        ("figureD1", "recipe", "mine"),
        ("figure1", "sweep", "a"),
    ]
    assert {"table3", "figure2", "what_holds"} <= list_schemas().keys()


def test_problems_that_figures_share_are_said_once(small_study) -> None:
    config = {**small_study.config, "figure2": {**PLANES, "lr": 5.0, "larger_lr": 1e-2}}
    problems = list(list_problems(Study(config)))
    assert problems == [
        "figure2: expected one run of grid with {'lr': 5.0, 'seed': 0}, found none",
        "figure2: expected one run of grid with {'lr': 5.0, 'seed': 1}, found none",
    ]


def test_appendix_of_what_the_config_has_not_is_a_problem(small_study) -> None:
    config = {**small_study.config, "figure1": "grid", "appendix": ["figure1", "figure2", "sweeps"]}
    assert list(list_problems(Study(config))) == [
        f"appendix: '{key}' is no table or figure of this config; it has ['figure1']"
        for key in ("figure2", "sweeps")
    ]
