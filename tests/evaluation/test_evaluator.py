import os

import numpy as np
import pytest
import torch

from modelsoups.evaluation.evaluator import EvaluationSet, evaluate, pick_device, predict
from modelsoups.evaluation.logits import read_logits

CPU = torch.device("cpu")


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


@pytest.fixture
def sets(tmp_path):
    """Three data sets of four images each, of 0, 1 and 2 everywhere."""
    made = []
    for number, dataset in enumerate(("a", "b", "c")):
        images, labels = tmp_path / f"{dataset}.npy", tmp_path / f"{dataset}-labels.npy"
        np.save(images, np.full((4, 2, 2, 3), number, np.uint8))
        np.save(labels, np.zeros(4, np.int64))
        output = tmp_path / "logits" / f"{dataset}.parquet"
        made.append(EvaluationSet(dataset=dataset, images=images, labels=labels, output=output))
    return made


def channel_means(seen, stop_at=None):
    """A model that notes the colour of each set it sees, and stops at one."""

    def forward(batch):
        seen.append(int(batch.max()))
        if seen[-1] == stop_at:
            raise KeyboardInterrupt
        return batch.float().mean((2, 3))

    return forward


def test_interrupted_evaluation_keeps_the_finished_sets_and_no_output(sets):
    seen = []
    with pytest.raises(KeyboardInterrupt):
        evaluate(channel_means(seen, stop_at=2), sets, 4, CPU, {"weights": "abc"})
    assert not any(each.output.exists() for each in sets)
    evaluate(channel_means(seen), sets, 4, CPU, {"weights": "abc"})
    assert seen == [0, 1, 2, 2]
    for number, each in enumerate(sets):
        stored = read_logits(each.output)
        assert (stored.logits == number).all()
        assert stored.metadata == {"dataset": each.dataset, "dtype": "float32", "weights": "abc"}
    assert len(list(sets[0].output.parent.iterdir())) == 3


def test_finished_sets_of_other_weights_or_older_images_are_not_kept(sets):
    with pytest.raises(KeyboardInterrupt):
        evaluate(channel_means([], stop_at=2), sets, 4, CPU, {"weights": "abc"})
    os.utime(sets[0].images, (2e9, 2e9))  # made again since
    seen = []
    with pytest.raises(KeyboardInterrupt):
        evaluate(channel_means(seen, stop_at=2), sets, 4, CPU, {"weights": "abc"})
    assert seen == [0, 2]
    evaluate(channel_means(seen := []), sets, 4, CPU, {"weights": "xyz"})
    assert seen == [0, 1, 2]


def test_run_that_failed_has_logits_of_no_image_with_the_reason(sets):
    evaluate(channel_means(seen := []), sets, 4, CPU, {"weights": "abc"}, failure="it diverged")
    assert seen == []
    assert read_logits(sets[0].output).metadata["failure"] == "it diverged"
