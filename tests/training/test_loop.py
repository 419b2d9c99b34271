import math
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from unittest import mock

import numpy as np
import pytest
import torch

from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.study.search import RunSpec
from modelsoups.training.loop import (
    ComputeSpec,
    batches_of_epoch,
    finetune,
    finetune_or_skip,
    freeze_norm_statistics,
    lr_factor,
    split_batch,
)
from modelsoups.training.processes import Terminated

CPU = torch.device("cpu")
TINY = BackboneSpec(library="timm", model="test_efficientnet", weights="random")


def run_spec(**changes):
    fields = {"seed": 0, "lr": 1e-3, "weight_decay": 0.01, "epochs": 3, "label_smoothing": 0.1}
    fields |= {"mixup": 0.5, "augmentation": "rand-m5-n1", "min_crop": 0.5, "batch_size": 8}
    return RunSpec(**{**fields, "warmup_steps": 2, "clip_norm": 1.0, **changes})


def make_data():
    """Images (24, 32, 32, 3) uint8 of two classes: dark ones and bright ones."""
    generator = np.random.default_rng(0)
    labels = np.arange(24) % 2
    images = generator.integers(0, 128, (24, 32, 32, 3)) + 127 * labels[:, None, None, None]
    return images.astype(np.uint8), labels.astype(np.int64)


@pytest.fixture
def data():
    return make_data()


def fresh_model():
    torch.manual_seed(0)
    return build_classifier(TINY, num_classes=2)


