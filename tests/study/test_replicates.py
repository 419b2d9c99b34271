"""Replicates: folds that change places, and what of a study they are."""

from itertools import chain
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from modelsoups.paper.targets import list_targets
from modelsoups.study.replicates import folds_of, list_replicates, replicate_problems
from modelsoups.study.search import list_runs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def emoji():
    """The shipped images' columns but the pictures."""
    columns = ["style", "split", "fold", "code_point"]
    return pq.read_table(ROOT / "resources/emoji/emoji.parquet", columns=columns).to_pandas()


def images_of(config, emoji):
    """Role -> rows of the images in its data set, of a replicate's or the study's config."""
    found = {}
    for dataset in config["datasets"].values():
        rows = emoji
        for column, values in dataset["where"].items():
            rows = rows[rows[column].isin(values)]
        assert len(rows) == dataset["num_images"]
        found.setdefault(dataset["role"], []).extend(rows.index)
    return found


def test_each_image_in_distribution_is_tested_once_and_never_trained_on_by_then(config, emoji):
    tested = []
    in_distribution = emoji.index[emoji["split"] != "shift"]
    for its_config in list_replicates(config).values():
        images = images_of(its_config, emoji)
        parts = [images["train"], images["held_out"], images["test"]]
        assert sorted(chain(*parts)) == sorted(in_distribution)  # a partition
        assert len(set().union(*map(set, parts))) == sum(map(len, parts))
        assert images["shift"] == images_of(config, emoji)["shift"]
        tested += images["test"]
    assert sorted(tested) == sorted(in_distribution)


def test_the_first_replicate_has_the_splits_of_the_study(config, emoji):
    first = images_of(list_replicates(config)[1], emoji)
    assert first == images_of(config, emoji)


@pytest.mark.parametrize("num_folds", [3, 5, 7])
def test_every_fold_is_tested_and_held_out_once(num_folds):
    folds = [f"f{number}" for number in range(num_folds)]
    parts = [folds_of(folds, number) for number in range(1, num_folds + 1)]
    for role in ("test", "held_out"):
        assert sorted(fold for part in parts for fold in part[role]) == folds
    assert all(sorted(chain(*part.values())) == folds for part in parts)


def test_each_replicate_draws_its_own_search(config):
    drawn = [
        list_runs(its_config["sweeps"]["random-search"])
        for its_config in [config, *list_replicates(config).values()]
    ]
    assert {len(runs) for runs in drawn} == {12}
    runs = [run for runs in drawn for run in runs.values()]
    assert len({run.lr for run in runs}) == len(runs)
    assert len({run.seed for run in runs[12:]}) == 60


def test_a_replicate_is_a_study_of_the_one_sweep(config):
    its_config = list_replicates(config)[2]
    assert list(its_config["sweeps"]) == ["random-search"]
    assert its_config["study"].endswith("replicate 2")
    assert its_config["recipes"] == config["recipes"]
    assert not {"replicates", "table3", "figure2", "what_holds"} & its_config.keys()


def test_a_replicate_has_the_results_that_are_asked_for_and_pools_of_its_sweep_alone(config):
    config["pools"]["of-two"] = {"models": ["random-search", "grid"], "recipes": ["uniform"]}
    its_config = list_replicates(config)[2]
    assert its_config["table4"] == ["random-search"]
    assert set(list_targets(its_config)) == {
        *("table4-random-search", "figure4", "figureB1", "figureD1", "figureG1", "figureG2")
    }
    assert set(its_config["pools"]) == {"by-worst-style", "by-macro-f1"}
    del config["replicates"]["results"], config["pools"]
    assert (
        not list_targets(list_replicates(config)[2]) and "pools" not in list_replicates(config)[2]
    )


def test_folds_go_round_again_with_other_draws(config):
    config["replicates"]["count"] = 10
    assert list(replicate_problems(config)) == []
    found = list_replicates(config)
    assert len(found) == 10
    assert found[6]["datasets"] == found[1]["datasets"]
    assert found[6]["sweeps"] != found[1]["sweeps"]


def test_folds_that_would_be_tested_more_often_than_others_are_an_error(config):
    config["replicates"]["count"] = 7
    (problem,) = replicate_problems(config)
    assert "7 of 5 folds" in problem and "a multiple of 5" in problem
    config["replicates"]["count"] = 3
    assert list(replicate_problems(config)) == []


def test_study_that_asks_for_none_has_none(config):
    del config["replicates"]
    assert list_replicates(config) == {} and list(replicate_problems(config)) == []


def test_what_cannot_be_replicated_is_said(config):
    assert list(replicate_problems(config)) == []
    config["replicates"]["sweep"] = "grid"
    config["datasets"]["emoji-test"]["path"] = "other.parquet"
    first, second = replicate_problems(config)
    assert "grid has no random search" in first
    assert "must be the same but for `where`" in second
    config["replicates"]["sweep"] = "gird"
    assert "'gird' is no sweep" in next(iter(replicate_problems(config)))
    del config["datasets"]["emoji-test"]
    assert "expected one data set with role test" in list(replicate_problems(config))[-1]


def test_sweep_with_teachers_cannot_be_replicated_without_theirs(config):
    config["sweeps"]["random-search"]["random"]["space"]["teachers"] = "grid/000"
    [problem] = replicate_problems(config)
    assert "the runs of random-search have teachers, but a replicate has no other sweep" in problem
