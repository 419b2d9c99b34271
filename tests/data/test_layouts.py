"""A test for each data set, on a small tree in its real layout."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.io import savemat

from imagenet_trees import (
    WNIDS,
    write_flat_val,
    write_objectnet,
    write_renditions,
    write_sketch,
    write_train,
    write_v2,
)
from modelsoups.data.class_maps import pool_logits
from modelsoups.data.datasets import check_counts, index_dataset
from modelsoups.data.specs import CountsSpec, DatasetSpec


def spec(path, **fields):
    return DatasetSpec(**{"path": str(path), "layout": "class-folders", **fields})


def count(path, **counts):
    """Check the known counts of a tree."""
    index, class_map = index_dataset(spec(path), WNIDS)
    check_counts(spec(path), CountsSpec(**counts), index, class_map.ids)


def test_imagenet_train_lists_folder_by_folder_past_files_beside_the_images(tmp_path):
    root = write_train(tmp_path, per_class=2)
    (root / "README.md").write_text("labels")
    (root / WNIDS[0] / ".DS_Store").write_text("x")
    (root / WNIDS[0] / "._n01443537_1.JPEG").write_text("x")
    (root / WNIDS[0] / "list.txt").write_text("x")
    index, class_map = index_dataset(spec(root), WNIDS)
    assert index.label.tolist() == [0, 0, 1, 1, 2, 2]
    assert index.name[:2].tolist() == ["n01443537/n01443537_1.JPEG", "n01443537/n01443537_11.JPEG"]
    assert index.file[0] == f"{root}/n01443537/n01443537_1.JPEG"
    assert (index.row == -1).all()
    assert class_map.ids == WNIDS


def test_paths_keep_their_variable_so_that_data_can_move(tmp_path, monkeypatch):
    write_train(tmp_path, per_class=2)
    monkeypatch.setenv("IMAGENET", str(tmp_path))
    index, _ = index_dataset(spec("$IMAGENET"), WNIDS)
    assert index.file[0] == "$IMAGENET/n01443537/n01443537_1.JPEG"


def test_unset_variable_says_how_to_set_it(monkeypatch):
    monkeypatch.delenv("IMAGENET", raising=False)
    with pytest.raises(ValueError, match="IMAGENET is not set; export IMAGENET=<folder>"):
        index_dataset(spec("$IMAGENET/train"), WNIDS)


def test_missing_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGENET", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"\$IMAGENET/train = .*nowhere/train: expected a folder"):
        index_dataset(spec("$IMAGENET/train"), WNIDS)


def test_missing_and_unknown_class_folders_are_named(tmp_path):
    root = write_train(tmp_path, [WNIDS[0], WNIDS[2], "n99999999"])
    message = r"expected 3 class folders; 1 are missing \['n01484850'\], 1 are of no class .*n9999"
    with pytest.raises(ValueError, match=message):
        index_dataset(spec(root), WNIDS)


def test_class_without_images_has_an_empty_folder_as_the_error_says(tmp_path):
    root = write_train(tmp_path, [WNIDS[0], WNIDS[2]], per_class=1)
    with pytest.raises(ValueError, match="a class without images has an empty folder"):
        index_dataset(spec(root), WNIDS)
    (root / WNIDS[1]).mkdir()
    assert index_dataset(spec(root), WNIDS)[0].label.tolist() == [0, 2]


def test_truncated_set_names_the_classes_that_are_short(tmp_path):
    root = write_train(tmp_path, per_class=2)
    (root / WNIDS[1] / f"{WNIDS[1]}_1.JPEG").unlink()
    message = r"expected 6 images, found 5; expected 2 images of each class.*\(n01484850: 1\)"
    with pytest.raises(ValueError, match=message):
        count(root, num_images=6, images_per_class=2)


def test_class_without_images_is_named(tmp_path):
    root = write_train(tmp_path, per_class=2)
    for file in (root / WNIDS[2]).iterdir():
        file.unlink()
    with pytest.raises(ValueError, match=r"of 3 classes, found 2; none of \['n01558993'\]"):
        count(root, num_images=4, num_classes=3)


VAL_LABELS = [2, 0, 1, 1, 0, 2]
VAL_FIRST = "ILSVRC2012_val_00000001.JPEG"


def test_flat_validation_set_takes_labels_from_a_line_an_image(tmp_path):
    root = write_flat_val(tmp_path / "val")
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{WNIDS[label]}\n" for label in VAL_LABELS))
    index, _ = index_dataset(spec(root, layout="flat", labels=str(labels)), WNIDS)
    assert index.label.tolist() == VAL_LABELS
    assert index.name[0] == VAL_FIRST


def test_flat_validation_set_takes_labels_from_the_devkit(tmp_path):
    """Its class numbers are not ranks of wnids, and its classes include inner nodes."""
    root = write_flat_val(tmp_path / "val")
    data = tmp_path / "ILSVRC2012_devkit_t12/data"
    data.mkdir(parents=True)
    numbers = {WNIDS[0]: 3, WNIDS[1]: 1, WNIDS[2]: 2, "n00001740": 4}
    synsets = np.array(
        [(number, wnid, "words") for wnid, number in numbers.items()],
        dtype=[("ILSVRC2012_ID", object), ("WNID", object), ("words", object)],
    )
    savemat(data / "meta.mat", {"synsets": synsets})
    lines = "".join(f"{numbers[WNIDS[label]]}\n" for label in VAL_LABELS)
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text(lines)
    index, _ = index_dataset(spec(root, layout="flat", labels=str(data.parent)), WNIDS)
    assert index.label.tolist() == VAL_LABELS


def test_flat_validation_set_takes_labels_from_kaggles_table(tmp_path):
    root = write_flat_val(tmp_path / "val")
    rows = [
        f"ILSVRC2012_val_{n + 1:08d},{WNIDS[label]} 1 2 3 4 " for n, label in enumerate(VAL_LABELS)
    ]
    table = tmp_path / "LOC_val_solution.csv"
    table.write_text("ImageId,PredictionString\n" + "\n".join(reversed(rows)) + "\n")
    index, _ = index_dataset(spec(root, layout="flat", labels=str(table)), WNIDS)
    assert index.label.tolist() == VAL_LABELS
    table.write_text("ImageId,PredictionString\n" + rows[0] + "\n")
    with pytest.raises(ValueError, match="no label for 5 images, e.g. ILSVRC2012_val_00000002"):
        index_dataset(spec(root, layout="flat", labels=str(table)), WNIDS)


def test_labels_of_another_number_of_images_are_an_error(tmp_path):
    root = write_flat_val(tmp_path / "val")
    labels = tmp_path / "labels.txt"
    labels.write_text(f"{WNIDS[0]}\n" * 5)
    with pytest.raises(ValueError, match="a label for each of 6 images, found 5"):
        index_dataset(spec(root, layout="flat", labels=str(labels)), WNIDS)


def test_imagenet_v2_folders_are_numbers(tmp_path):
    """Sorted as text, 10 comes before 2."""
    root = write_v2(tmp_path, num_classes=12, per_class=1)
    wnids = [f"n{number:08d}" for number in range(12)]
    index, _ = index_dataset(spec(root, layout="numeric-folders"), wnids)
    assert index.label.tolist() == list(range(12))
    assert index.name[2].startswith("2/") and index.name[10].startswith("10/")


def test_imagenet_r_labels_count_among_its_own_classes(tmp_path):
    """Of the three classes the first two are R's; logits of the third are left out."""
    root = write_renditions(tmp_path, WNIDS[:2])
    index, class_map = index_dataset(spec(root, class_map="imagenet-r"), WNIDS)
    assert index.label.tolist() == [0, 0, 1, 1]
    logits = np.array([[1, 0, 9], [0, 1, 9], [0, 1, 9], [0, 1, 9]], np.float32)
    right = pool_logits(logits, class_map.logits).argmax(axis=1) == index.label
    assert right.tolist() == [True, False, True, True]  # accuracy 3/4; over all classes 0


