"""Scores are tidy, and nothing is chosen on a test or shift set."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.logits import write_logits
from modelsoups.evaluation.metrics import METRICS
from modelsoups.evaluation.scores import (
    COLUMNS,
    datasets_of,
    rank,
    read_scores,
    require_held_out,
    score_files,
    the_dataset,
    write_scores,
)

ROLES = {"holdout": "held_out", "photos": "test", "sketches": "shift", "cartoons": "shift"}


def scores_of(values: dict[str, float], dataset: str = "holdout") -> pd.DataFrame:
    """Accuracies of runs on a dataset."""
    rows = [(model, "run", dataset, "accuracy", value, 10) for model, value in values.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_files_of_logits_become_one_row_a_model_dataset_and_metric(tmp_path: Path) -> None:
    write_logits(tmp_path / "a", np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]), {})
    write_logits(tmp_path / "b", np.zeros((4, 2)), np.zeros(4, int), {})
    scores = score_files(
        [tmp_path / "a", tmp_path / "b"], ["000", "uniform"], ["run", "soup"], ["photos", "photos"]
    )
    assert tuple(scores) == COLUMNS
    number = sum(not metric.by_group for metric in METRICS.values())
    assert list(scores["model"]) == ["000"] * number + ["uniform"] * number
    assert list(scores["n"]) == [2] * number + [4] * number
    value = scores.set_index(["model", "metric"])["value"]
    assert value["000", "accuracy"] == 0.5
    assert value["uniform", "accuracy"] == 1
    assert value["000", "macro_f1"] == pytest.approx(1 / 3)  # F1 2/3 and 0
    assert value["000", "matthews"] == 0  # one prediction for all
    assert value["uniform", "ece"] == pytest.approx(1 / 2)  # sure by half, all right
    assert value["uniform", "nll"] == pytest.approx(np.log(2))  # two classes, equal logits


def test_metric_of_the_users_own_is_scored_as_it_returns_it(tmp_path: Path) -> None:
    write_logits(tmp_path / "a", np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 0]), {})
    brier = {"function": "own_metrics:brier", "better": "lower", "per_example": True}
    given = [tmp_path / "a"], ["000"], ["run"], ["photos"]
    value = score_files(*given, own=[brier]).set_index("metric")["value"]
    assert value["brier"] == pytest.approx((0.5 + 0.02) / 2)
    with pytest.raises(ValueError, match="there is another metric brier"):
        score_files(*given, own=[brier, "other_metrics:brier"])


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    write_logits(tmp_path / "a", np.array([[1.0, 0.0]]), np.array([0]), {})
    with pytest.raises(ValueError, match="zip"):
        score_files([tmp_path / "a"], ["000", "001"], ["run", "run"], ["photos", "photos"])


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_what_reads_predictions_takes_those_before_rounding(tmp_path: Path, metric: str) -> None:
    # 2049 is no float16: stored, both logits are 2048.
    write_logits(tmp_path / "a", np.array([[2048.0, 2049.0]]), np.array([1]), {}, dtype="float16")
    scores = score_files([tmp_path / "a"], ["000"], ["run"], ["photos"])
    assert scores.set_index("metric")["value"][metric] == 1


def test_scores_come_back_as_written(tmp_path: Path) -> None:
    scores = scores_of({"000": 0.5, "001": 0.25})
    write_scores(tmp_path / "scores.parquet", scores)
    pd.testing.assert_frame_equal(
        read_scores(tmp_path / "scores.parquet"), scores, check_dtype=False
    )


def test_missing_column_is_named(tmp_path: Path) -> None:
    scores_of({"000": 0.5}).drop(columns="n").to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(ValueError, match=r"scores\.parquet: column n is missing, found model, kin"):
        read_scores(tmp_path / "scores.parquet")


def test_unknown_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"expected kinds initialization, start, run.*, found stew"
    ):
        write_scores(tmp_path / "scores.parquet", scores_of({"000": 0.5}).assign(kind="stew"))


def test_score_that_is_there_twice_is_named(tmp_path: Path) -> None:
    scores = pd.concat([scores_of({"000": 0.5}), scores_of({"000": 0.6})])
    with pytest.raises(ValueError, match=r"1 scores.* twice, the first is 000, holdout, accuracy"):
        write_scores(tmp_path / "scores.parquet", scores)


def test_models_rank_by_held_out_accuracy_and_of_equal_ones_the_later_comes_first() -> None:
    ranked = rank(scores_of({"002": 0.5, "000": 0.75, "001": 0.5}), "holdout", ROLES)
    assert list(ranked.index) == ["000", "001", "002"]
    assert list(ranked) == [0.75, 0.5, 0.5]


@pytest.mark.parametrize("dataset", ["photos", "sketches"])
def test_choosing_on_a_test_or_shift_set_is_refused(dataset: str) -> None:
    with pytest.raises(
        ValueError,
        match=rf"{dataset}: choosing needs .*held_out, found role {ROLES[dataset]};.*on holdout",
    ):
        rank(scores_of({"000": 0.5}, dataset), dataset, ROLES)
    with pytest.raises(ValueError, match="flatter"):
        require_held_out(dataset, ROLES)


def test_ranking_without_scores_says_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"on holdout, found datasets \['photos'\] and metrics"):
        rank(scores_of({"000": 0.5}, "photos"), "holdout", ROLES)


def test_datasets_are_found_by_role() -> None:
    assert datasets_of(ROLES, "shift") == ["sketches", "cartoons"]
    assert the_dataset(ROLES, "test") == "photos"
    with pytest.raises(ValueError, match=r"one dataset with role shift, found \['sketches', 'car"):
        the_dataset(ROLES, "shift")
    with pytest.raises(ValueError, match=r"one dataset with role train, found none"):
        the_dataset(ROLES, "train")
