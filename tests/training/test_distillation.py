"""Distillation's loss and targets by hand."""

import math

import pytest
import torch

from modelsoups.study.search import RunSpec
from modelsoups.training.distillation import load_teachers
from modelsoups.training.methods import build_methods
from modelsoups.weights.checkpoints import write_run

FIELDS = {
    "seed": 0, "lr": 0.1, "weight_decay": 0.0, "epochs": 1, "label_smoothing": 0.0,
    "mixup": 0.0, "augmentation": "minimal", "min_crop": 0.5, "batch_size": 2, "warmup_steps": 0,
    "clip_norm": 1.0,
}  # fmt: skip


class Says(torch.nn.Module):
    """Logits of two classes that are its numbers times the input."""

    def __init__(self, *numbers):
        super().__init__()
        self.head = torch.nn.Linear(1, 2, bias=False)
        self.head.weight.data = torch.tensor(numbers).view(2, 1)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, inputs):
        return self.dropout(self.head(inputs))


def build(*teachers, **methods):
    student = Says(0.0, 0.0).eval()
    names = [f"other/{number:03d}" for number in range(len(teachers))]
    spec = RunSpec(**{**FIELDS, "teachers": names, **methods})
    return build_methods(spec, student, 1, teachers)


def test_targets_are_the_softmax_of_the_teachers_mean_logits():
    """Logits (2, 0) and (1, 1) have the mean (1.5, 0.5), a softmax of 1 / (1 + 1/e); twice the
    input, twice the logits. A mean of probabilities would be less sure."""
    built = build(Says(2.0, 0.0), Says(1.0, 1.0))
    batch = torch.tensor([[1.0], [2.0]])
    same, targets = built.transform(batch, torch.tensor([0, 1]))
    assert same is batch
    wanted = [1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2))]
    assert targets[:, 0].tolist() == pytest.approx(wanted)
    assert not targets.requires_grad


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_loss_is_the_cross_entropy_with_the_teachers_at_the_temperature(temperature):
    """A teacher with logits (2, 0), a student with (0.6, 0): p = 1 / (1 + exp(-2 / T)) and the loss
    is T^2 (log(1 + exp(0.6 / T)) - 0.6 p / T); its slope is T (q - p)."""
    built = build(Says(2.0, 0.0), temperature=temperature)
    _, targets = built.transform(torch.ones(1, 1), torch.tensor([1]))
    logits = torch.tensor([[0.6, 0.0]], requires_grad=True)
    loss = built.loss(logits, targets)
    p, q = (1 / (1 + math.exp(-gap / temperature)) for gap in (2.0, 0.6))
    by_hand = math.log(1 + math.exp(0.6 / temperature)) - 0.6 * p / temperature
    assert loss.item() == pytest.approx(temperature**2 * by_hand)
    loss.backward()
    assert logits.grad[0].tolist() == pytest.approx([temperature * (q - p), temperature * (p - q)])


def test_teachers_see_the_batch_as_the_student_does():
    """Mixup makes of inputs 0 and 1 something between, of which the teachers' logits are."""
    built = build(Says(2.0, 0.0), mixup=1.0)
    batch, targets = built.transform(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]))
    assert 0 < batch[0] < 1
    torch.testing.assert_close(targets[:, :1], (2 * batch).sigmoid())


def test_number_of_teachers_must_be_that_of_the_run():
    with pytest.raises(ValueError, match=r"expected the models of \['a/000'\], found 0 models"):
        build_methods(RunSpec(**FIELDS, teachers="a/000"), Says(0.0, 0.0), 1)


def test_teacher_whose_run_failed_is_told(tmp_path):
    write_run(tmp_path / "good.safetensors", Says(1.0, 2.0).state_dict(), None)
    [teacher] = load_teachers([str(tmp_path / "good.safetensors")], lambda: Says(0.0, 0.0))
    assert teacher.head.weight.flatten().tolist() == [1, 2]
    write_run(tmp_path / "bad.safetensors", {}, "the loss is nan")
    with pytest.raises(ValueError, match=r"bad.safetensors: .* .the loss is nan.; take it"):
        load_teachers([str(tmp_path / "bad.safetensors")], lambda: Says(0.0, 0.0))
