import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LinearLR

from modelsoups.study.search import CHOICES, RunSpec
from modelsoups.training.methods import (
    FOLLOWERS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    build_methods,
    constant,
    cosine,
    cosine_restarts,
    linear,
)

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


def test_likelihood_is_minus_the_labels_log_probability():
    """Not normalised over the classes: logits are log-probabilities of whole texts."""
    methods, _ = build(replace(SPEC, loss="likelihood"))
    logits = torch.tensor([[-1.0, -5.0, -9.0], [-2.0, -3.0, -4.0]])
    assert methods.loss(logits, torch.tensor([1, 0])).item() == (5 + 2) / 2


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


def test_every_method_that_a_run_may_name_is_there_and_no_other():
    found = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "loss": LOSSES}
    assert {name: set(methods) for name, methods in found.items()} == {
        name: set(known) for name, known in CHOICES.items()
    }


def factors_of(scheduler, num_steps, **options):
    """A schedule of torch's, with a peak of one."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, found = scheduler(optimizer, **options), []
    for _ in range(num_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_linear_schedule_is_torchs():
    wanted = factors_of(LinearLR, 8, start_factor=1.0, end_factor=0.0, total_iters=8)
    assert [linear(step, 0, 8) for step in range(8)] == pytest.approx(wanted)


def test_restarts_are_torchs_with_a_cycle_of_an_epoch():
    wanted = factors_of(CosineAnnealingWarmRestarts, 12, T_0=4)
    assert [cosine_restarts(step, 0, 12, epochs=3) for step in range(12)] == pytest.approx(wanted)


def test_warm_up_goes_before_every_schedule():
    """Two steps up; then of linear 4 steps that begin at the peak, of restarts what is left of an
    epoch of three, which is one step, and another epoch."""
    assert [constant(step, 2, 6) for step in range(6)] == [0.5, 1, 1, 1, 1, 1]
    assert [linear(step, 2, 6) for step in range(6)] == [0.5, 1, 1, 0.75, 0.5, 0.25]
    restarts = [cosine_restarts(step, 2, 6, epochs=2) for step in range(6)]
    assert restarts == pytest.approx([0.5, 1, 1, 1, 0.75, 0.25])


def test_warm_up_may_go_on_into_the_second_epoch_of_restarts():
    restarts = [cosine_restarts(step, 5, 8, epochs=2) for step in range(8)]
    cosines = [0.5 * (1 + math.cos(math.pi * share)) for share in (0, 1 / 3, 2 / 3)]
    assert restarts == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, *cosines])


def steps_of(name, gradients, **changes):
    """The weights before, and after each of these gradients, by an optimiser at its peak."""
    spec = replace(SPEC, optimizer=name, **changes)
    weights = torch.nn.Parameter(torch.linspace(-2, 2, gradients[0].numel()).view_as(gradients[0]))
    optimizer = OPTIMIZERS[name](spec, [weights])
    found = [weights.detach().clone()]
    for gradient in gradients:
        weights.grad = gradient.clone()
        optimizer.step()
        found.append(weights.detach().clone())
    return found


STEPS = [torch.tensor([0.3, -2.0, 0.1, 0.01]), torch.tensor([-0.1, 1.0, 0.4, 0.02])]


def test_adam_takes_weight_decay_as_part_of_the_gradient():
    found = steps_of("adam", STEPS, weight_decay=0.5, lr=0.01)
    weights, mean, square = found[0], torch.zeros(4), torch.zeros(4)
    for step, gradient in enumerate(STEPS, 1):
        gradient = gradient + 0.5 * weights
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        unbiased = (square / (1 - 0.999**step)).sqrt() + 1e-8
        weights = weights - 0.01 * mean / (1 - 0.9**step) / unbiased
        torch.testing.assert_close(found[step], weights)


def test_rmsprop_divides_by_the_running_size_of_the_gradient():
    found = steps_of("rmsprop", STEPS, lr=0.01)
    weights, square = found[0], torch.zeros(4)
    for step, gradient in enumerate(STEPS, 1):
        square = 0.99 * square + 0.01 * gradient**2
        weights = weights - 0.01 * gradient / (square.sqrt() + 1e-8)
        torch.testing.assert_close(found[step], weights)


def test_sgd_has_no_momentum():
    """A step of lr 0.5 along the gradient and half the weights, whatever the steps before."""
    found = steps_of("sgd", STEPS, weight_decay=0.5)
    for step, gradient in enumerate(STEPS):
        wanted = found[step] - 0.5 * (gradient + found[step] / 2)
        torch.testing.assert_close(found[step + 1], wanted)


def test_adafactor_is_that_of_scaling_vision_transformers():
    """Second moments with a decay of 1 - t^-0.8 up to 0.999, a momentum of 0.9 in bfloat16, weight
    decay apart; steps as long as the learning rate says, however large the weights are."""
    found = steps_of("adafactor", STEPS, weight_decay=0.5, lr=0.01)
    weights, mean, square = found[0], torch.zeros(4), torch.zeros(4)
    for step, gradient in enumerate(STEPS, 1):
        decay = min(0.999, 1 - step**-0.8)
        square = decay * square + (1 - decay) * gradient**2
        mean = 0.9 * mean + 0.1 * gradient / square.sqrt()
        weights = weights - 0.01 * mean - 0.01 * 0.5 * weights
        torch.testing.assert_close(found[step], weights, atol=0.01 * 2**-8, rtol=0)


def test_adafactor_keeps_a_number_for_each_row_and_each_column():
    """The squares of a product of two vectors are the product of the means of their rows and
    columns, so the first step is the gradient's sign times 1 - 0.9, whatever its size."""
    rows, columns = torch.linspace(-1, 3, 16), torch.linspace(0.1, 2, 20)
    gradient = rows[:, None] * columns
    before, after = steps_of("adafactor", [gradient], lr=1.0)
    torch.testing.assert_close(before - after, 0.1 * gradient.sign(), atol=1e-3, rtol=0)
    weights = torch.nn.Parameter(torch.zeros(16, 20))
    optimizer = OPTIMIZERS["adafactor"](SPEC, [weights])
    weights.grad = gradient
    optimizer.step()
    sizes = sorted(value.numel() for value in optimizer.state[weights].values())
    assert sizes == [1, 16, 20, 320]  # steps taken, rows, columns, momentum


