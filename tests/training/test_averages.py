"""Averages along a trajectory against sums written out, in plain torch."""

from types import SimpleNamespace

import pytest
import torch

from modelsoups.study.search import RunSpec
from modelsoups.training.methods import build_methods

EPOCHS, STEPS = 5, 2  # of an epoch
FIELDS = {
    "seed": 0, "lr": 0.1, "weight_decay": 0.1, "epochs": EPOCHS, "label_smoothing": 0.0,
    "mixup": 0.0, "augmentation": "minimal", "min_crop": 0.5, "batch_size": 4, "warmup_steps": 2,
    "clip_norm": 1.0,
}  # fmt: skip


class Small(torch.nn.Module):
    """A head behind a normalisation whose statistics are frozen."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norm = torch.nn.BatchNorm1d(2)
        self.norm.running_mean.fill_(0.1)
        self.head = torch.nn.Linear(2, 3)


def trajectory(**methods):
    """The weights at the start and after each step of a run with made-up gradients, and its
    averages."""
    model = Small()
    built = build_methods(RunSpec(**FIELDS, **methods), model, EPOCHS * STEPS)
    weights = [model.head.weight.detach().double()]
    for epoch in range(EPOCHS):
        for step in range(STEPS):
            for each in model.parameters():
                each.grad = torch.randn_like(each)
            built.update(epoch * STEPS + step)
            weights.append(model.head.weight.detach().double())
        built.end_epoch(epoch)
    return weights, built.averaged()


def assert_is(average, wanted):
    """A float64 tensor rounded to float32, but for a sum in another order."""
    assert average["head.weight"].dtype == torch.float32
    torch.testing.assert_close(average["head.weight"], wanted.float(), rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_moving_average_begins_at_the_start_and_moves_by_its_decay(decay):
    weights, averages = trajectory(ema=[0.9, decay])
    wanted = weights[0]
    for each in weights[1:]:
        wanted = decay * wanted + (1 - decay) * each
    assert list(averages) == ["ema0.9", f"ema{decay}"]
    assert_is(averages[f"ema{decay}"], wanted)


def test_moving_average_with_warm_up_follows_the_number_of_steps_until_its_decay():
    """The n-th step's decay is n / (n + 9): 1/10, 2/11, 3/12, 4/13, then 0.3 at most."""
    weights, averages = trajectory(ema=[0.3, 0.9999999], ema_warmup=True)
    low = high = weights[0]
    for n, each in enumerate(weights[1:], 1):
        low = min(0.3, n / (n + 9)) * low + (1 - min(0.3, n / (n + 9))) * each
        high = n / (n + 9) * high + (1 - n / (n + 9)) * each
    assert_is(averages["ema0.3"], low)
    assert_is(averages["ema0.9999999"], high)


def test_steps_of_a_high_decay_are_not_lost_in_rounding():
    """In float32 1 + 1e-7 x 0.1 is 1; summed in float64, a million such steps count."""
    model = Small()
    with torch.no_grad():
        model.head.weight.fill_(1.0)
    built = build_methods(RunSpec(**FIELDS, ema=0.9999999), model, 10)
    with torch.no_grad():
        model.head.weight.fill_(1.1)
    [follower] = built.followers.values()
    follower.after_step(0)
    found = follower.state_dict()["ema0.9999999"]["module.head.weight"]
    torch.testing.assert_close(
        found, torch.full((3, 2), 1 + 1e-7 * (float(torch.tensor(1.1)) - 1), dtype=torch.float64)
    )


def test_swa_is_the_mean_of_the_ends_of_epochs():
    weights, averages = trajectory(swa=[0, 0.6, 0.7])
    ends = weights[STEPS::STEPS]
    assert len(ends) == EPOCHS
    assert_is(averages["swa"], sum(ends) / 5)
    assert_is(averages["swa0.6"], sum(ends[3:]) / 2)  # three of five epochs are 60 %, not more
    assert_is(averages["swa0.7"], sum(ends[3:]) / 2)  # 80 % and 100 %


@pytest.mark.parametrize(("epochs", "share", "count"), [(10, 0.7, 3), (100, 0.29, 71), (1, 0.9, 1)])
def test_swa_of_seventy_percent_begins_when_more_is_complete(epochs, share, count):
    model = Small()
    built = build_methods(RunSpec(**FIELDS | {"epochs": epochs}, swa=share), model, epochs)
    for epoch in range(epochs):
        built.end_epoch(epoch)
    [follower] = built.followers.values()
    assert follower.state_dict()[f"swa{share}"]["n_averaged"] == count


def test_averages_have_the_runs_frozen_statistics_and_its_keys():
    _, averages = trajectory(ema=0.9, swa=0)
    for average in averages.values():
        assert average.keys() == Small().state_dict().keys()
        assert (average["norm.running_mean"] == torch.tensor(0.1)).all()
        assert average["norm.num_batches_tracked"].dtype == torch.int64


def test_run_without_averages_has_none():
    assert trajectory()[1] == {}


def test_gradient_of_a_run_without_sam_is_taken_once():
    model = SimpleNamespace(head=torch.nn.Linear(2, 3))
    model.parameters = model.head.parameters
    calls = []
    build_methods(RunSpec(**FIELDS), model, 1).gradient(lambda **_: calls.append(1) or [])
    assert calls == [1]
