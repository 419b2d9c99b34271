import math

import numpy as np
import pytest
import torch

from modelsoups.backbones import BackboneSpec, build_classifier
from modelsoups.finetune import finetune, freeze_norm_statistics, lr_factor
from modelsoups.search import RunSpec

CPU = torch.device("cpu")
TINY = BackboneSpec(library="timm", model="test_efficientnet", weights="random")


def run_spec(**changes):
    fields = {"seed": 0, "lr": 1e-3, "weight_decay": 0.01, "epochs": 3, "label_smoothing": 0.1}
    fields |= {"mixup": 0.5, "augmentation": "rand-m5-n1", "min_crop": 0.5, "batch_size": 8}
    return RunSpec(**{**fields, "warmup_steps": 2, "clip_norm": 1.0, **changes})


@pytest.fixture
def data():
    """Images (24, 32, 32, 3) uint8 of two classes: dark ones and bright ones."""
    generator = np.random.default_rng(0)
    labels = np.arange(24) % 2
    images = generator.integers(0, 128, (24, 32, 32, 3)) + 127 * labels[:, None, None, None]
    return images.astype(np.uint8), labels.astype(np.int64)


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


def test_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(data, tmp_path):
    whole = fresh_model()
    finetune(whole, *data, run_spec(), CPU, tmp_path / "whole.pt", {})

    class Interrupted(Exception):
        pass

    def interrupt(step):
        """Raise in the second epoch's second of three batches."""

        def hook(*_):
            nonlocal step
            step += 1
            if step == 5:
                raise Interrupted

        return hook

    halted = fresh_model()
    halted.register_forward_hook(interrupt(0))
    with pytest.raises(Interrupted):
        finetune(halted, *data, run_spec(), CPU, tmp_path / "halted.pt", {})

    resumed = fresh_model()
    curve = finetune(resumed, *data, run_spec(), CPU, tmp_path / "halted.pt", {})
    assert len(curve) == 3
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


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
