import numpy as np
import torch

from modelsoups.evaluate import pick_device, predict


def test_outputs_are_in_image_order_whatever_the_batch_size():
    images = np.arange(7 * 2 * 2 * 3, dtype=np.uint8).reshape(7, 2, 2, 3)

    def forward(batch):
        assert batch.dtype == torch.uint8
        return batch.float().sum(dim=(2, 3))  # (b, channels)

    expected = images.astype(np.float32).sum(axis=(1, 2))
    for batch_size in (1, 3, 7, 50):
        assert (predict(forward, images, batch_size, torch.device("cpu")) == expected).all()


def test_a_read_only_memory_map_can_be_evaluated(tmp_path):
    np.save(tmp_path / "images.npy", np.ones((3, 2, 2, 3), np.uint8))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    outputs = predict(lambda batch: batch.float().mean((2, 3)), images, 2, torch.device("cpu"))
    assert (outputs == 1).all()


def test_device_is_a_gpu_only_where_there_is_one():
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
