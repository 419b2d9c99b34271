import numpy as np
import pandas as pd
import pytest

from imagenet_trees import WNIDS, write_train
from modelsoups.data.datasets import (
    check_counts,
    describe_dataset,
    hash_names,
    held_out_mask,
    image_key,
    index_dataset,
    read_classes,
)
from modelsoups.data.specs import CountsSpec, DatasetSpec, SplitSpec

CLASSES = ["dog", "cat", "owl"]


def spec(path, **changes):
    fields = {"path": str(path), "where": {"style": ["a"]}, "label": "kind", "group": "style"}
    return DatasetSpec(**{**fields, **changes})


def indexed(*arguments, **changes):
    return index_dataset(spec(*arguments, **changes), CLASSES)[0]


def test_index_has_the_matching_rows_with_labels_in_class_order(parquet):
    index = indexed(parquet)
    assert index.row.tolist() == [0, 2, 4]
    assert index.name.tolist() == ["0.png", "2.png", "4.png"]
    assert index.label.tolist() == [1, 0, 2]  # cat, dog, owl
    assert index.group.tolist() == ["a", "a", "a"]
    assert set(index.file) == {str(parquet)}


def test_rows_must_match_every_condition(parquet):
    where = {"style": ["a", "b"], "kind": ["dog"]}
    assert indexed(parquet, where=where).row.tolist() == [1, 2, 5]


def test_integer_labels_are_taken_as_they_are(parquet):
    assert indexed(parquet, label="number").label.tolist() == [0, 1, 2]


def test_wrong_number_of_images_says_which_rows_count(parquet):
    message = "where .*: expected 4 images, found 3.* rows of its Parquet files that match `where`"
    with pytest.raises(ValueError, match=message):
        check_counts(spec(parquet), CountsSpec(num_images=4), indexed(parquet), CLASSES)


def tree(tmp_path, **counts):
    """Check the counts of a tree of three classes with two images each."""
    root = write_train(tmp_path, per_class=2)
    of = DatasetSpec(path=str(root), layout="class-folders")
    index, class_map = index_dataset(of, WNIDS)
    check_counts(of, CountsSpec(**counts), index, class_map.ids)


def test_wrong_number_of_images_says_which_suffixes_count(tmp_path):
    with pytest.raises(
        ValueError, match=r"found 6.*the files that end in \.bmp, \.jpeg, .*\.webp$"
    ):
        tree(tmp_path, num_images=7)


def test_counts_that_are_known_pass(tmp_path):
    tree(tmp_path, num_images=6, num_classes=3, images_per_class=2)


def test_index_does_not_depend_on_the_counts_that_are_expected(parquet):
    """So that a corrected count, as all prose, makes nothing anew but the record."""
    fields = set(DatasetSpec.__dataclass_fields__)
    assert not fields & {"num_images", "num_classes", "images_per_class", "role", "counterpart"}


def test_label_outside_the_classes_is_named(parquet):
    with pytest.raises(
        ValueError,
        match=r"1 images have a label that is none of the 2 classes .*owl.*parquet, row 4",
    ):
        index_dataset(spec(parquet), CLASSES[:2])
    with pytest.raises(ValueError, match=r"1 images have a label .*\(e.g. \['2'\]\)"):
        index_dataset(spec(parquet, label="number"), CLASSES[:2])


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


def train(path, part, **split):
    split = SplitSpec(**{"part": part, "num_images": 15, "per_class": 2, "seed": 0, **split})
    of = DatasetSpec(path=str(path), layout="class-folders", split=split)
    return index_dataset(of, WNIDS)[0]


def test_split_holds_out_as_many_of_each_class_and_leaves_the_rest(tmp_path):
    root = write_train(tmp_path, per_class=5)
    held_out, rest = train(root, "held-out"), train(root, "rest")
    assert held_out.label.tolist() == [0, 0, 1, 1, 2, 2]
    assert rest.label.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert not set(held_out.name) & set(rest.name)
    assert held_out.index.tolist() == list(range(6))


def test_split_depends_on_the_seed():
    names = [f"n00000001/n00000001_{number}.JPEG" for number in range(100)]
    index = pd.DataFrame({"name": names, "label": 0})
    masks = [
        held_out_mask(index, SplitSpec(part="rest", num_images=100, per_class=10, seed=seed))
        for seed in (0, 0, 1)
    ]
    assert (masks[0] == masks[1]).all()
    assert (masks[0] != masks[2]).any()


