"""Groups of runs: which models they are made of, and what is wrong with them."""

from dataclasses import replace

import pytest

from modelsoups.study.cost import count_mixes
from modelsoups.study.groups import averages_in, group_problems, members_of
from modelsoups.study.search import RunSpec, as_params
from modelsoups.study.study import Study
from weight_space import RUN

RUNS = {
    "000": RUN,
    "001": replace(RUN, augmentation="strong"),
    "002": replace(RUN, augmentation="strong", teachers=("grid/000",)),
    "003": replace(RUN, seed=1),
}
STRONG = {"augmentation": "strong"}
MINIMAL = {"augmentation": "minimal", "seed": 0}


@pytest.mark.parametrize(
    ("group", "models"),
    [
        ({"members": [MINIMAL, STRONG]}, ["000", "001"]),
        ({"members": [STRONG], "taught": True}, ["002"]),
        ({"members": [MINIMAL, STRONG], "average": "ema0.9"}, ["000-ema0.9", "001-ema0.9"]),
        ({"members": [STRONG, {"augmentation": "minimal"}]}, None),  # two runs are minimal
        ({"members": [{"lr": 7.0}]}, None),
    ],
)
def test_members_are_one_run_each_with_or_without_teachers(group, models) -> None:
    assert members_of(RUNS, group) == models


def test_averages_that_groups_are_made_of_are_named_once() -> None:
    groups = [{"members": []}, *[{"members": [], "average": each} for each in ("swa", "swa", "a")]]
    assert averages_in(groups) == ["swa", "a"]


def test_ensembles_cost_a_pass_a_member() -> None:
    groups = [{"members": [1, 2, 3]}, {"members": [1, 2, 3], "ensemble": True}]
    runs: dict[str, RunSpec] = {}
    assert count_mixes({"kind": "groups", "groups": groups}, runs) == 4


def test_groups_that_cannot_be_made_are_reported() -> None:
    finetune = {key: value for key, value in as_params(RUN).items() if key != "lr"}
    sweeps = {
        "grid": {"finetune": finetune, "runs": [{"lr": 1e-3}, {"lr": 1e-3, "epochs": 2}]},
        "given": {"kind": "checkpoints", "files": "m_{0..2}.pt"},
    }
    study = Study({"sweeps": sweeps})
    groups = [{"members": [{"lr": 1e-3}], "average": "swa"}, {"members": [{"lr": 5}]}]
    assert list(group_problems(study, "grid", groups)) == [
        "expected one run of grid without teachers and with {'lr': 0.001}, found 000, 001",
        "expected one run of grid without teachers and with {'lr': 5}, found none",
        "the runs of grid have no average 'swa'; they have none",
    ]
    assert list(group_problems(study, "given", groups)) == [
        "given is no sweep that is fine-tuned here; there are grid"
    ]
