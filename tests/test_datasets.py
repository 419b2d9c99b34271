import pytest

from conftest import encode
from modelsoups.datasets import DatasetSpec, index_dataset, read_classes, read_images

CLASSES = ["dog", "cat", "owl"]


def spec(path, **changes):
    fields = {"role": "test", "path": str(path), "where": {"style": ["a"]}, "num_images": 3}
    return DatasetSpec(**{**fields, "label": "kind", "group": "style", **changes})


def test_index_has_the_matching_rows_with_labels_in_class_order(parquet):
    index = index_dataset(spec(parquet), CLASSES)
    assert index.row.tolist() == [0, 2, 4]
    assert index.label.tolist() == [1, 0, 2]  # cat, dog, owl
    assert index.group.tolist() == ["a", "a", "a"]
    assert set(index.file) == {str(parquet)}


def test_rows_must_match_every_condition(parquet):
    where = {"style": ["a", "b"], "kind": ["dog"]}
    assert index_dataset(spec(parquet, where=where), CLASSES).row.tolist() == [1, 2, 5]


def test_integer_labels_are_taken_as_they_are(parquet):
    assert index_dataset(spec(parquet, label="number"), CLASSES).label.tolist() == [0, 1, 2]


def test_missing_column_is_named_with_those_there(parquet):
    with pytest.raises(ValueError, match=r"no column \['breed'\]; it has \['image', 'kind'"):
        index_dataset(spec(parquet, label="breed"), CLASSES)


def test_wrong_number_of_images_is_an_error(parquet):
    with pytest.raises(ValueError, match="expected 4 images where .*, found 3"):
        index_dataset(spec(parquet, num_images=4), CLASSES)


def test_label_outside_the_classes_is_named(parquet):
    with pytest.raises(
        ValueError, match=r"1 images have a label that is none of the 2 classes .*owl"
    ):
        index_dataset(spec(parquet), CLASSES[:2])
    with pytest.raises(ValueError, match=r"1 images have a label .*\(e.g. \['2'\]\)"):
        index_dataset(spec(parquet, label="number"), CLASSES[:2])


def test_bytes_come_in_index_order_across_row_groups(parquet, pixels):
    index = index_dataset(spec(parquet), CLASSES)
    assert list(read_images(index)) == [encode(pixels[row]) for row in (0, 2, 4)]


def test_classes_need_id_and_name_and_no_id_twice(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("id,name\ndog,dog\ncat,cat\n")
    assert read_classes(path).id.tolist() == ["dog", "cat"]
    path.write_text("id,name\ndog,dog\ndog,cat\n")
    with pytest.raises(ValueError, match="one row a class and no id twice"):
        read_classes(path)
    path.write_text("id\ndog\n")
    with pytest.raises(ValueError, match=r"found columns \['id'\]"):
        read_classes(path)
