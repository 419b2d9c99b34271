"""Data sets in tar shards, and subsets of the classes of a whole set."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from modelsoups.data.datasets import index_dataset
from modelsoups.data.reading import read_image, read_images
from modelsoups.data.specs import DatasetSpec, ViewSpec
from modelsoups.data.views import decode

CLASSES = ["cat", "dog", "owl"]


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(buffer, "png")
    return buffer.getvalue()


def write_shard(path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def shards(tmp_path):
    write_shard(
        tmp_path / "a-0.tar", {"0.png": png(10), "0.cls": b"2", "1.cls": b"0\n", "1.png": png(20)}
    )
    write_shard(tmp_path / "a-1.tar", {"2.cls": b"1", "2.png": png(30)})
    return tmp_path


def test_every_example_is_listed_with_its_class_and_read_where_it_lies(shards):
    index, _ = index_dataset(DatasetSpec(path=str(shards), layout="webdataset"), CLASSES)
    assert [*index.name] == ["0", "1", "2"]
    assert [*index.label] == [2, 0, 1]
    pixels = np.empty((3, 8, 8, 3), np.uint8)
    decode(index, ViewSpec(size=8, resize=8), pixels, progress=False)
    assert pixels[:, 0, 0, 0].tolist() == [10, 20, 30]
    stored = list(read_images(index))
    assert [read_image(*row) for row in zip(index.file, index.row, strict=True)] == stored


def test_json_has_the_class_under_a_field(tmp_path):
    said = json.dumps({"label": "x", "kind": "owl"}).encode()
    write_shard(tmp_path / "s.tar", {"n/7.jpg": png(1), "n/7.json": said})
    spec = DatasetSpec(path=str(tmp_path / "s.tar"), layout="webdataset", label="kind")
    index, _ = index_dataset(spec, CLASSES)
    assert [*index.label] == [2] and [*index.name] == ["n/7"]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"0.png": b"", "0.txt": b"a cat"}, "example 0 has no label"),
        ({"0.cls": b"1"}, r"has the files \['cls'\]; expected one image"),
        ({"0.png": b"", "0.jpg": b"", "0.cls": b"1"}, "of which `image` may say the suffix"),
        ({"0.png": b"", "0.json": b"{"}, "label of example 0 cannot be read"),
    ],
)
def test_what_is_missing_is_named(tmp_path, files, says):
    write_shard(tmp_path / "s.tar", files)
    with pytest.raises(ValueError, match=says):
        index_dataset(DatasetSpec(path=str(tmp_path / "s.tar"), layout="webdataset"), CLASSES)


def test_the_suffix_says_which_of_several_images_it_is(tmp_path):
    write_shard(tmp_path / "s.tar", {"0.png": png(9), "0.seg.png": png(1), "0.cls": b"1"})
    spec = DatasetSpec(path=str(tmp_path / "s.tar"), layout="webdataset", image="seg.png")
    index, _ = index_dataset(spec, CLASSES)
    assert next(read_images(index)) == png(1)


def test_a_cut_or_compressed_shard_is_refused(shards):
    whole = (shards / "a-0.tar").read_bytes()
    at = whole.rindex(png(20))
    (shards / "a-0.tar").write_bytes(whole[: at + 10])
    spec = DatasetSpec(path=str(shards), layout="webdataset")
    with pytest.raises(ValueError, match="a-0.tar: (it is cut|not a readable tar shard)"):
        index_dataset(spec, CLASSES)
    with tarfile.open(shards / "a-0.tar", "w:gz"):
        pass
    with pytest.raises(ValueError, match="not a readable tar shard"):
        index_dataset(spec, CLASSES)


def test_a_subset_of_the_classes_is_taken_out_of_a_whole_tree(tmp_path):
    for name in CLASSES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(png(0))
    fields = {"path": str(tmp_path), "layout": "class-folders"}
    with pytest.raises(ValueError, match="1 are of no class .*other_classes: skip"):
        index_dataset(DatasetSpec(**fields), ["owl", "cat"])
    index, _ = index_dataset(DatasetSpec(**fields, other_classes="skip"), ["owl", "cat"])
    assert [*index.name] == ["owl/0.png", "cat/0.png"] and [*index.label] == [0, 1]


def test_a_subset_needs_ids_of_classes(shards):
    spec = DatasetSpec(path=str(shards), layout="webdataset", other_classes="skip")
    with pytest.raises(ValueError, match="needs data that name classes by their ids"):
        index_dataset(spec, CLASSES)
