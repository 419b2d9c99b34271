"""CIFAR's batches and arrays, on small trees in the real layouts."""

import numpy as np
import pytest

from benchmark_trees import (
    CIFAR,
    cifar_pixels,
    pickle2,
    write_batch,
    write_cifar10,
    write_cifar101,
)
from modelsoups.data.arrays import open_pixels
from modelsoups.data.datasets import check_counts, index_dataset
from modelsoups.data.reading import open_image, read_image, read_images
from modelsoups.data.specs import CountsSpec, DatasetSpec, SplitSpec, ViewSpec
from modelsoups.data.views import EncodedImages, decode


@pytest.fixture
def root(tmp_path):
    return write_cifar10(tmp_path / "cifar-10-batches-py", [[0, 2, 1], [1, 2]], [2, 0])


def spec(path, **fields):
    return DatasetSpec(**{"path": str(path), "layout": "cifar", **fields})


def test_batches_of_a_pattern_are_one_set_in_their_order(root):
    index, class_map = index_dataset(spec(root / "data_batch_*"), CIFAR)
    assert index.label.tolist() == [0, 2, 1, 1, 2]
    assert index.row.tolist() == [0, 1, 2, 0, 1]
    assert index.name[3] == "data_batch_2_s_000000.png"
    assert class_map.ids == CIFAR
    check_counts(spec(root), CountsSpec(num_images=5, num_classes=3), index, CIFAR)
    test, _ = index_dataset(spec(root / "test_batch"), CIFAR)
    assert test.label.tolist() == [2, 0]


def test_classes_are_those_of_the_names_beside_the_batches(root):
    """A classes file in another order is no mistake, one with other classes is."""
    index, _ = index_dataset(spec(root / "test_batch"), CIFAR[::-1])
    assert index.label.tolist() == [0, 2]
    with pytest.raises(ValueError, match="none of the 3 classes .*bird.*first is .*test_batch, ro"):
        index_dataset(spec(root / "test_batch"), ["airplane", "automobile", "ship"])


def test_pixels_are_channels_last_and_any_of_them_can_be_read(root):
    index, _ = index_dataset(spec(root / "data_batch_*"), CIFAR)
    wanted = np.concatenate([cifar_pixels(1, 3), cifar_pixels(2, 2)])
    assert np.array_equal(np.stack(list(read_images(index))), wanted)
    assert np.array_equal(read_image(index.file[4], index.row[4]), wanted[4])
    training = EncodedImages(index, 32)
    assert np.array_equal(training[3], wanted[3])
    images = np.empty((5, 32, 32, 3), np.uint8)
    decode(index, ViewSpec(size=32, resize=32), images, progress=False)
    assert np.array_equal(images, wanted)
    assert open_image(wanted[0], "it", trim_border=2).size == (28, 28)


def test_a_part_of_each_class_is_held_out(root):
    split = {"num_images": 5, "per_class": 1}
    parts = [
        index_dataset(spec(root / "data_batch_*", split=SplitSpec(part=part, **split)), CIFAR)[0]
        for part in ("held-out", "rest")
    ]
    assert [sorted(part.label) for part in parts] == [[0, 1, 2], [1, 2]]
    assert not set(parts[0].name) & set(parts[1].name)


def test_cifar_100_has_two_sorts_of_labels(tmp_path):
    root = tmp_path / "cifar-100-python"
    root.mkdir()
    entries = {
        b"filenames": [b"a.png", b"b.png"],
        b"fine_labels": [1, 0],
        b"coarse_labels": [0, 0],
        b"data": np.zeros((2, 3072), np.uint8),
    }
    (root / "test").write_bytes(pickle2(entries))
    meta = {b"fine_label_names": [b"apple", b"aquarium_fish"], b"coarse_label_names": [b"fish"]}
    (root / "meta").write_bytes(pickle2(meta))
    index, _ = index_dataset(spec(root / "test"), ["apple", "aquarium_fish"])
    assert index.label.tolist() == [1, 0]
    index, _ = index_dataset(spec(root / "test", label="coarse_labels"), ["fish"])
    assert index.label.tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"no labels 'labels'; it has \['fine_labels', 'coarse_"):
        index_dataset(spec(root / "test", label="labels"), ["fish"])


