"""DTD, Food-101, SUN397 and Stanford Cars, on small trees in the real layouts."""

import json

import numpy as np
import pytest
from numpy.lib.recfunctions import repack_fields
from scipy.io import savemat

from checkouts import ROOT
from imagenet_trees import write_image
from modelsoups.data.datasets import index_dataset, read_classes
from modelsoups.data.reading import read_images
from modelsoups.data.specs import DatasetSpec


def listed(root, names, lines, classes):
    for number, name in enumerate(names):
        write_image(root / "images" / name, seed=number)
    (root / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    spec = DatasetSpec(path=f"{root}/images", layout="listed", labels=f"{root}/list.txt")
    return index_dataset(spec, classes)[0]


@pytest.mark.parametrize(
    ("names", "lines", "classes"),
    [
        (
            ["banded/banded_0002.jpg", "blotchy/blotchy_0003.jpg", "banded/banded_0004.jpg"],
            ["banded/banded_0002.jpg", "blotchy/blotchy_0003.jpg"],  # DTD: the third is of another
            ["banded", "blotchy"],
        ),
        (
            ["cheesecake/1001.jpg", "cheese_plate/1002.jpg"],
            ["cheesecake/1001", "cheese_plate/1002", ""],  # Food-101, and an empty line
            ["cheesecake", "cheese_plate"],
        ),
        (
            ["a/abbey/sun_a.jpg", "a/apartment_building/outdoor/sun_b.jpg"],
            ["/a/abbey/sun_a.jpg", "/a/apartment_building/outdoor/sun_b.jpg"],  # SUN397
            ["a/abbey", "a/apartment_building/outdoor"],
        ),
    ],
)
def test_the_class_is_the_folder_in_the_line(tmp_path, names, lines, classes):
    index = listed(tmp_path, names, lines, classes)
    assert index.name.tolist() == names[:2]
    assert index.label.tolist() == [0, 1]
    assert all(path.exists() for path in read_images(index))


def test_images_that_are_not_there_and_a_missing_list_are_named(tmp_path):
    with pytest.raises(ValueError, match="images: 1 of 2 images of the list are not there, .* b/2"):
        listed(tmp_path, ["a/1.jpg"], ["a/1.jpg", "b/2.jpg"], ["a", "b"])
    spec = DatasetSpec(path=f"{tmp_path}/images", layout="listed", labels=f"{tmp_path}/no.txt")
    with pytest.raises(ValueError, match="no.txt: expected a list of images"):
        index_dataset(spec, ["a", "b"])


CARS = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]


def write_cars(root, fields):
    for number in (1, 2):
        write_image(root / f"cars_train/{number:05d}.jpg", seed=number)
    (root / "devkit").mkdir()
    savemat(root / "devkit/cars_meta.mat", {"class_names": np.array(CARS, object)})
    rows = np.array(
        [(1, 2, "00001.jpg"), (1, 1, "00002.jpg")],
        dtype=[("bbox_x1", object), ("class", object), ("fname", object)],
    )
    savemat(root / "devkit/cars_train_annos.mat", {"annotations": repack_fields(rows[fields])})
    return DatasetSpec(
        path=f"{root}/cars_train", layout="cars", labels=f"{root}/devkit/cars_train_annos.mat"
    )


def test_cars_are_numbered_from_one_and_named_by_the_devkit(tmp_path):
    spec = write_cars(tmp_path, ["bbox_x1", "class", "fname"])
    index, _ = index_dataset(spec, CARS)
    assert index.name.tolist() == ["00001.jpg", "00002.jpg"]
    assert index.label.tolist() == [1, 0]
    assert index_dataset(spec, CARS[::-1])[0].label.tolist() == [0, 1]


def test_annotations_without_classes_are_those_of_the_test_set(tmp_path):
    spec = write_cars(tmp_path, ["bbox_x1", "fname"])
    with pytest.raises(ValueError, match="with `class`; those of the test set are in"):
        index_dataset(spec, CARS)


REFERENCE = ROOT.parent / "shared/data/clip_prompts/clip_prompts.json"
SHIPPED = {
    "CIFAR10": "cifar/cifar10.csv",
    "CIFAR100": "cifar/cifar100.csv",
    "DescribableTextures": "cross-dataset/dtd.csv",
    "Food101": "cross-dataset/food101.csv",
    "SUN397": "cross-dataset/sun397.csv",
    "StanfordCars": "cross-dataset/cars.csv",
}


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference list is not here")
@pytest.mark.parametrize("name", SHIPPED)
def test_names_of_classes_are_clips(name):
    """Not its order, which differs from the data's in places: classes are found by their ids."""
    classes = read_classes(ROOT / "resources" / SHIPPED[name])
    wanted = json.loads(REFERENCE.read_text("utf-8"))[name]["classes"]
    assert sorted(classes["name"]) == sorted(wanted)
