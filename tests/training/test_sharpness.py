"""SAM against a loop in plain torch."""

import copy
import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from modelsoups.study.search import RunSpec
from modelsoups.training.methods import build_methods

FIELDS = {
    "seed": 0, "lr": 0.05, "weight_decay": 0.1, "epochs": 1, "label_smoothing": 0.0,
    "mixup": 0.0, "augmentation": "minimal", "min_crop": 0.5, "batch_size": 8, "warmup_steps": 0,
    "clip_norm": 1.0,
}  # fmt: skip
STEPS = 4


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)
        self.unused = torch.nn.Linear(2, 2)  # no gradient
        self.fixed = torch.nn.Parameter(torch.ones(2), requires_grad=False)

    def forward(self, inputs):
        return self.head(self.body(inputs).tanh())


torch.manual_seed(1)
INPUTS, LABELS = torch.randn(STEPS, 8, 4), torch.randint(3, (STEPS, 8))


def ours(num_parts, **methods):
    """Weights after some steps of a run, and its losses."""
    model = Small()
    built = build_methods(RunSpec(**FIELDS, **methods), model, STEPS)
    losses = []
    for step in range(STEPS):

        def backward(together=True, step=step):
            found = []
            for inputs, labels in zip(
                INPUTS[step].chunk(num_parts), LABELS[step].chunk(num_parts), strict=True
            ):
                loss = built.loss(model(inputs), labels) / num_parts
                loss.backward()
                found.append(loss.detach())
            return found

        losses.append(sum(built.gradient(backward)).item())
        built.update(step)
    return model, losses


def by_hand(rho):
    """The same as Foret et al. have it: w - step(grad L(w + rho g / |g|))."""
    model, losses = Small(), []
    used = [*model.body.parameters(), *model.head.parameters()]
    optimizer = torch.optim.AdamW(used, 0.05, weight_decay=0.1)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * step / STEPS)) / 2
        loss = cross_entropy(model(INPUTS[step]), LABELS[step])
        losses.append(loss.item())
        gradient = torch.autograd.grad(loss, used)
        length = torch.sqrt(sum((each**2).sum() for each in gradient))
        uphill = copy.deepcopy(model)
        moved = [*uphill.body.parameters(), *uphill.head.parameters()]
        with torch.no_grad():
            for each, along in zip(moved, gradient, strict=True):
                each += rho * along / length
        loss = cross_entropy(uphill(INPUTS[step]), LABELS[step])
        for each, along in zip(used, torch.autograd.grad(loss, moved), strict=True):
            each.grad = along
        optimizer.step()
    return model, losses


def assert_same(model, other):
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, other.state_dict()[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_parts", [1, 4])
def test_sam_takes_the_gradient_uphill_of_the_whole_batch(num_parts):
    model, losses = ours(num_parts, sam=0.5)
    wanted, wanted_losses = by_hand(0.5)
    assert_same(model, wanted)
    assert losses == pytest.approx(wanted_losses, rel=1e-5)
    plain, _ = ours(1)
    assert (model.head.weight - plain.head.weight).abs().max() > 1e-3


def test_weights_are_those_before_the_move_to_the_bit():
    model = Small()
    built = build_methods(RunSpec(**FIELDS, sam=0.7), model, STEPS)
    before = copy.deepcopy(model.state_dict())

    def backward(together=True):
        loss = cross_entropy(model(INPUTS[0]), LABELS[0])
        loss.backward()
        return [loss.detach()]

    built.gradient(backward)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_gradient_of_zero_moves_nothing():
    model = Small()
    built = build_methods(RunSpec(**FIELDS, sam=0.7), model, STEPS)
    built.gradient(lambda together=True: (0 * model(INPUTS[0]).sum()).backward() or [])
    assert all(each.isfinite().all() for each in model.state_dict().values())


def test_processes_go_uphill_together_unless_told_otherwise():
    for synchronized in (True, False):
        model, asked = Small(), []
        spec = RunSpec(**FIELDS, sam=0.7, sam_synchronized=synchronized)
        built = build_methods(spec, model, STEPS)

        def backward(together=True, model=model, asked=asked):
            asked.append(together)
            model(INPUTS[0]).sum().backward()
            return []

        built.gradient(backward)
        assert asked == [synchronized, True]  # the second gradient is the optimiser's
