import numpy as np
import open_clip
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from conftest import encode
from modelsoups.datasets import DatasetSpec, index_dataset
from modelsoups.views import ViewSpec, apply_view, decode


def decoded(parquet, view, threads=1):
    spec = DatasetSpec(
        role="test", path=str(parquet), where={}, num_images=6, label="number", group="style"
    )
    index = index_dataset(spec, ["dog", "cat", "owl"])
    images = np.zeros((6, view.size, view.size, 3), np.uint8)
    decode(index, view, images, threads=threads)
    return images


def test_images_at_their_own_size_are_unchanged(parquet, pixels):
    assert (decoded(parquet, ViewSpec(size=10, resize=10)) == pixels).all()


def test_two_threads_give_what_one_gives(parquet):
    view = ViewSpec(size=4, resize=6)
    assert (decoded(parquet, view, threads=2) == decoded(parquet, view)).all()


@pytest.mark.parametrize("shape", [(301, 417), (417, 301), (224, 224), (100, 333), (225, 226)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "RGBA"])
def test_pixels_equal_those_of_clips_own_transform(shape, mode):
    """open_clip's evaluation transform, up to its last step to normalised tensors."""
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    image = Image.fromarray(noise).convert(mode)
    theirs = open_clip.image_transform(224, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))(image)
    ours = apply_view(ViewSpec(size=224, resize=224), image)
    assert (ours == (theirs.numpy().transpose(1, 2, 0) * 255).round()).all()


def test_unreadable_image_is_named(tmp_path, pixels):
    path = tmp_path / "images.parquet"
    good = encode(pixels[0])
    pq.write_table(pa.table({"image": [{"bytes": good}, {"bytes": good[:60]}]}), path)
    index = pd.DataFrame({"file": str(path), "row": [0, 1]})
    images = np.zeros((2, 10, 10, 3), np.uint8)
    with pytest.raises(ValueError, match=r"images.parquet, row 1: not a readable image .*restore"):
        decode(index, ViewSpec(size=10, resize=10), images)
