"""Parquet files as the hub and others write them."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import encode
from imagenet_trees import WNIDS, write_image
from modelsoups.data.class_maps import build_class_map
from modelsoups.data.datasets import hash_names, index_dataset
from modelsoups.data.parquet import list_parquet
from modelsoups.data.reading import read_images
from modelsoups.data.specs import DatasetSpec

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def write(tmp_path, pixels):
    """A function that writes three images, by default as the hub has them, and gives the path."""
    encoded = [encode(image) for image in pixels[:3]]

    def write(file="images.parquet", **columns):
        images = [{"bytes": each, "path": f"{n}.png"} for n, each in enumerate(encoded)]
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"image": images, "label": [0, 1, 2], **columns}), path)
        return path

    write.encoded = encoded
    return write


def index(path, **fields):
    return index_dataset(DatasetSpec(path=str(path), **fields), WNIDS)[0]


def test_missing_column_is_named_with_those_there(parquet):
    with pytest.raises(ValueError, match=r"no column \['breed'\]; it has \['image', 'kind'"):
        index(parquet, label="breed")


@pytest.mark.parametrize("kind", [pa.null(), pa.string()])
def test_images_without_a_path_are_named_by_file_and_row(write, kind):
    """What `datasets` writes of arrays: `path` is there, and null."""
    struct = pa.struct([("bytes", pa.binary()), ("path", kind)])
    images = [{"bytes": each, "path": None} for each in write.encoded]
    listed = index(write(image=pa.array(images, struct)))
    assert listed.name.tolist() == [f"images.parquet:{row}" for row in range(3)]
    assert len(hash_names(listed)) == 64
    assert list(read_images(listed)) == write.encoded


def test_images_with_one_path_for_several_are_named_by_file_and_row(write):
    paths = ["image.png", "own.png", "image.png"]
    images = [{"bytes": b"x", "path": path} for path in paths]
    names = index(write(image=images)).name.tolist()
    assert names == ["images.parquet:0", "own.png", "images.parquet:2"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_column_of_bytes_is_read_as_encoded_images(write, kind):
    listed = index(write(image=pa.array(write.encoded, kind)))
    assert listed.name.tolist() == [f"images.parquet:{row}" for row in range(3)]
    assert list(read_images(listed)) == write.encoded


def test_image_that_is_not_in_the_file_is_named_with_its_row(write):
    images = [{"bytes": b"x", "path": "0.png"}, {"bytes": None, "path": "photos/1.png"}, None]
    listed = index(write(image=pa.array(images, STRUCT)))
    message = r"images.parquet, row 1: the image is not in this file, .* 'photos/1.png' of another"
    with pytest.raises(ValueError, match=message):
        list(read_images(listed))
    with pytest.raises(ValueError, match=r"row 2: there is no image \(null\)"):
        list(read_images(listed[2:]))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (["0.png", "1.png", "2.png"], "string"),
        ([[1, 2], [3, 4], [5, 6]], "list<.*int64>"),
        ([{"path": "0.png"}] * 3, "struct<path: string>"),
    ],
)
def test_column_without_images_is_named_with_its_type(write, column, kind):
    with pytest.raises(ValueError, match=f"'image' is of type {kind}; expected images as encoded"):
        index(write(image=column))


def test_numbers_of_a_file_of_the_hub_are_classes_by_their_names(write):
    """`datasets` says what they are called: the study's classes may be in another order."""

    def labels(names, numbers=(0, 1, 2)):
        path = write(label=[*numbers])
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        said = json.dumps({"info": {"features": features}})
        pq.write_table(pq.read_table(path).replace_schema_metadata({"huggingface": said}), path)
        return index(path).label.tolist()

    assert labels(WNIDS) == [0, 1, 2]
    assert labels(WNIDS[::-1]) == [2, 1, 0]
    assert labels(["tench", "goldfish", "shark"]) == [0, 1, 2]  # no ids: by number
    with pytest.raises(ValueError, match=r"1 images have a label that is none .* \['-1'\]"):
        labels(WNIDS[::-1], (0, 1, -1))


@pytest.mark.parametrize("labels", [[0, None, 1], ["a", None, "b"]])
def test_missing_labels_are_named_by_their_rows(write, labels):
    message = r"column 'label' has no label \(null\) in 1 rows, the first \[1\]; leave them out"
    with pytest.raises(ValueError, match=message):
        index(write(label=labels))


def test_rows_without_a_label_can_be_left_out(write):
    assert index(write(label=[2, None, 1]), where={"label": ["1", "2"]}).label.tolist() == [2, 1]


@pytest.mark.parametrize("labels", [[0.0, 1.0, 2.0], [[0], [1], [2]], [True, False, True]])
def test_labels_of_another_type_are_named_with_it(write, labels):
    kind = "(double|list<.*int64>|bool)"
    with pytest.raises(ValueError, match=f"'label' is of type {kind}; expected labels: numbers"):
        index(write(label=labels))