class Harmful:
    """Would make a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_in_a_batch_is_executed(root, tmp_path):
    made = tmp_path / "made"
    (root / "test_batch").write_bytes(pickle2({b"data": Harmful(made)}))
    with pytest.raises(
        ValueError, match=r"test_batch: expected a file of CIFAR's .*asks for .*open"
    ):
        index_dataset(spec(root / "test_batch"), CIFAR)
    assert not made.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": np.zeros((2, 3071), np.uint8)},
            r"expected images of 3072 .*data \(2, 3071\)",
        ),
        ({"data": np.zeros((2, 3072), np.float32)}, "expected `data` of bytes"),
        ({"labels": [0]}, "expected images .* a name and a label each, found .*'labels': 1"),
        ({"labels": [0, 3]}, "expected labels of the 3 classes of .*batches.meta"),
    ],
)
def test_a_batch_that_does_not_fit_is_named(root, changes, message):
    write_batch(root / "test_batch", 1, [0, 1], **changes)
    with pytest.raises(ValueError, match=f"test_batch: {message}"):
        index_dataset(spec(root / "test_batch"), CIFAR)


def test_cut_batches_missing_names_and_missing_batches_are_named(root):
    batch = root / "test_batch"
    batch.write_bytes(batch.read_bytes()[:-40])
    with pytest.raises(ValueError, match="test_batch: expected a file of CIFAR's Python version"):
        index_dataset(spec(batch), CIFAR)
    (root / "batches.meta").unlink()
    with pytest.raises(ValueError, match="batches.meta: expected the names of CIFAR's classes"):
        index_dataset(spec(root / "data_batch_1"), CIFAR)
    with pytest.raises(ValueError, match="data_batch_7: no such batch of CIFAR"):
        index_dataset(spec(root / "data_batch_7"), CIFAR)


def npy(root, **fields):
    return DatasetSpec(
        path=f"{root}/cifar10.1_v6_data.npy",
        layout="npy",
        labels=f"{root}/cifar10.1_v6_labels.npy",
        **fields,
    )


def test_cifar_10_1_is_an_array_of_images_and_one_of_labels(tmp_path):
    root = write_cifar101(tmp_path / "datasets", [2, 0, 1])
    index, _ = index_dataset(npy(root), CIFAR)
    assert index.label.tolist() == [2, 0, 1]
    assert index.name.tolist() == [f"cifar10.1_v6_data.npy:{n}" for n in range(3)]
    assert np.array_equal(np.stack(list(read_images(index))), cifar_pixels(6, 3))
    assert np.array_equal(read_image(index.file[1], 1), cifar_pixels(6, 3)[1])


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("labels", np.zeros(4, int), "a label for each of 3 images of .*, found 4; take both of"),
        ("labels", np.zeros(3), r"whole numbers \(n,\), found float64 \(3,\)"),
        ("labels", np.array([0, 1, 3]), "none of the 3 classes"),
        ("data", np.zeros((3, 32, 32, 3)), r"expected images \(n, H, W, 3\) of bytes, found float"),
        ("data", np.zeros((3, 3, 32, 32), np.uint8), r"of bytes, found uint8 \(3, 3, 32, 32\)"),
        ("data", np.array([{}]), "not a readable .npy file"),  # pickled objects
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, name, array, message):
    root = write_cifar101(tmp_path, [2, 0, 1])
    np.save(root / f"cifar10.1_v6_{name}.npy", array)
    with pytest.raises(ValueError, match=message):
        index_dataset(npy(root), CIFAR)


def test_a_file_of_another_kind_has_no_pixels(tmp_path, parquet):
    assert open_pixels(parquet) is None
    assert open_pixels(tmp_path / "nowhere") is None
