"""Which images each model has right, and comparisons of models on them."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.data.label_sets import is_right
from modelsoups.evaluation.failures import write_no_logits
from modelsoups.evaluation.logits import write_logits
from modelsoups.evaluation.paired import (
    accuracy_of,
    collect_correct,
    compare,
    judge_label_set,
    pack,
    read_correct,
    unpack,
)

CORRECT = pd.DataFrame(
    {
        "dataset": ["photos"] * 4 + ["toys"] * 2,
        "index": [0, 1, 2, 3, 0, 1],
        "a": [True, True, True, False, True, True],
        "b": [True, False, False, False, True, False],
    }
)


@pytest.fixture
def photos(tmp_path):
    """Logits of a model on four examples: predictions 0, 1, 2, 2 and labels 0, 1, 1, 2."""
    logits = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]]
    write_logits(tmp_path / "a.parquet", logits, np.array([0, 1, 1, 2]), {})
    return {"a": tmp_path / "a.parquet"}


def test_table_has_a_row_an_example(photos) -> None:
    table = collect_correct({"photos": photos})
    assert table["dataset"].tolist() == ["photos"] * 4
    assert table["index"].tolist() == [0, 1, 2, 3]
    assert table["a"].tolist() == [True, True, False, True]
    assert table["a"].dtype == bool


def test_a_label_set_judges_the_examples_that_it_has_labels_of(photos) -> None:
    table = judge_label_set("relabelled", photos, pd.DataFrame({"labels": [[1], [], [1, 2], [0]]}))
    assert table["dataset"].tolist() == ["relabelled"] * 3
    assert table["index"].tolist() == [0, 2, 3]
    assert table["a"].tolist() == [False, True, False]
    assert table["a"].dtype == bool


def test_a_label_set_of_other_examples_is_refused(photos) -> None:
    with pytest.raises(ValueError, match=r"set short: expected labels of the 4 examples.*found 1;"):
        judge_label_set("short", photos, pd.DataFrame({"labels": [[1]]}))


def test_tables_of_a_sweep_and_its_label_sets_are_read_as_one(photos, tmp_path) -> None:
    sets = {
        "by-class": pd.DataFrame({"labels": [[0], [0], [], [2]], "stratum": [0, 1, 1, 2]}),
        "by-image": pd.DataFrame({"labels": [[0], [], [0], []]}),
    }
    tables = [collect_correct({"photos": photos})]
    tables += [judge_label_set(name, photos, labels) for name, labels in sets.items()]
    paths = [tmp_path / f"{number}.parquet" for number in range(3)]
    for path, each in zip(paths, tables, strict=True):
        each.to_parquet(path, index=False)
    table = read_correct(paths)
    assert table["dataset"].tolist() == ["photos"] * 4 + ["by-class"] * 3 + ["by-image"] * 2
    assert table["stratum"].tolist() == [-1] * 4 + [0, 1, 2] + [-1] * 2
    assert table["a"].tolist() == [True, True, False, True, True, False, True, True, False]
    assert "stratum" not in read_correct(paths[:1])
    assert accuracy_of(table, ["a"], ["photos"]) == 3 / 4
    assert accuracy_of(table, ["a"], ["by-class"]) == 2 / 3


def test_skipped_runs_are_left_out(tmp_path) -> None:
    write_logits(tmp_path / "a.parquet", np.eye(2, dtype=np.float32), np.array([0, 0]), {})
    write_no_logits(tmp_path / "b.parquet", "it diverged", {})
    files = {name: tmp_path / f"{name}.parquet" for name in ("b", "a")}
    assert list(collect_correct({"photos": files})) == ["dataset", "index", "a"]
    labels = pd.DataFrame({"labels": [[0], [0]]})
    assert list(judge_label_set("again", files, labels)) == ["dataset", "index", "a"]


def test_prediction_is_right_if_it_is_among_the_labels() -> None:
    right = is_right(np.array([1, 1, 1]), [[0, 1], [2], []])
    np.testing.assert_array_equal(right, [1, 0, np.nan])


def test_mean_of_sets_counts_them_alike() -> None:
    assert accuracy_of(CORRECT, ["a"], ["photos", "toys"]) == (3 / 4 + 1) / 2
    assert accuracy_of(CORRECT, ["a", "b"], ["photos"]) == (3 / 4 + 1 / 4) / 2


def test_one_set_and_two_models_are_compared_by_mcnemar() -> None:
    result = compare(CORRECT, ["a"], ["b"], ["photos"])
    assert (result.test, result.difference, result.p) == ("mcnemar", 0.5, 0.5)


@pytest.mark.parametrize("num_examples", [1, 8, 13])
def test_what_is_packed_comes_back(num_examples) -> None:
    right = np.random.default_rng(0).random(num_examples) < 0.5
    np.testing.assert_array_equal(unpack(pack(right), num_examples), right)


def test_means_are_compared_by_permutation() -> None:
    several_sets = compare(CORRECT, ["a"], ["b"], ["photos", "toys"])
    assert several_sets.test == "permutation"
    # (1/2 + 1/2) / 2; of the 8 signs of two images (1/4 each) and one (1/2) two are as extreme.
    assert several_sets.difference == pytest.approx(0.5)
    assert several_sets.p == pytest.approx(0.25, abs=0.02)
    assert compare(CORRECT, ["a", "b"], ["b"], ["photos"]).test == "permutation"


BY_CLASS = pd.DataFrame(
    {
        "dataset": "multilabel",
        "index": range(5),
        "stratum": [0, 0, 1, 2, 2],
        "a": [True, False, True, True, True],
        "b": [True, False, False, True, False],
    }
)


def test_classes_count_alike_where_accuracy_is_averaged_by_class() -> None:
    # a: (1/2 + 1 + 1) / 3, of images 4/5; b: (1/2 + 0 + 1/2) / 3, of images 2/5.
    assert accuracy_of(BY_CLASS, ["a"], ["multilabel"]) == pytest.approx(5 / 6)
    assert accuracy_of(BY_CLASS, ["b"], ["multilabel"]) == pytest.approx(1 / 3)


def test_means_over_classes_are_compared_by_permutation() -> None:
    result = compare(BY_CLASS, ["a"], ["b"], ["multilabel"])
    assert result.test == "permutation"
    assert result.difference == pytest.approx(1 / 2)
    # The differing images weigh 1/3 and 1/6; of their four signs two are as extreme.
    assert result.p == pytest.approx(0.5, abs=0.02)
