from io import BytesIO
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torchvision.datasets.folder import default_loader

from conftest import encode
from imagenet_trees import WNIDS, write_train
from modelsoups.data.datasets import index_dataset
from modelsoups.data.specs import DatasetSpec, ResizeSpec, ViewSpec
from modelsoups.data.views import (
    EncodedImages,
    ViewOnRead,
    apply_view,
    check_images,
    decode,
    open_training,
    resize_images,
)


@pytest.fixture
def index(parquet):
    spec = DatasetSpec(path=str(parquet), label="number", group="style")
    return index_dataset(spec, ["dog", "cat", "owl"])[0]


@pytest.fixture
def tree(tmp_path):
    """Six JPEG files in class folders."""
    root = write_train(tmp_path / "train", per_class=2)
    return index_dataset(DatasetSpec(path=str(root), layout="class-folders"), WNIDS)[0]


def decoded(index, view, **options):
    images = np.zeros((len(index), view.size, view.size, 3), np.uint8)
    decode(index, view, images, **options)
    return images


def open_clips(image):
    """open_clip's evaluation transform, up to its last step to normalised tensors: uint8."""
    transform = open_clip.image_transform(224, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
    return (transform(image).numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)


def test_images_at_their_own_size_are_unchanged(index, pixels):
    assert (decoded(index, ViewSpec(size=10, resize=10)) == pixels).all()


def test_two_threads_give_what_one_gives(index):
    view = ViewSpec(size=4, resize=6)
    assert (decoded(index, view, threads=2) == decoded(index, view)).all()


@pytest.mark.parametrize("shape", [(301, 417), (417, 301), (224, 224), (100, 333), (225, 226)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "RGBA"])
def test_pixels_equal_those_of_an_image_folder_with_clips_transform(shape, mode):
    """What the official code evaluates on: ImageFolder makes the image RGB, CLIP transforms it."""
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    image = Image.fromarray(noise).convert(mode)
    ours = apply_view(ViewSpec(size=224, resize=224), image)
    assert (ours == open_clips(image.convert("RGB"))).all()


def test_squashed_image_is_a_square_whatever_its_form():
    """open_clip's transform of models that were trained so, to the bit; then the centre."""
    noise = np.random.default_rng(0).integers(0, 256, (301, 417, 3), np.uint8)
    image = Image.fromarray(noise)
    squash = open_clip.image_transform(
        240, is_train=False, mean=(0, 0, 0), std=(1, 1, 1), resize_mode="squash",
        interpolation="bicubic",
    )  # fmt: skip
    theirs = (squash(image).numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)
    view = ViewSpec(size=240, resize=240, resize_mode="squash")
    assert (apply_view(view, image) == theirs).all()
    centre = apply_view(ViewSpec(size=220, resize=240, resize_mode="squash"), image)
    assert (centre == theirs[10:-10, 10:-10]).all()


def odd_files(folder):
    """Files as ImageNet's sets have them: grey and CMYK JPEGs, palettes, a rotation in EXIF."""
    noise = np.random.default_rng(0).integers(0, 256, (260, 301, 3), np.uint8)
    image = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.convert("L").save(folder / "grey.JPEG", "jpeg")
    image.convert("CMYK").save(folder / "cmyk.JPEG", "jpeg")
    image.convert("P").save(folder / "palette.png")
    image.convert("LA").save(folder / "alpha.png")
    image.save(folder / "turned.jpg", exif=exif)
    image.save(folder / "png.JPEG", "png")  # n02105855_2933.JPEG is one
    names = ["grey.JPEG", "cmyk.JPEG", "palette.png", "alpha.png", "turned.jpg", "png.JPEG"]
    return [str(folder / name) for name in names]


def test_odd_files_decode_to_the_bit_as_in_an_image_folder(tmp_path):
    files = odd_files(tmp_path)
    ours = decoded(pd.DataFrame({"file": files, "row": -1}), ViewSpec(size=224, resize=224))
    for file, image in zip(files, ours, strict=True):
        assert (image == open_clips(default_loader(file))).all(), file


@pytest.fixture
def framed(tmp_path):
    """The index of two images of one colour with a border of 2 pixels of another, to be trimmed."""
    files = [str(tmp_path / f"{number}.png") for number in range(2)]
    for number, file in enumerate(files):
        pixels = np.zeros((14, 18, 3), np.uint8)
        pixels[2:-2, 2:-2] = 100 + 50 * number
        Image.fromarray(pixels).save(file)
    return pd.DataFrame({"file": files, "row": -1, "trim_border": 2})


def test_border_is_trimmed_before_the_resize(framed):
    view = ViewSpec(size=10, resize=10)
    colours = [(image.min(), image.max()) for image in decoded(framed, view)]
    assert colours == [(100, 100), (150, 150)]
    assert (decoded(framed.drop(columns="trim_border"), view) < 100).any()


def test_border_is_trimmed_wherever_images_are_read_on_the_fly(framed, tmp_path):
    view = ViewSpec(size=10, resize=10)
    assert (ViewOnRead(framed, view)[:] == decoded(framed, view)).all()
    assert (EncodedImages(framed, size=10)[1] == 150).all()
    resized = resize_images(ResizeSpec(shortest=8), framed, tmp_path / "images.arrow")
    small = EncodedImages(resized, size=10)[1]  # trimmed once, not twice
    assert small.shape == (8, 11, 3)
    assert abs(small.astype(int) - 150).max() <= 2


def test_unreadable_image_is_named(tmp_path, pixels):
    path = tmp_path / "images.parquet"
    good = encode(pixels[0])
    pq.write_table(pa.table({"image": [{"bytes": good}, {"bytes": good[:60]}]}), path)
    index = pd.DataFrame({"file": str(path), "row": [0, 1]})
    with pytest.raises(ValueError, match=r"images.parquet, row 1: not a readable image .*restore"):
        decoded(index, ViewSpec(size=10, resize=10))


def test_cut_file_is_named_before_training(tree):
    path = Path(tree.file[4])
    check_images(tree)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=f"^{path}: not a readable image"):
        check_images(tree, threads=2)