def test_imagenet_a_has_other_classes(tmp_path):
    root = write_renditions(tmp_path, WNIDS[2:])
    index, class_map = index_dataset(spec(root, class_map="imagenet-a"), WNIDS)
    assert index.label.tolist() == [0, 0]
    assert class_map.logits.tolist() == [[2]]


def test_imagenet_sketch_lies_one_folder_deeper(tmp_path):
    root = write_sketch(tmp_path)
    index, _ = index_dataset(spec(root / "sketch"), WNIDS)
    assert index.label.tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="the path that of the folder right above"):
        index_dataset(spec(root), WNIDS)


def test_objectnet_keeps_the_folders_that_overlap(tmp_path):
    root = write_objectnet(tmp_path)
    fields = {"class_map": "objectnet", "mappings": str(root / "mappings")}
    index, class_map = index_dataset(spec(root / "images", **fields), WNIDS)
    assert index.label.tolist() == [0, 0, 1, 1]
    assert index.name.str.split("/").str[0].tolist() == ["alarm_clock"] * 2 + ["tie"] * 2
    # Alarm clock is the larger of classes 0 and 2: right, right, wrong, right: 3/4.
    logits = np.array([[0, 1, 2], [2, 1, 0], [3, 2, 0], [0, 2, 1]], np.float32)
    right = pool_logits(logits, class_map.logits).argmax(axis=1) == index.label
    assert right.tolist() == [True, True, False, True]


def test_unknown_layout_lists_those_there_are(tmp_path):
    with pytest.raises(
        ValueError, match="layout 'tar' is unknown; allowed: parquet, csv, tsv, class"
    ):
        index_dataset(spec(tmp_path, layout="tar"), WNIDS)


def test_text_is_read_as_utf_8_whatever_the_locale(tmp_path):
    """In a plain C locale Python's own default is ASCII."""
    write_flat_val(tmp_path / "val", num_images=1)
    (tmp_path / "labels.txt").write_text("\u00e9l\u00e9phant\n", "utf-8")
    (tmp_path / "labels.json").write_text('["\u00e9l\u00e9phant"]', "utf-8")
    code = f"""
from modelsoups.data.class_maps import load_json
from modelsoups.data.datasets import index_dataset
from modelsoups.data.specs import DatasetSpec

folder = {str(tmp_path)!r}
spec = DatasetSpec(path=folder + "/val", layout="flat", labels=folder + "/labels.txt")
index, _ = index_dataset(spec, load_json(folder + "/labels.json", "classes"))
assert index.label.tolist() == [0]
"""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **plain}, check=True)


def test_labels_that_are_no_text_are_named(tmp_path):
    root = write_flat_val(tmp_path / "val")
    with pytest.raises(ValueError, match="^.*00001.JPEG: expected a text file with a class id a"):
        index_dataset(spec(root, layout="flat", labels=f"{root}/{VAL_FIRST}"), WNIDS)
