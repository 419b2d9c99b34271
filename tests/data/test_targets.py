"""Targets that are no classes: from columns and from arrays."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from modelsoups.data.datasets import index_dataset, targets_of
from modelsoups.data.specs import parse_dataset


def encoded(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def table(tmp_path):
    columns = {
        "image": [encoded(shade) for shade in range(3)],
        "age": [30, 41, 5],
        "height": [1.5, 1.75, 0.5],
        "cat": [True, False, True],
        "dog": [0, 0, 1],
        "names": [["dog"], [], ["cat", "dog"]],
        "numbers": [[1], [0, 1], []],
        "pair": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        "gap": [1.0, None, 2.0],
    }
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    return str(tmp_path / "data.parquet")


def read(table, names, predicts, targets):
    spec = parse_dataset({"path": table, "predicts": predicts, "targets": targets})
    index, _ = index_dataset(spec, names)
    return targets_of(index)


def test_columns_are_outputs_in_their_order(table):
    numbers = read(table, ["height", "age"], "numbers", ["height", "age"])
    assert numbers.dtype == np.float32
    assert numbers.tolist() == [[1.5, 30], [1.75, 41], [0.5, 5]]
    labels = read(table, ["cat", "dog"], "labels", ["cat", "dog"])
    assert labels.dtype == bool
    assert labels.tolist() == [[True, False], [False, False], [True, True]]


@pytest.mark.parametrize("column", ["names", "numbers"])
def test_lists_of_labels_name_or_number_them(table, column):
    found = read(table, ["cat", "dog"], "labels", [column])
    if column == "names":
        assert found.tolist() == [[False, True], [False, False], [True, True]]
    else:
        assert found.tolist() == [[False, True], [True, True], [False, False]]


def test_lists_of_numbers_and_arrays_have_all_of_an_example(table, tmp_path):
    assert read(table, ["a", "b"], "numbers", "pair").tolist() == [[1, 2], [3, 4], [5, 6]]
    np.save(tmp_path / "targets.npy", [7.0, 8.0, 9.0])
    assert read(table, ["a"], "numbers", str(tmp_path / "targets.npy")).tolist() == [[7], [8], [9]]


@pytest.mark.parametrize(
    ("names", "predicts", "targets", "says"),
    [
        (["cat"], "labels", ["age"], "expected labels, 0 or 1 each"),
        (["x"], "numbers", ["gap"], "values are missing"),
        (["x"], "numbers", ["weight"], r"no column \['weight'\]"),
        (["x"], "labels", ["names"], "'dog' is none of the labels"),
        (["x"], "numbers", ["pair"], r"expected 1 numbers a row"),
    ],
)
def test_what_does_not_fit_is_named(table, names, predicts, targets, says):
    with pytest.raises(ValueError, match=says):
        read(table, names, predicts, targets)


def test_an_array_of_other_examples_is_refused(table, tmp_path):
    np.save(tmp_path / "targets.npy", np.zeros((4, 1)))
    with pytest.raises(ValueError, match=r"expected targets \(3, 1\).* found \(4, 1\)"):
        read(table, ["a"], "numbers", str(tmp_path / "targets.npy"))


def test_index_survives_its_file(table, tmp_path):
    import pandas as pd

    spec = parse_dataset({"path": table, "predicts": "labels", "targets": ["cat", "dog"]})
    index, _ = index_dataset(spec, ["cat", "dog"])
    index.to_parquet(tmp_path / "index.parquet")
    np.testing.assert_array_equal(
        targets_of(pd.read_parquet(tmp_path / "index.parquet")), targets_of(index)
    )


def test_a_folder_of_images_takes_its_targets_from_an_array(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(encoded(number))
    np.save(tmp_path / "targets.npy", np.eye(3)[:, :2])
    fields = {"layout": "flat", "predicts": "labels", "targets": str(tmp_path / "targets.npy")}
    index, _ = index_dataset(parse_dataset({"path": str(folder), **fields}), ["a", "b"])
    assert [*index.name] == ["0.png", "1.png", "2.png"]
    assert targets_of(index).tolist() == [[True, False], [False, True], [False, False]]
