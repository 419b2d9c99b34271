"""Logits come back from Parquet as they went in, and a broken file says what is wrong with it."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from modelsoups.evaluation.logits import (
    Logits,
    check_same_images,
    read_logits,
    read_predictions,
    write_logits,
)

LOGITS = np.array([[0.5, 2.0, -1.0], [3.0, 0.0, 1.0]], np.float32)
LABELS = np.array([1, 2])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of two images and three classes."""
    path = tmp_path / "logits.parquet"
    write_logits(path, LOGITS, LABELS, {"model": "007", "dataset": "test", "spec": {"size": 64}})
    return path


def test_logits_come_back_as_written(path: Path) -> None:
    outputs = read_logits(path)
    np.testing.assert_array_equal(outputs.index, [0, 1])
    np.testing.assert_array_equal(outputs.labels, LABELS)
    np.testing.assert_array_equal(outputs.predictions, [1, 0])
    np.testing.assert_array_equal(outputs.logits, LOGITS)
    assert outputs.metadata == {"model": "007", "dataset": "test", "spec": {"size": 64}}
    assert (outputs.index.dtype, outputs.labels.dtype) == (np.int32, np.int16)
    assert outputs.logits.dtype == np.float32


def test_predictions_are_read_without_logits(path: Path) -> None:
    table = read_predictions(path)
    assert table.to_dict("list") == {"index": [0, 1], "label": [1, 2], "prediction": [1, 0]}


def test_predictions_are_taken_before_rounding_to_float16(tmp_path: Path) -> None:
    # float16 has 11 bits: 2049 rounds to 2048, so the stored logits are equal and argmax says 0.
    logits = np.array([[2048.0, 2049.0]], np.float32)
    write_logits(tmp_path / "a", logits, np.array([1]), {}, dtype="float16")
    outputs = read_logits(tmp_path / "a")
    assert outputs.logits.dtype == np.float16
    np.testing.assert_array_equal(outputs.logits, [[2048, 2048]])
    np.testing.assert_array_equal(outputs.predictions, [1])


def test_labels_take_32_bits_where_classes_need_them(tmp_path: Path) -> None:
    logits = np.zeros((1, 40_000), np.float32)
    logits[0, 39_999] = 1
    write_logits(tmp_path / "a", logits, np.array([39_999]), {})
    outputs = read_logits(tmp_path / "a")
    assert outputs.labels.dtype == np.int32
    assert (outputs.labels[0], outputs.predictions[0]) == (39_999, 39_999)


def test_a_file_of_several_row_groups_is_read_whole(path: Path) -> None:
    pq.write_table(pq.read_table(path), path, row_group_size=1)
    np.testing.assert_array_equal(read_logits(path).logits, LOGITS)


def test_missing_column_is_named(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop(["label"]), path)
    with pytest.raises(
        ValueError, match=r"logits\.parquet: column label is missing, found index, pred.*evaluate"
    ):
        read_logits(path)


def test_column_of_another_type_is_named(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(3, "logits", table["index"]), path)
    with pytest.raises(ValueError, match=r"one list of floats a row.*found int32"):
        read_logits(path)


def test_cut_file_is_reported(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"logits\.parquet: expected a whole Parquet file"):
        read_logits(path)


@pytest.mark.parametrize("label", [-1, 3])
def test_label_outside_the_classes_is_refused(tmp_path: Path, label: int) -> None:
    with pytest.raises(
        ValueError, match=rf"1 labels lie outside the classes 0\.\.2, the first is {label} in row 1"
    ):
        write_logits(tmp_path / "a", LOGITS, np.array([0, label]), {})
    assert not (tmp_path / "a").exists()


def test_label_outside_the_classes_is_refused_on_reading(path: Path) -> None:
    table = pq.read_table(path)
    wrong = table["label"].combine_chunks().take([0, 0]).cast("int32").to_numpy() + 9
    pq.write_table(table.set_column(1, "label", [wrong]), path)
    with pytest.raises(ValueError, match=r"2 labels lie outside"):
        read_logits(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    logits = LOGITS.copy()
    logits[1, 2] = value
    with pytest.raises(ValueError, match=r"007/a: 1 of 2 rows have logits.*the first is row 1"):
        write_logits(tmp_path / "007" / "a", logits, LABELS, {})


def test_logits_beyond_float16_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"2 of 2 rows.*infinite in float16"):  # largest is 65504
        write_logits(tmp_path / "a", LOGITS * 70_000, LABELS, {}, dtype="float16")


def test_shapes_that_disagree_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found logits \(2, 3\) and labels \(1,\)"):
        write_logits(tmp_path / "a", LOGITS, LABELS[:1], {})


def test_models_of_other_images_are_told_apart(path: Path, tmp_path: Path) -> None:
    def other(logits: np.ndarray, labels: np.ndarray) -> Logits:
        write_logits(tmp_path / "b", logits, labels, {})
        return read_logits(tmp_path / "b")

    first = read_logits(path)
    check_same_images("a", first, "b", other(LOGITS + 1, LABELS))
    with pytest.raises(ValueError, match=r"b: 1 of 2 rows have another index or label than in a"):
        check_same_images("a", first, "b", other(LOGITS, np.array([1, 0])))
    with pytest.raises(ValueError, match=r"b: expected 2 images with 3 classes as in a, found 1 i"):
        check_same_images("a", first, "b", other(LOGITS[:1], LABELS[:1]))