def test_view_on_read_gives_what_the_array_holds(tree):
    view = ViewSpec(size=8, resize=8)
    array, on_read = decoded(tree, view), ViewOnRead(tree, view, threads=2)
    assert (len(on_read), on_read.shape) == (6, (6, 8, 8, 3))
    assert (on_read[2:5] == array[2:5]).all()
    assert (on_read[4:9] == array[4:]).all()


def test_view_on_read_gives_images_in_the_order_asked_for(index):
    """Across row groups, and with repeats: a batch may be filled up with its own images."""
    view = ViewSpec(size=8, resize=8)
    array, on_read = decoded(index, view), ViewOnRead(index, view)
    asked = np.array([5, 1, 4, 5, 1, 0])
    assert (on_read[asked] == array[asked]).all()


def test_encoded_images_are_read_at_their_own_size(tree):
    images = EncodedImages(tree, size=8, decoder="torchvision")
    assert images.shape == (6, 8, 8, 3)
    assert (images[3] == np.asarray(Image.open(tree.file[3]))).all()
    assert images[3].shape == (9, 12, 3)


def test_resized_images_are_read_at_random(tmp_path, monkeypatch):
    monkeypatch.setattr("modelsoups.data.views.ROWS_PER_BATCH", 2)
    files, sizes = [], [(30, 20), (20, 30), (16, 40), (12, 9), (16, 16)]
    for number, size in enumerate(sizes):
        pixels = np.full((*size[::-1], 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        files.append(str(tmp_path / f"{number}.png"))
    index = pd.DataFrame({"file": files, "row": -1})
    path = tmp_path / "images.arrow"
    index = resize_images(ResizeSpec(shortest=16, quality=90), index, path, threads=2)
    images = EncodedImages(index, size=8)
    # (24, 16): 16 * 30 // 20; the fourth is small already.
    assert [images[n].shape[:2] for n in (4, 2, 0, 3, 1)] == [
        (16, 16),
        (40, 16),
        (16, 24),
        (9, 12),
        (24, 16),
    ]
    for number in range(5):
        assert abs(int(images[number].mean()) - 40 * number) <= 2  # JPEG of a plain colour


def test_resized_image_is_a_jpeg_of_the_asked_quality(tree, tmp_path):
    resize_images(ResizeSpec(shortest=6, quality=90), tree, tmp_path / "images.arrow")
    with pa.memory_map(str(tmp_path / "images.arrow")) as file:
        first = pa.ipc.open_file(file).get_batch(0)["image"][0].as_py()
    with Image.open(tree.file[0]) as image:
        buffer = BytesIO()
        image.resize((8, 6), Image.Resampling.BICUBIC).save(buffer, "jpeg", quality=90)
    assert first == buffer.getvalue()


def test_training_at_random_from_parquet_says_what_to_do(index):
    with pytest.raises(ValueError, match="set `training_input: resized`"):
        EncodedImages(index, size=8)[0]


def test_unreadable_training_file_is_named_without_a_row(tree):
    path = Path(tree.file[2])
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=f"^{path}: not a readable image"):
        EncodedImages(tree, size=8)[2]


def test_training_opens_arrays_and_indices_alike(tree, tmp_path):
    np.save(tmp_path / "images.npy", decoded(tree, ViewSpec(size=8, resize=8)))
    tree.to_parquet(tmp_path / "index.parquet")
    assert open_training(tmp_path / "images.npy", 8, "pillow").shape == (6, 8, 8, 3)
    assert open_training(tmp_path / "index.parquet", 8, "pillow").shape == (6, 8, 8, 3)
