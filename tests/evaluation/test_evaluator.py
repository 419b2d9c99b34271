"""The loop over batches, what it refuses, and evaluations that were interrupted."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from modelsoups.data.examples import Images
from modelsoups.data.texts import PADDING, Tokens
from modelsoups.evaluation.evaluator import (
    EvaluationSet,
    Evaluator,
    SetFiles,
    evaluate,
    open_set,
    sample,
)
from modelsoups.evaluation.logits import read_logits
from modelsoups.models.backbones import BackboneSpec, build_classifier


class Channels(nn.Module):
    """Outputs (b, 3): the sums of the channels, plus a bias; notes what it sees."""

    def __init__(self, stop_at: int | None = None):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(3))
        self.seen: list[int] = []  # largest value of each batch
        self.shapes: list[tuple[int, ...]] = []
        self.stop_at = stop_at

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.dtype == torch.uint8
        self.seen.append(int(images.max()))
        self.shapes.append(tuple(images.shape))
        if self.seen[-1] == self.stop_at:
            raise KeyboardInterrupt
        return images.float().sum(dim=(2, 3)) + self.bias


PIXELS = np.arange(7 * 2 * 2 * 3, dtype=np.uint8).reshape(7, 2, 2, 3)
SUMS = PIXELS.astype(np.float32).sum(axis=(1, 2))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
def test_outputs_are_in_the_examples_order_whatever_the_batch_size(batch_size):
    evaluator = Evaluator(Channels(), batch_size=batch_size)
    assert (evaluator.outputs(Images(PIXELS)) == SUMS).all()
    some = np.array([5, 0, 2])
    assert (evaluator.outputs(Images(PIXELS), some) == SUMS[some]).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_head_is_float32_and_the_tower_in_the_precision_asked_for(precision):
    seen = {}
    spec = BackboneSpec(library="timm", model="test_efficientnet", weights="random")
    model = build_classifier(spec, num_classes=3)
    model.backbone.register_forward_hook(lambda _, __, out: seen.update(tower=out.dtype))
    model.head.register_forward_hook(lambda _, __, out: seen.update(head=out.dtype))
    images = Images(np.zeros((2, 32, 32, 3), np.uint8))
    outputs = Evaluator(model, precision=precision).outputs(images)
    assert seen == {"tower": getattr(torch, precision), "head": torch.float32}
    assert outputs.dtype == np.float32


def test_logits_of_clips_scale_keep_their_digits_in_bfloat16():
    """At 30 the numbers of bfloat16 are 0.125 apart or more; a head in it would give ties."""
    spec = BackboneSpec(library="timm", model="test_efficientnet", weights="random")
    model = build_classifier(spec, num_classes=3)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([30.0, 30.01, 30.02]))
    images = Images(np.zeros((1, 32, 32, 3), np.uint8))
    outputs = Evaluator(model, precision="bfloat16").outputs(images)
    assert outputs[0].tolist() == pytest.approx([30.0, 30.01, 30.02], abs=1e-4)


def test_batches_have_one_shape():
    model = Channels()
    evaluator = Evaluator(model, batch_size=3)
    evaluator.outputs(Images(PIXELS))
    evaluator.outputs(Images(PIXELS), np.array([4]))
    assert set(model.shapes) == {(3, 3, 2, 2)}


class Counts(nn.Module):
    """Outputs (b, 1): how many tokens a text has; notes the shapes it sees."""

    def __init__(self):
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(tokens.shape))
        return (tokens != PADDING).sum(1, keepdim=True).float()


def test_texts_are_evaluated_with_those_of_their_width_and_outputs_keep_their_order():
    lengths = np.array([5, 30, 6, 7, 20, 16])
    tokens = np.where(np.arange(30) < lengths[:, None], 1, PADDING)
    model = Counts()
    evaluator = Evaluator(model, batch_size=3)
    assert evaluator.outputs(Tokens(tokens))[:, 0].tolist() == lengths.tolist()
    assert model.shapes == [(3, 16), (3, 16), (3, 30)]  # the second and third are filled up
    some = np.array([4, 0, 1])
    assert evaluator.outputs(Tokens(tokens), some)[:, 0].tolist() == lengths[some].tolist()
    assert set(model.shapes[3:]) == {(3, 16), (3, 30)}


def test_a_read_only_memory_map_can_be_evaluated(tmp_path):
    np.save(tmp_path / "images.npy", PIXELS)
    images = Images(np.load(tmp_path / "images.npy", mmap_mode="r"))
    assert (Evaluator(Channels(), batch_size=2).outputs(images) == SUMS).all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_outputs_that_are_not_finite_are_an_error_with_model_set_and_row(value):
    class Breaks(Channels):
        def forward(self, images):
            outputs = super().forward(images)
            return outputs.where(outputs < SUMS[4, 1], value)

    evaluator = Evaluator(Breaks(), batch_size=2)
    evaluator.pour({"bias": torch.zeros(3)}, "the mix of 000, 001")
    each = EvaluationSet(dataset="photos", examples=Images(PIXELS), labels=np.zeros(7, int))
    with pytest.raises(
        ValueError, match=r"the mix of 000, 001: 3 of 7 examples of photos have .*first is row 4;"
    ):
        evaluator.logits(each)
    with pytest.raises(ValueError, match=r"2 of 2 examples have .*the first is row 6"):
        evaluator.outputs(Images(PIXELS), np.array([6, 5]))
    assert len(evaluator.logits(each, np.array([0, 3]))) == 2


def test_logits_are_pooled_by_the_class_map():
    class_map = np.array([[2, 2], [0, 1]])  # T = 2 classes; the second pools two by maximum
    each = EvaluationSet(
        dataset="photos", examples=Images(PIXELS), labels=np.zeros(7, int), class_map=class_map
    )
    wanted = np.stack([SUMS[:, 2], np.maximum(SUMS[:, 0], SUMS[:, 1])], axis=1)
    assert (Evaluator(Channels()).logits(each) == wanted).all()


def test_examples_without_labels_are_refused():
    with pytest.raises(ValueError, match="photos: expected examples with a label each, found 7 ex"):
        EvaluationSet(dataset="photos", examples=Images(PIXELS), labels=np.zeros(6, int))


@pytest.fixture
def files(tmp_path):
    """Three data sets of four images each, of 0, 1 and 2 everywhere."""
    made = []
    for number, dataset in enumerate(("a", "b", "c")):
        examples, labels = tmp_path / f"{dataset}.npy", tmp_path / f"{dataset}-labels.npy"
        np.save(examples, np.full((4, 2, 2, 3), number, np.uint8))
        np.save(labels, np.zeros(4, np.int64))
        output = tmp_path / "logits" / f"{dataset}.parquet"
        made.append(SetFiles(dataset=dataset, examples=examples, labels=labels, output=output))
    for path in tmp_path.glob("*.npy"):
        os.utime(path, (1e9, 1e9))
    return made


def test_a_set_is_opened_whole_or_as_a_sample(tmp_path, files):
    np.save(tmp_path / "own.npy", np.arange(3)[:, None])
    whole = open_set("b", files[1].examples, files[1].labels, tmp_path / "own.npy")
    assert len(whole.examples) == 4
    assert whole.examples.batch(np.array([0])).shape == (1, 3, 2, 2)
    np.save(tmp_path / "pooled.npy", np.array([[1], [2]]))
    part = open_set(
        "b", files[1].examples, files[1].labels, tmp_path / "pooled.npy", max_examples=3
    )
    assert (len(part.examples), len(part.labels)) == (3, 3)
    assert part.class_map.tolist() == [[1], [2]]


def test_a_sample_is_seeded_and_in_order():
    chosen = sample(100, 10)
    assert chosen.tolist() == sorted(set(chosen.tolist())) == sample(100, 10).tolist()
    assert len(chosen) == 10


MADE_FROM = {"weights": "abc"}


def run(sets, stop_at: int | None = None, made_from=MADE_FROM, **options) -> list[int]:
    """The sets that an evaluation puts through the model, told apart by their value."""
    model = Channels(stop_at)
    if stop_at is None:
        evaluate(Evaluator(model), sets, made_from, **options)
    else:
        with pytest.raises(KeyboardInterrupt):
            evaluate(Evaluator(model), sets, made_from, **options)
    return model.seen


def test_interrupted_evaluation_keeps_the_finished_sets_and_no_output(files):
    assert run(files, stop_at=2) == [0, 1, 2]
    assert not any(each.output.exists() for each in files)
    assert run(files) == [2]
    for number, each in enumerate(files):
        stored = read_logits(each.output)
        assert (stored.logits == 4 * number).all()
        assert stored.metadata == {"dataset": each.dataset, "dtype": "float32", **MADE_FROM}
    assert len(list(files[0].output.parent.iterdir())) == 3


def test_finished_sets_of_other_weights_or_older_images_are_not_kept(files):
    run(files, stop_at=2)
    os.utime(files[0].examples, (2e9, 2e9))  # made again since
    assert run(files, stop_at=2) == [0, 2]
    assert run(files, made_from={"weights": "xyz"}) == [0, 1, 2]


def test_a_set_that_is_added_is_the_only_one_evaluated(files):
    assert run(files[:2]) == [0, 1]
    before = [each.output.read_bytes() for each in files[:2]]
    assert run(files) == [2]
    assert [each.output.read_bytes() for each in files[:2]] == before
    newest = max(each.examples.stat().st_mtime for each in files)
    assert all(each.output.stat().st_mtime >= newest for each in files)


def test_outputs_are_made_again_for_other_weights_dtype_arrays_or_code(files):
    assert run(files) == [0, 1, 2]
    assert run(files) == []
    assert run(files, made_from={"weights": "xyz"}) == [0, 1, 2]
    assert run(files, made_from={"weights": "xyz", "code": "1"}) == [0, 1, 2]
    assert run(files, dtype="float16") == [0, 1, 2]
    for path in (files[1].labels, files[2].examples):
        os.utime(path, (2e9, 2e9))
    assert run(files, dtype="float16") == [1, 2]
    for each in files:
        os.utime(each.output, (3e9, 3e9))
    assert run(files, dtype="float16") == []


def test_a_file_that_is_no_parquet_is_made_again(files):
    run(files)
    files[1].output.write_bytes(b"cut")
    assert run(files) == [1]


def test_a_class_map_of_the_first_classes_leaves_the_others_out(tmp_path):
    """A map that begins as that of all classes would, but is of fewer."""
    np.save(tmp_path / "images.npy", PIXELS)
    np.save(tmp_path / "labels.npy", np.zeros(7, int))
    np.save(tmp_path / "map.npy", np.array([[0], [1]]))
    paths = [tmp_path / f"{name}.npy" for name in ("images", "labels", "map")]
    assert Evaluator(Channels()).logits(open_set("photos", *paths)).shape == (7, 2)


def test_a_class_map_that_is_newer_makes_its_set_again(files, tmp_path):
    np.save(tmp_path / "map.npy", np.array([[1], [2]]))
    mapped = [replace(files[0], class_map=tmp_path / "map.npy"), *files[1:]]
    os.utime(tmp_path / "map.npy", (1e9, 1e9))
    assert run(mapped) == [0, 1, 2]
    assert read_logits(files[0].output).logits.shape == (4, 2)
    os.utime(tmp_path / "map.npy", (2e9, 2e9))
    assert run(mapped) == [0]


def test_run_that_failed_has_logits_of_no_image_with_the_reason(files):
    run(files)
    assert run(files, failure="it diverged") == []
    assert read_logits(files[0].output).metadata["failure"] == "it diverged"
