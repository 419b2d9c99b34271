"""Checks of data sets before anything is made of them: every problem is told."""

import numpy as np
import pytest
from PIL import Image

from modelsoups.data.check import check_dataset, trying
from modelsoups.data.specs import CountsSpec, DatasetSpec

CLASSES = ["cat", "dog"]


@pytest.fixture
def folder(tmp_path):
    for name in CLASSES:
        (tmp_path / name).mkdir()
        for number in range(40):
            image = Image.new("RGB", (6, 6), (number, 0, 0))
            image.save(tmp_path / name / f"{number:02d}.png")
    return tmp_path


def check(folder, **counts):
    spec = DatasetSpec(path=str(folder), layout="class-folders")
    return check_dataset("val", spec, CountsSpec(**counts), CLASSES)


def test_a_whole_set_is_described_in_one_line(folder):
    found = check(folder, num_images=80)
    assert not found.problems
    assert str(found) == (
        "val: 80 images, 2 of 2 classes with 40 to 40 each; every header read, 32 images decoded"
    )


def test_wrong_counts_and_unreadable_images_are_told_together(folder):
    (folder / "cat/00.png").write_bytes(b"no image")
    (folder / "dog/39.png").unlink()
    found = check(folder, num_images=80)
    assert len(found.problems) == 2
    assert "expected 80 images, found 79" in found.problems[0]
    assert "cat/00.png: " in found.problems[1]
    assert str(found).count("\n  WRONG: ") == 2


def test_of_a_sample_the_pixels_are_read_too(folder):
    """A file cut behind its header is found where it is in the sample."""
    for path in folder.glob("*/*.png"):
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
        image.save(path)
        path.write_bytes(path.read_bytes()[:3000])
    found = check(folder)
    [problem] = found.problems
    assert "and 29 others" in problem  # 32 are decoded, 3 named


def test_missing_data_are_named(tmp_path):
    found = check(tmp_path / "nowhere")
    assert str(found).startswith("val: cannot be used\n  WRONG: ")
    assert "found nothing there; unpack or mount the data" in str(found)


def test_what_fails_is_told_and_not_raised():
    def look():
        raise ValueError("the file is gone")

    assert trying("disk", look).problems == ["the file is gone"]
    assert str(trying("disk", lambda: "9 GiB free")) == "disk: 9 GiB free"
