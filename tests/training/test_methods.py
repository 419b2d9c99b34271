import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from modelsoups.study.search import RunSpec
from modelsoups.training.methods import FOLLOWERS, build_methods, cosine

SPEC = RunSpec(
    seed=0, lr=0.5, weight_decay=0.0, epochs=1, label_smoothing=0.0, mixup=0.0,
    augmentation="minimal", min_crop=0.5, batch_size=4, warmup_steps=2, clip_norm=1.0,
)  # fmt: skip


def build(spec=SPEC, num_steps=4):
    head = torch.nn.Linear(2, 3)
    model = SimpleNamespace(head=head, parameters=head.parameters)
    return build_methods(spec, model, num_steps), head


def test_schedule_warms_up_linearly_then_follows_a_cosine_to_zero():
    factors = [cosine(step, warmup_steps=4, num_steps=12) for step in range(12)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0  # cos(0)
    assert factors[8] == pytest.approx(0.5)  # half of the 8 steps after the warm-up
    assert factors[11] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert cosine(12, 4, 12) == pytest.approx(0)


def test_step_is_taken_at_its_learning_rate_and_clears_the_gradient():
    """Step 1 of a warm-up of 2 is at the peak of 0.5, which is AdamW's first step in size."""
    methods, head = build()
    before = head.weight.detach().clone()
    head.weight.grad, head.bias.grad = torch.ones(3, 2), torch.ones(3)
    methods.update(step=1)
    torch.testing.assert_close(before - head.weight, torch.full((3, 2), 0.5))
    assert head.weight.grad is None


def test_methods_that_are_off_leave_a_batch_as_it_is():
    methods, _ = build()
    batch, targets = torch.zeros(4, 1, dtype=torch.uint8), torch.arange(4) % 3
    assert methods.transform(batch, targets) == (batch, targets)
    assert methods.transforms == []


def test_mixup_mixes_examples_and_labels_alike():
    """Example i is i times ten of class i: its share of itself is left in both."""
    methods, _ = build(replace(SPEC, mixup=1.0))
    values = torch.tensor([[0], [10]], dtype=torch.uint8)
    mixed, shares = methods.transform(values, torch.tensor([0, 1]))
    assert shares.shape == (2, 3)
    torch.testing.assert_close(shares.sum(1), torch.ones(2))
    torch.testing.assert_close(mixed[:, 0], 10 * shares[:, 1])


def test_loss_is_the_mean_cross_entropy_with_smoothed_labels():
    """Equal logits of 3 classes: log 3 whatever the labels; smoothing moves 0.3 x 2/3 elsewhere."""
    methods, _ = build(replace(SPEC, label_smoothing=0.3))
    assert methods.loss(torch.zeros(2, 3), torch.tensor([0, 1])).item() == pytest.approx(
        math.log(3)
    )
    logits = torch.tensor([[2.0, 0.0, 0.0]])
    wanted = math.log(math.e**2 + 2) - 0.8 * 2  # 0.7 + 0.3/3 on the label, whose logit is 2
    assert methods.loss(logits, torch.tensor([0])).item() == pytest.approx(wanted)


def test_followers_are_told_of_steps_and_epochs_where_their_field_is_on(monkeypatch):
    told = []

    class Follower:
        after_step = after_epoch = told.append

    monkeypatch.setitem(FOLLOWERS, "mixup", lambda spec, model: Follower())
    off, _ = build()
    assert off.followers == {}
    on, _ = build(replace(SPEC, mixup=1.0))
    on.update(step=3)
    on.end_epoch(epoch=7)
    assert told == [3, 7]