def test_schedule_warms_up_linearly_then_follows_a_cosine_to_zero():
    factors = [lr_factor(step, warmup_steps=4, num_steps=12) for step in range(12)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0  # cos(0)
    assert factors[8] == pytest.approx(0.5)  # half of the 8 steps after the warm-up
    assert factors[11] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert lr_factor(12, 4, 12) == pytest.approx(0)


def test_training_lowers_the_loss(data, tmp_path):
    spec = run_spec(epochs=6, mixup=0, label_smoothing=0, augmentation="minimal", lr=3e-3)
    curve = finetune(fresh_model(), *data, spec, CPU, tmp_path / "resume.pt", {})
    assert len(curve) == 6
    assert curve[-1]["loss"] < 0.7 * curve[0]["loss"]


def test_same_seed_gives_the_same_weights_and_another_seed_others(data, tmp_path):
    def weights(seed):
        model = fresh_model()
        finetune(model, *data, run_spec(seed=seed, epochs=1), CPU, tmp_path / f"{seed}.pt", {})
        (tmp_path / f"{seed}.pt").unlink()
        return model.state_dict()

    first, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def raise_at(model, call, error):
    """Make the model raise in its `call`-th forward pass."""
    calls = iter(range(1, call + 1))

    def hook(*_):
        if next(calls) == call:
            raise error

    model.register_forward_hook(hook)
    return model


def assert_same_weights(model, other):
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


class Killed(Exception):
    pass


# Three steps an epoch: the second step of the second epoch is the fifth, and so on. A state saved
# after every step stands for one saved by the clock.
@pytest.mark.parametrize("save_minutes", [0, 1e-9], ids=["by epochs", "after each step"])
@pytest.mark.parametrize("step", [2, 5, 9])
def test_killed_run_ends_with_the_weights_of_an_uninterrupted_one(
    data, tmp_path, whole, step, save_minutes
):
    compute = ComputeSpec(save_minutes=save_minutes)
    arguments = (*data, run_spec(), CPU, tmp_path / "resume.pt", {})
    with pytest.raises(Killed):
        finetune(raise_at(fresh_model(), step, Killed), *arguments, compute=compute)
    resumed = fresh_model()
    curve = finetune(resumed, *arguments, compute=compute)
    assert_same_weights(resumed, whole[0])
    assert [row["loss"] for row in curve] == [row["loss"] for row in whole[1]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: its model and its curve."""
    model = fresh_model()
    resume = tmp_path_factory.mktemp("whole") / "resume.pt"
    return model, finetune(model, *make_data(), run_spec(), CPU, resume, {})


def test_sigterm_saves_within_the_epoch_and_the_next_attempt_ends_with_the_same_weights(
    data, tmp_path, whole
):
    arguments = (*data, run_spec(), CPU, tmp_path / "resume.pt", {})
    model = fresh_model()
    calls = iter(range(100))
    model.register_forward_hook(
        lambda *_: os.kill(os.getpid(), signal.SIGTERM) if next(calls) == 4 else None
    )
    with pytest.raises(Terminated, match="saved in .*resume.pt after step 2 of epoch 2"):
        finetune(model, *arguments)
    resumed = fresh_model()
    finetune(resumed, *arguments)
    assert_same_weights(resumed, whole[0])


def test_sigterm_has_its_former_effect_after_a_run(data, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    finetune(fresh_model(), *data, run_spec(epochs=1), CPU, tmp_path / "resume.pt", {})
    assert signal.getsignal(signal.SIGTERM) is before


def test_processes_that_augment_change_nothing(data, tmp_path, whole):
    model = fresh_model()
    arguments = (*data, run_spec(), CPU, tmp_path / "resume.pt", {})
    finetune(model, *arguments, compute=ComputeSpec(num_workers=2))
    assert_same_weights(model, whole[0])


def test_epoch_has_every_image_once_but_those_left_over():
    batches = batches_of_epoch(num_images=26, batch_size=8, seed=0, epoch=1)
    assert batches.shape == (3, 8)
    assert len(set(batches.flatten())) == 24
    assert not np.array_equal(batches, batches_of_epoch(26, 8, seed=0, epoch=2))


def test_fewer_images_than_a_batch_are_an_error():
    with pytest.raises(ValueError, match="at least a batch of 8 training images, found 7"):
        batches_of_epoch(7, 8, 0, 0)


def test_parts_of_a_batch_hold_the_pairs_of_mixup_in_its_places():
    """Mixup of 0..7 mixes 0 with 7, 1 with 6, 2 with 5 and 3 with 4."""
    assert split_batch(np.arange(8), 1).tolist() == [[0, 1, 2, 3, 4, 5, 6, 7]]
    assert split_batch(np.arange(8), 2).tolist() == [[0, 1, 6, 7], [2, 3, 4, 5]]
    assert split_batch(np.arange(8), 4).tolist() == [[0, 7], [1, 6], [2, 5], [3, 4]]
    with pytest.raises(ValueError, match="batch_size 8 does not split into 3 parts"):
        split_batch(np.arange(8), 3)


VIT = BackboneSpec(library="timm", model="test_vit", weights="random")

# Frozen statistics and no BatchNorm at all. The step is small: AdamW divides a gradient by its own
# size, so that rounding in one near zero moves its weight by as much as the learning rate.
SPLIT_SPEC = {"lr": 1e-4, "epochs": 2, "warmup_steps": 0}


def vit_data():
    """`make_data` for a network that reads 160 pixels."""
    images, labels = make_data()
    return images.repeat(5, axis=1).repeat(5, axis=2), labels


SPLIT = {"frozen statistics": (TINY, make_data), "no BatchNorm": (VIT, vit_data)}


def split_run(kind, resume, **how):
    """Weights and curve of a short run that may be split over parts and processes."""
    backbone, data = SPLIT[kind]
    torch.manual_seed(0)
    model = build_classifier(backbone, num_classes=2)
    # In float32, which tells a wrong mean from rounding.
    with mock.patch("modelsoups.training.loop.autocast", lambda device: nullcontext()):
        curve = finetune(model, *data(), run_spec(**SPLIT_SPEC), CPU, resume, {}, **how)
    return model, curve


def assert_same_run(found, wanted):
    """The same weights up to a hundredth of one step of the optimiser."""
    for (name, tensor), other in zip(found.items(), wanted[0].state_dict().values(), strict=True):
        assert (tensor - other).abs().max() < 1e-6, name


@pytest.mark.parametrize("kind", SPLIT)
def test_accumulated_parts_of_a_batch_give_the_run_of_whole_batches(tmp_path, kind):
    whole = split_run(kind, tmp_path / "whole.pt")
    parts = split_run(kind, tmp_path / "parts.pt", compute=ComputeSpec(accumulate=4))
    assert_same_run(parts[0].state_dict(), whole)
    assert [r["loss"] for r in parts[1]] == pytest.approx([r["loss"] for r in whole[1]], rel=1e-5)


RANK = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from modelsoups.training.loop import ComputeSpec
from modelsoups.training.processes import join
from test_loop import split_run
folder, place = Path(sys.argv[2]), join()
torch.set_num_threads(1)
for kind in sys.argv[3:]:
    model, curve = split_run(
        kind, folder / f"{kind}.pt", place=place, compute=ComputeSpec(accumulate=2)
    )
    torch.save([model.state_dict(), curve], folder / f"{kind} {place.rank}")
"""


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """A folder with what two processes made together, each of two parts of every half batch."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "rank.py").write_text(RANK)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    here = ["--local-addr=127.0.0.1", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"]
    script = [str(folder / "rank.py"), os.path.dirname(__file__), str(folder)]
    done = subprocess.run([*torchrun, *here, *script, *SPLIT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("kind", SPLIT)
def test_two_processes_give_the_run_of_one(tmp_path, two_processes, kind):
    whole = split_run(kind, tmp_path / "whole.pt")
    for rank in (0, 1):
        weights, curve = torch.load(two_processes / f"{kind} {rank}")
        assert_same_run(weights, whole)
        assert [r["loss"] for r in curve] == pytest.approx([r["loss"] for r in whole[1]], rel=1e-5)


def test_failed_run_is_an_error_or_skipped_with_its_reason(data, tmp_path):
    model = fresh_model()
    with torch.no_grad():
        model.head.bias.fill_(math.nan)
    arguments = (model, *data, run_spec(), CPU, tmp_path / "resume.pt", {})
    with pytest.raises(FloatingPointError):
        finetune_or_skip("error", *arguments)
    curve, reason = finetune_or_skip("skip", *arguments, name="run 7")
    assert curve == []
    assert reason.startswith("run 7: the loss is nan in epoch 1 of 3")


def test_state_of_another_spec_or_start_is_not_gone_on_from(data, tmp_path, caplog):
    resume = tmp_path / "resume.pt"
    finetune(fresh_model(), *data, run_spec(epochs=1), CPU, resume, {"start": "abc"})
    curve = finetune(fresh_model(), *data, run_spec(epochs=1), CPU, resume, {"start": "xyz"})
    assert "starting anew" in caplog.text
    assert len(curve) == 1


def test_normalisation_statistics_stay_as_they_were_and_gains_do_not(data, tmp_path):
    model = fresh_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    finetune(model, *data, run_spec(epochs=1), CPU, tmp_path / "resume.pt", {})
    for name, tensor in model.state_dict().items():
        if "running" in name or "num_batches" in name:
            assert torch.equal(tensor, before[name]), name
        elif name.endswith("bn1.weight"):
            assert not torch.equal(tensor, before[name]), name


def test_frozen_statistics_leave_other_modules_in_training_mode():
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.Dropout(0.5)).train()
    freeze_norm_statistics(model)
    assert [module.training for module in model] == [False, True]


def test_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_state(data, tmp_path):
    model = fresh_model()
    with torch.no_grad():
        model.head.bias.fill_(math.nan)
    with pytest.raises(
        FloatingPointError, match=r"run 7: the loss is nan in epoch 1 of 3 \(lr 0.001"
    ):
        finetune(model, *data, run_spec(), CPU, tmp_path / "resume.pt", {}, name="run 7")