def test_split_is_the_same_in_another_order_and_under_the_hubs_names():
    names = [f"n0000000{label}_{number}" for label in (1, 2) for number in range(30)]
    tree = pd.DataFrame(
        {"name": [f"{n[:9]}/{n}.JPEG" for n in names], "label": [0] * 30 + [1] * 30}
    )
    hub = tree.assign(name=[f"{n}_{n[:9]}.JPEG" for n in names]).sample(frac=1, random_state=0)
    split = SplitSpec(part="rest", num_images=60, per_class=3)
    of_tree, of_hub = (index.name[held_out_mask(index, split)] for index in (tree, hub))
    assert set(map(image_key, of_tree)) == set(map(image_key, of_hub))
    assert hash_names(tree) == hash_names(hub)


def test_split_of_a_truncated_set_is_an_error(tmp_path):
    root = write_train(tmp_path, per_class=4)
    with pytest.raises(ValueError, match="expected 15 images, found 12"):
        train(root, "held-out")


def indices_of(tmp_path, held_out):
    """A file like the official imagenet_98_idxs.npy: floats, 1 where an image is held out."""
    numbers = np.zeros(15)
    numbers[held_out] = 1
    np.save(tmp_path / "idxs.npy", numbers)
    return str(tmp_path / "idxs.npy")


def test_file_of_indices_replaces_the_seeded_choice(tmp_path):
    root = write_train(tmp_path / "train", per_class=5)
    path = indices_of(tmp_path, [0, 4, 5, 9, 11, 12])
    guard = {3: f"{WNIDS[1]}_41.JPEG"}  # image 9 is the fourth held-out one, number 41 of class 1
    held_out = train(root, "held-out", indices=path, guard=guard)
    assert [name[-7:] for name in held_out.name[:2]] == ["_1.JPEG", "41.JPEG"]
    assert len(train(root, "rest", indices=path, guard=guard)) == 9


@pytest.mark.parametrize(
    ("held_out", "guard", "message"),
    [
        ([0, 1, 2, 5, 10, 11], {}, "expected 2 held-out images of each class, found 1 to 3"),
        ([0, 1, 5, 6], {}, "expected 2 held-out images of each class, found 0 to 2"),
        ([0, 1, 5, 6, 10, 11], {3: "_41.JPEG"}, "held-out image 3 should be _41.JPEG, found .*_11"),
        ([0, 1, 5, 6, 10, 11], {9: "_1.JPEG"}, "held-out image 9 .* found no such image"),
    ],
)
def test_indices_of_another_order_of_files_are_refused(tmp_path, held_out, guard, message):
    root = write_train(tmp_path / "train", per_class=5)
    with pytest.raises(ValueError, match=message):
        train(root, "held-out", indices=indices_of(tmp_path, held_out), guard=guard)


def test_indices_of_another_set_are_refused(tmp_path):
    root = write_train(tmp_path / "train", per_class=5)
    np.save(tmp_path / "idxs.npy", np.ones(7))
    with pytest.raises(ValueError, match=r"a number for each of 15 images, found shape \(7,\)"):
        train(root, "held-out", indices=str(tmp_path / "idxs.npy"))


def test_record_of_a_data_set_has_its_counts_and_the_hash_of_its_names(parquet):
    index, class_map = index_dataset(spec(parquet), CLASSES)
    record = describe_dataset(spec(parquet), CountsSpec(num_images=3), index, class_map.ids)
    assert (record["num_images"], record["num_classes"]) == (3, 3)
    assert record["names_sha256"] == hash_names(index[::-1])
    assert record["target_classes"] == CLASSES
    assert "trim_border" not in record["spec"]  # what is off is not written


def test_record_of_a_data_set_with_another_count_is_refused(parquet):
    index, class_map = index_dataset(spec(parquet), CLASSES)
    with pytest.raises(ValueError, match="expected 4 images, found 3"):
        describe_dataset(spec(parquet), CountsSpec(num_images=4), index, class_map.ids)


def test_border_to_be_trimmed_stands_in_the_index_where_there_is_one(parquet):
    assert "trim_border" not in indexed(parquet)
    assert indexed(parquet, trim_border=2).trim_border.tolist() == [2, 2, 2]
