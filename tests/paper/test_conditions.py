"""Sentences on what is missing, before anything runs."""

from modelsoups.paper.conditions import (
    needs_initialization,
    needs_pairs,
    needs_run,
    needs_runs,
    needs_seeds,
    needs_settings,
)


def test_what_is_there_is_no_problem(small_study) -> None:
    assert needs_initialization(small_study, "grid") == []
    assert needs_runs(small_study, "given") == []
    assert needs_settings(small_study, "grid") == []
    assert needs_run(small_study, "grid", {"lr": 1e-3, "seed": 1}) == []
    assert needs_seeds(small_study, "grid", {"lr": 1e-2}) == []
    assert needs_pairs(small_study, "grid", 1, "one") == []


def test_what_is_missing_is_named(small_study) -> None:
    assert needs_initialization(small_study, "given") == [
        "given has no initialization, which all of its runs start from"
    ]
    assert needs_runs(small_study, "soups")[0].startswith("soups has no run")
    assert "runs of given" in needs_settings(small_study, "given")[0]
    assert needs_run(small_study, "grid", {"lr": 1e-3}) == [
        "expected one run of grid with {'lr': 0.001}, found 000, 001"
    ]
    assert needs_seeds(small_study, "grid", {"lr": 1e-3, "seed": 0}) == [
        "expected runs of grid with {'lr': 0.001, 'seed': 0} that differ in their seed, found 000"
    ]
    assert needs_pairs(small_study, "grid", 1e-9, "one") == [
        "no two runs of grid have learning rates below 1e-09 and differ in one hyper-parameter"
    ]


def test_checkpoints_without_hyper_parameters_have_one_problem_alone(small_study) -> None:
    for found in (
        needs_run(small_study, "given", {"lr": 1}),
        needs_seeds(small_study, "given", {}),
        needs_pairs(small_study, "given", 1, "all"),
    ):
        assert found == needs_settings(small_study, "given")