def test_columns_may_be_stored_as_dictionaries(write):
    kinds = pa.array([WNIDS[2], WNIDS[0], WNIDS[2]]).dictionary_encode()
    listed = index(write(label=kinds, style=kinds), where={"style": [WNIDS[2]]}, group="style")
    assert listed.label.tolist() == [2, 2]
    assert listed.group.tolist() == [WNIDS[2]] * 2


def test_condition_that_cannot_hold_of_a_column_is_an_error(write):
    with pytest.raises(ValueError, match=r"'label' is of type int64, `where` asks for \['cat'\]"):
        index(write(), where={"label": ["cat"]})


def test_groups_must_be_strings_or_numbers(write):
    assert index(write(group=[7, 7, 8])).group.tolist() == ["7", "7", "8"]
    with pytest.raises(ValueError, match="'group' is of type struct<.*; expected groups"):
        index(write(group=[{"a": 1}] * 3))


def test_file_that_is_cut_short_is_named(write):
    path = write()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="images.parquet: not a readable Parquet file"):
        index(path)


def test_file_that_became_shorter_than_its_index_is_an_error(write):
    """Where the array of a view would be left black."""
    path = write()
    listed = index(path)
    pq.write_table(pq.read_table(path)[:2], path)
    with pytest.raises(ValueError, match="row 2 was listed, but the file has 2"):
        list(read_images(listed))


def test_folder_is_read_as_the_parquet_files_in_it(write, tmp_path):
    write("data/b.parquet")
    write("data/a.parquet")
    write("data/deeper/c.parquet")
    (tmp_path / "data/README.md").write_text("three files")
    (tmp_path / "data/.a.parquet").write_text("half a download")
    listed = index(tmp_path / "data", group="label")
    assert listed.file.unique().tolist() == [f"{tmp_path}/data/{name}.parquet" for name in "ab"]
    assert listed.group.tolist() == ["0", "1", "2"] * 2


def test_pattern_may_have_a_star_in_a_folder(write, tmp_path, monkeypatch):
    for part in ("b", "a"):
        write(f"hub/data/{part}/train-0.parquet", image=[{"bytes": b"x", "path": None}] * 3)
        write(f"hub/data/{part}/test-0.parquet")
    monkeypatch.setenv("HUB", str(tmp_path / "hub"))
    listed = index("$HUB/data/*/train-*.parquet")
    assert listed.file.unique().tolist() == [f"$HUB/data/{part}/train-0.parquet" for part in "ab"]
    assert listed.name.tolist() == [
        f"{part}/train-0.parquet:{row}" for part in "ab" for row in range(3)
    ]
    assert list(read_images(listed)) == [b"x"] * 6


def test_name_with_brackets_is_a_file_before_it_is_a_pattern(write):
    assert len(index(write("data[1]/images[2].parquet"))) == 3


def hub_snapshot(folder, shards, labels):
    """Parquet files as the hub has them: image {bytes, path}, label; wnid at the path's end."""
    folder.mkdir(parents=True)
    number = 0
    for shard in range(shards):
        rows = []
        for label in labels[shard::shards]:
            name = f"{WNIDS[label]}_{number}_{WNIDS[label]}.JPEG"
            write_image(folder / "one.jpg", seed=number)
            rows.append({"bytes": (folder / "one.jpg").read_bytes(), "path": name})
            number += 1
        (folder / "one.jpg").unlink()
        table = pa.table({"image": rows, "label": labels[shard::shards]})
        metadata = {b"huggingface": json.dumps({"info": {}}).encode()}
        pq.write_table(
            table.replace_schema_metadata(metadata),
            folder / f"train-{shard:05d}-of-{shards:05d}.parquet",
        )


def test_hub_snapshot_is_read_shard_by_shard(tmp_path, monkeypatch):
    hub_snapshot(tmp_path / "data", 2, [0, 1, 2, 2, 1])
    monkeypatch.setenv("HUB", str(tmp_path))
    listed = index("$HUB/data/train-*.parquet")
    assert listed.label.tolist() == [0, 2, 1, 1, 2]  # 0, 2 and 4 of the labels, then 1 and 3
    assert listed.row.tolist() == [0, 1, 2, 0, 1]
    assert listed.file[0] == "$HUB/data/train-00000-of-00002.parquet"
    assert listed.name[0] == "n01443537_0_n01443537.JPEG"


@pytest.mark.parametrize(
    "path", ["train-*.parquet", "nowhere/*.parquet", "*/x.parquet", "x.parquet"]
)
def test_missing_snapshot_is_an_error(tmp_path, path):
    with pytest.raises(ValueError, match="no such Parquet file. Is the download whole"):
        index(f"{tmp_path}/{path}")


def test_listing_of_files_where_only_some_have_matching_rows(write, tmp_path):
    write("data/a.parquet", style=["x", "y", "x"])
    write("data/b.parquet", style=["y", "y", "y"])
    spec = DatasetSpec(path=f"{tmp_path}/data", where={"style": ["x"]})
    listing = list_parquet(spec, build_class_map(None, ["a", "b"]))
    assert pd.api.types.is_integer_dtype(listing.id)
    assert listing.row.tolist() == [0, 2]
