"""What the config check says of averages and of teachers."""

import re

import pytest

from modelsoups.study.study import Study
from modelsoups.study.trajectories import average_problems, made_of, teacher_problems

FINETUNE = {
    "batch_size": 4,
    "min_crop": 0.5,
    "warmup_steps": 1,
    "clip_norm": 1.0,
    "weight_decay": 0.1,
    "epochs": 1,
    "label_smoothing": 0,
    "mixup": 0,
    "lr": 1e-3,
}


def sweep(backbone="tower", grid=None, **finetune):
    return {
        "backbone": backbone,
        "start": "linear-probe",
        "finetune": {**FINETUNE, **finetune},
        "grid": {"augmentation": ["minimal", "medium"], **(grid or {})},
    }


def make_study(pools=None, **sweeps):
    recipes = {"uniform": {"kind": "uniform"}, "near": {"kind": "interpolated", "of": "uniform"}}
    return Study(
        {
            "sweeps": {"first": sweep(ema=0.9), **sweeps},
            "pools": pools or {},
            "recipes": recipes,
            "ensembles": {},
        }
    )


def problems(**sweeps):
    return [*average_problems(make_study(**sweeps)), *teacher_problems(make_study(**sweeps))]


@pytest.mark.parametrize(
    "teachers",
    [
        "first/000",
        ["first/000", "first/001"],
        ["first/001-ema0.9", "first/initialization", "first/near"],
    ],
)
def test_models_of_other_sweeps_may_teach(teachers):
    assert problems(second=sweep(teachers=teachers), third=sweep(teachers="second/uniform")) == []


def test_run_may_learn_from_another_run_of_its_sweep():
    grid = {"augmentation": ["minimal"], "teachers": [[], ["second/000"]]}
    assert problems(second=sweep(grid=grid)) == []


@pytest.mark.parametrize(
    ("teachers", "message"),
    [
        (
            "frist/000",
            r"sweeps.second: teacher 'frist/000' is of no sweep or pool; expected",
        ),
        (
            "first",
            r"teacher 'first' is no model with weights; first has initialization, 000, 001",
        ),
        ("first/007", r"teacher 'first/007' is no model with weights; first has initialization"),
        ("first/000-swa", r"'first/000-swa' is no model with weights; .*000-ema0.9"),
        ("other/000", r"teacher 'other/000' has backbone mast, expected tower"),
    ],
)
def test_teacher_that_is_missing_or_does_not_fit_is_told(teachers, message):
    [problem] = problems(second=sweep(teachers=teachers), other=sweep(backbone="mast"))
    assert re.search(message, problem)


@pytest.mark.parametrize(
    ("second", "third", "circle"),
    [
        ("second/000", [], "teachers: second/000 needs second/000; a model can"),
        ("second/uniform", [], "needs second/uniform needs"),
        ("third/000", "second/000", "needs"),
        ("third/near", "second/001", "needs third/uniform needs"),
    ],
)
def test_model_that_is_made_of_itself_is_told(second, third, circle):
    found = problems(second=sweep(teachers=second), third=sweep(teachers=third))
    assert len(found) == 1
    assert circle in found[0]
    first, *_, last = found[0].removeprefix("teachers: ").partition(";")[0].split(" needs ")
    assert first == last


def test_model_is_made_of_teachers_run_or_candidates():
    study = make_study(second=sweep(teachers=["first/000", "first/near"]))
    assert made_of(study, "second/001") == ["first/000", "first/near"]
    assert made_of(study, "first/000-ema0.9") == ["first/000"]
    assert made_of(study, "first/near") == ["first/uniform"]
    assert made_of(study, "first/uniform") == ["first/000", "first/001"]
    assert made_of(study, "first/initialization") == []


def test_averages_must_be_the_same_in_all_runs_of_a_sweep():
    [problem] = problems(second=sweep(grid={"ema": [[], [0.5, 0.9]]}))
    assert "sweeps.second: expected the same ema and swa in all runs, found none and " in problem
    assert "ema0.5, ema0.9; let them stand in `finetune`" in problem
