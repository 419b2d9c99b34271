import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from imagenet_trees import WNIDS, write_train
from modelsoups.data.datasets import index_dataset
from modelsoups.data.examples import Images, open_examples
from modelsoups.data.specs import DatasetSpec, ViewSpec
from modelsoups.data.views import ViewOnRead, decode

VIEW = ViewSpec(size=8, resize=8)


@pytest.fixture
def files(tmp_path):
    """An index of six images, and the array of their view."""
    root = write_train(tmp_path / "train", per_class=2)
    index, _ = index_dataset(DatasetSpec(path=str(root), layout="class-folders"), WNIDS)
    index.to_parquet(tmp_path / "index.parquet")
    images = np.zeros((6, 8, 8, 3), np.uint8)
    decode(index, VIEW, images)
    np.save(tmp_path / "images.npy", images)
    return {"index": tmp_path / "index.parquet", "array": tmp_path / "images.npy"}


@pytest.mark.parametrize("kind", ["index", "array"])
def test_batch_has_the_images_asked_for_channels_first(files, kind):
    examples = open_examples(files[kind], VIEW)
    images = np.load(files["array"])
    asked = np.array([4, 1, 4])
    batch = examples.batch(asked)
    assert (len(examples), batch.shape, batch.dtype) == (6, (3, 3, 8, 8), torch.uint8)
    assert (batch.numpy() == images[asked].transpose(0, 3, 1, 2)).all()
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", ["index", "array"])
def test_taken_examples_are_those_alone_in_their_order(files, kind):
    taken = open_examples(files[kind], VIEW).take(np.array([5, 0]))
    images = np.load(files["array"])
    assert (taken.pixels == images[[5, 0]]).all()


def test_examples_held_on_a_device_are_the_same(files):
    device = torch.device("meta")  # stands for a GPU: shapes without memory
    held = open_examples(files["array"]).to(device)
    assert held.batch(np.array([1, 2])).device == device
    assert held.to(device).batch(np.array([1])).shape == (1, 3, 8, 8)
    tensor = Images(torch.from_numpy(np.load(files["array"])))
    assert (
        tensor.batch(np.array([3, 1])) == open_examples(files["array"]).batch(np.array([3, 1]))
    ).all()


def test_what_is_decoded_on_read_is_not_loaded_onto_a_device(files):
    examples = open_examples(files["index"], VIEW).to(torch.device("cuda"))
    assert isinstance(examples.pixels, ViewOnRead)


def test_index_without_a_view_is_an_error(files):
    with pytest.raises(ValueError, match="index.parquet: an index of images needs a view"):
        open_examples(files["index"])


def test_border_stands_in_the_index_that_is_opened(files):
    index = pd.read_parquet(files["index"]).assign(trim_border=2)
    index.to_parquet(files["index"])
    view = ViewSpec(size=5, resize=5)  # images of 9 x 12 are 5 x 8 without it: no pixel is resized
    batch = open_examples(files["index"], view).batch(np.array([3])).numpy()
    image = np.asarray(Image.open(index.file[3]))
    assert (batch[0].transpose(1, 2, 0) == image[2:7, 4:9]).all()
