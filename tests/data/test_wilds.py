"""FMoW and iWildCam, on small trees in the real layouts."""

import json

import pytest

from benchmark_trees import FMOW, FMOW_ROWS, write_fmow, write_iwildcam
from checkouts import ROOT
from modelsoups.data.datasets import index_dataset, read_classes, read_groups
from modelsoups.data.reading import read_images
from modelsoups.data.specs import DatasetSpec

REFERENCE = ROOT.parent / "shared/data/wilds"
SPECIES = ["0", "1", "2"]


def fmow(root, *splits, **fields):
    where = {"split": list(splits)}
    return DatasetSpec(**{"path": str(root), "layout": "fmow", "where": where, **fields})


def iwildcam(root, *splits):
    return DatasetSpec(path=str(root), layout="iwildcam", where={"split": list(splits)})


@pytest.mark.parametrize(
    ("split", "numbers", "labels", "regions"),
    [
        ("train", [0, 3], [0, 1], ["Europe", "Africa"]),
        ("id_val", [4], [0], ["Africa"]),
        ("id_test", [6], [1], ["Americas"]),
        ("val", [5], [1], ["Europe"]),
        ("test", [7, 8, 9], [0, 1, 1], ["Europe", "Africa", ""]),
    ],
)
def test_fmow_is_split_by_its_table_and_by_time(tmp_path, split, numbers, labels, regions):
    """Files are numbered by all rows, those that have no file included."""
    index, _ = index_dataset(fmow(write_fmow(tmp_path), split), FMOW)
    assert index.name.tolist() == [f"rgb_img_{number}.png" for number in numbers]
    assert index.label.tolist() == labels
    assert index.group.tolist() == regions
    assert all(path.exists() for path in read_images(index))


def test_a_country_of_the_region_other_is_of_no_group(tmp_path):
    root = write_fmow(tmp_path, [("test", "zoo", "2017-05-05T10:00:00Z", code) for code in CODES])
    index, _ = index_dataset(fmow(root, "test"), FMOW)
    index.to_parquet(tmp_path / "index.parquet")
    assert read_groups(tmp_path / "index.parquet").tolist() == [1, -1, 0, 1]


CODES = ["FRA", "BVT", "KEN", "FRA"]


def test_iwildcams_groups_are_traps_and_all_files_lie_in_one_folder(tmp_path):
    root = write_iwildcam(tmp_path)
    index, _ = index_dataset(iwildcam(root, "id_test", "test"), SPECIES)
    assert index.label.tolist() == [0, 1, 2, 0]
    assert index.group.tolist() == ["5", "7", "9", "9"]
    assert index.file[0] == f"{root}/train/00000003-21bc-11ea-a13a-137349068a90.jpg"
    assert all(path.exists() for path in read_images(index))


def test_files_in_folders_of_their_own_are_found(tmp_path):
    root = write_iwildcam(tmp_path)
    table = (root / "metadata.csv").read_text().replace("00000000-", "trap5/00000000-")
    (root / "metadata.csv").write_text(table)
    (root / "train/trap5").mkdir()
    name = "00000000-21bc-11ea-a13a-137349068a90.jpg"
    (root / "train" / name).rename(root / "train/trap5" / name)
    index, _ = index_dataset(iwildcam(root, "train"), SPECIES)
    assert index.name[0] == f"trap5/{name}"


def test_images_that_are_not_unpacked_are_counted(tmp_path):
    root = write_fmow(tmp_path)
    for number in (8, 9):
        (root / f"images/rgb_img_{number}.png").unlink()
    message = "images: 2 of 3 images of the list are not there, the first is rgb_img_8.png"
    with pytest.raises(ValueError, match=message):
        index_dataset(fmow(root, "test"), FMOW)
    index_dataset(fmow(root, "train"), FMOW)


@pytest.mark.parametrize("where", [{}, {"split": []}, {"split": ["seq"]}, {"region": ["Asia"]}])
def test_a_split_that_there_is_not_is_refused(tmp_path, where):
    with pytest.raises(ValueError, match="some of train, id_val, id_test, val, test, found"):
        index_dataset(fmow(write_fmow(tmp_path), where=where), FMOW)


def test_tables_that_are_not_there_or_lack_a_column_are_named(tmp_path):
    root = write_iwildcam(tmp_path)
    table = root / "metadata.csv"
    table.write_text(table.read_text().replace("location_remapped", "location"))
    with pytest.raises(ValueError, match=r"metadata.csv: no column \['location_remapped'\]; it h"):
        index_dataset(iwildcam(root, "train"), SPECIES)
    table.unlink()
    with pytest.raises(ValueError, match="metadata.csv: expected a table of the WILDS archive"):
        index_dataset(iwildcam(root, "train"), SPECIES)


def test_a_category_that_is_no_class_is_an_error(tmp_path):
    root = write_fmow(tmp_path, [*FMOW_ROWS, ("train", "moon_base", "2010-01-01T00:00:00Z", "FRA")])
    with pytest.raises(ValueError, match="none of the 2 classes .*moon_base"):
        index_dataset(fmow(root, "train"), FMOW)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference tables are not here")
def test_the_classes_are_those_of_wilds():
    prompts = json.loads((REFERENCE / "wilds_prompts.json").read_text())
    fmow = read_classes(ROOT / "resources/wilds/fmow.csv")
    assert fmow["id"].tolist() == prompts["fmow"]["classes"]
    species = read_classes(ROOT / "resources/wilds/iwildcam.csv")
    assert species["id"].tolist() == [str(number) for number in range(182)]
    lines = (REFERENCE / "iwildcam_labels.csv").read_text().splitlines()[1:]
    known = {int(line.split(",")[0]) for line in lines} - {99999}
    assert known == set(range(182))
