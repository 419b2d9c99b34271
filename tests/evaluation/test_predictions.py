"""Metrics of whole sets, and differences of them, from what models predict."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.failures import write_no_logits
from modelsoups.evaluation.logits import write_logits
from modelsoups.evaluation.predictions import (
    collect_predictions,
    score_difference,
    score_predictions,
)
from modelsoups.evaluation.statistics import paired_difference

ROLES = {"photos": "test", "toys": "shift"}


def write(folder, dataset, model, predictions, labels):
    path = folder / f"{model}-{dataset}.parquet"
    write_logits(path, np.eye(3, dtype=np.float32)[predictions], np.array(labels), {})
    return path


@pytest.fixture
def files(tmp_path):
    """Two models on two sets, one of which has no groups; a third run failed."""
    labels = {"photos": [0, 1, 1], "toys": [2, 2]}
    said = {"a": {"photos": [0, 1, 2], "toys": [2, 2]}, "b": {"photos": [0, 0, 1], "toys": [2, 0]}}
    indexes = {}
    for dataset, found in labels.items():
        indexes[dataset] = tmp_path / f"{dataset}.parquet"
        groups = ["ink", "", "oil"] if dataset == "photos" else [None, None]
        pd.DataFrame({"label": found, "group": groups}).to_parquet(indexes[dataset])
    write_no_logits(tmp_path / "failed.parquet", "it diverged", {})
    paths = {
        dataset: {
            **{
                model: write(tmp_path, dataset, model, said[model][dataset], found)
                for model in "ab"
            },
            "c": tmp_path / "failed.parquet",
        }
        for dataset, found in labels.items()
    }
    return paths, indexes


def test_table_has_a_row_an_example_and_a_column_a_model_that_did_not_fail(files) -> None:
    table = collect_predictions(*files, ROLES)
    assert list(table) == ["dataset", "role", "index", "label", "group", "a", "b"]
    assert table["dataset"].tolist() == ["photos"] * 3 + ["toys"] * 2
    assert table["role"].tolist() == ["test"] * 3 + ["shift"] * 2
    assert table["index"].tolist() == [0, 1, 2, 0, 1]
    assert table["group"].tolist() == ["ink", "", "oil", "", ""]
    assert table["a"].tolist() == [0, 1, 2, 2, 2]


def test_logits_of_other_examples_are_refused(files, tmp_path) -> None:
    paths, indexes = files
    paths["toys"]["b"] = write(tmp_path, "toys", "b", [2, 0], [2, 1])
    with pytest.raises(ValueError, match="b-toys.parquet: its labels are not those of .*toys.parq"):
        collect_predictions(paths, indexes, ROLES)


def test_a_metric_is_of_all_rows_together(files) -> None:
    table = collect_predictions(*files, ROLES)
    assert score_predictions(table, "accuracy", ["a", "b"]).to_dict() == {"a": 4 / 5, "b": 3 / 5}
    # ink: the first photo, oil: the third; the others are of no group.
    worst = score_predictions(table, "worst_group_accuracy", ["a", "b"])
    assert worst.to_dict() == {"a": 0, "b": 1}
    # F1 of a: class 0 1, class 1 2/3, class 2 4/5.
    assert score_predictions(table, "macro_f1", ["a"])["a"] == pytest.approx(
        (1 + 2 / 3 + 4 / 5) / 3
    )


def table_of(random: np.random.Generator, num_rows: int = 600, num_classes: int = 6):
    """Two models of equal quality, which err on images of their own, in four groups."""
    labels = random.integers(0, num_classes, num_rows)
    columns = {}
    for model in "ab":
        wrong = random.random(num_rows) < 0.3
        columns[model] = np.where(wrong, random.integers(0, num_classes, num_rows), labels)
    groups = random.choice(["ink", "oil", "tin", "wax"], num_rows, p=[0.1, 0.2, 0.3, 0.4])
    return pd.DataFrame({"label": labels, "group": groups, **columns})


def test_a_difference_of_accuracies_has_the_interval_of_pairs() -> None:
    rows = table_of(np.random.default_rng(0))
    right = [(rows[model] == rows["label"]).to_numpy(float) for model in "ab"]
    assert score_difference(rows, "accuracy", "a", "b") == paired_difference([right[0] - right[1]])


@pytest.mark.parametrize("metric", ["macro_f1", "worst_group_accuracy"])
def test_models_that_say_the_same_do_not_differ(metric) -> None:
    rows = table_of(np.random.default_rng(0)).assign(b=lambda table: table["a"])
    found = score_difference(rows, metric, "a", "b")
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_examples_of_no_group_do_not_count_in_a_difference_of_worst_groups() -> None:
    """Of 600 examples three have a group: a resample of all would often have none."""
    rows = table_of(np.random.default_rng(0))
    few = rows.assign(group=["ink", "oil", "oil", *[""] * 597])
    assert score_difference(few, "worst_group_accuracy", "a", "b") == score_difference(
        rows[:3].assign(group=["ink", "oil", "oil"]), "worst_group_accuracy", "a", "b"
    )


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["macro_f1", "worst_group_accuracy"])
def test_models_of_equal_quality_are_told_apart_in_one_of_twenty(metric) -> None:
    """The worst group is another one in every draw, and of either model."""
    random = np.random.default_rng(1)
    found = [
        score_difference(table_of(random), metric, "a", "b", num_resamples=200).p < 0.05
        for _ in range(300)
    ]
    assert np.mean(found) < 0.08  # 0.05 and two standard errors and a half