def test_binary_loss_is_the_sum_of_the_classes_cross_entropies():
    """Logits of zero: log 2 for each of three classes. A logit x of the label costs
    log(1 + exp(-x)), of another class log(1 + exp(x))."""
    loss = LOSSES["binary"](SPEC)
    assert loss(torch.zeros(2, 3), torch.tensor([0, 1])).item() == pytest.approx(3 * math.log(2))
    logits = torch.tensor([[2.0, -1.0, 0.5]])
    wanted = sum(math.log(1 + math.exp(x)) for x in (-2.0, -1.0, 0.5))
    assert loss(logits, torch.tensor([0])).item() == pytest.approx(wanted)
    assert loss(logits, torch.tensor([[1.0, 0, 0]])).item() == pytest.approx(wanted)


def test_binary_loss_takes_shares_and_smooths_them_as_softmax_does():
    """Half of class 0 and half of 1, smoothed by 0.3: targets of 0.7 / 2 + 0.1, twice, and 0.1.
    A class costs log(1 + exp(x)) - target x."""
    logits = torch.tensor([[2.0, -1.0, 0.5]])
    loss = LOSSES["binary"](replace(SPEC, label_smoothing=0.3))
    wanted = sum(
        math.log(1 + math.exp(x)) - target * x
        for x, target in ((2.0, 0.45), (-1.0, 0.45), (0.5, 0.1))
    )
    assert loss(logits, torch.tensor([[0.5, 0.5, 0]])).item() == pytest.approx(wanted)


def black_and_grey():
    """Two images (3, 8, 8) uint8, of zeros and of tens, and their labels."""
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    images[1] = 10
    return images, torch.tensor([0, 1])


def test_cutmix_gives_each_image_a_rectangle_of_another_and_its_share_of_the_label():
    methods, _ = build(replace(SPEC, cutmix=1.0))
    np.random.seed(2)
    mixed, shares = methods.transform(*black_and_grey())
    cut = (mixed[0, 0] == 10).float()
    share = cut.mean().item()
    assert mixed.unique().tolist() == [0, 10]
    assert 0 < share < 1
    torch.testing.assert_close(shares, torch.tensor([[1 - share, share, 0], [share, 1 - share, 0]]))
    rows, columns = cut.nonzero(as_tuple=True)
    assert cut.sum() == len(rows.unique()) * len(columns.unique())  # a rectangle


def test_run_with_mixup_and_cutmix_has_one_of_them_in_a_step():
    """Pixels between the two colours are of mixup: in a half of the steps, about."""
    methods, _ = build(replace(SPEC, mixup=1.0, cutmix=1.0))
    np.random.seed(0)
    batches = [methods.transform(*black_and_grey())[0] for _ in range(200)]
    is_mixup = [bool(((batch > 0) & (batch < 10)).any()) for batch in batches]
    assert 0.4 < np.mean(is_mixup) < 0.6
