from dataclasses import replace

import numpy as np
import pytest
import torch

from modelsoups.data.examples import Images
from modelsoups.evaluation.best import BestCheckpoint
from modelsoups.evaluation.evaluator import EvaluationSet, Evaluator
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.study.search import RunSpec
from modelsoups.training.augmentation import AugmentedImages
from modelsoups.training.loop import ComputeSpec, finetune
from modelsoups.training.processes import Process

CPU = torch.device("cpu")
SPEC = RunSpec(
    seed=0, lr=3e-3, weight_decay=0.01, epochs=3, label_smoothing=0.0, mixup=0.0,
    augmentation="medium", min_crop=0.5, batch_size=8, warmup_steps=0, clip_norm=1.0,
    evaluate_every=0.25,
)  # fmt: skip
LABELS = np.arange(24) % 2  # three steps an epoch, nine in all


def pictures(seed, count):
    """Images (count, 32, 32, 3) uint8, dark ones and bright ones in turn, that overlap."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(0, 200, (count, 32, 32, 3))
    return (noise + 25 * (np.arange(count) % 2)[:, None, None, None]).astype(np.uint8)


HELD_OUT = EvaluationSet(
    dataset="held-out", examples=Images(pictures(1, 15)), labels=np.arange(15) % 2
)


def fresh_model():
    torch.manual_seed(0)
    spec = BackboneSpec(library="timm", model="test_efficientnet", weights="random")
    return build_classifier(spec, num_classes=2)


def follow(model, **options):
    return BestCheckpoint(SPEC, model, HELD_OUT, len(LABELS), device=CPU, **options)


def train(model, resume, followers, spec=SPEC, **how):
    examples = AugmentedImages(pictures(0, 24), spec, model)
    made = followers if callable(followers) else lambda methods: followers
    finetune(model, examples, LABELS, spec, CPU, resume, {}, followers=made, **how)


class History:
    """Keeps the weights after each step, from 1."""

    def __init__(self, model):
        self.model, self.weights = model, {}

    def after_step(self, step):
        self.weights[step + 1] = copy_of(self.model)

    def after_epoch(self, epoch):
        pass

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def copy_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_equal(found, wanted):
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole run: its model at the end, the weights at each step, and what was best."""
    model = fresh_model()
    history, best = History(model), follow(model)
    train(model, tmp_path_factory.mktemp("run") / "r.pt", {"history": history, "best": best})
    return model, history.weights, best


def test_run_is_evaluated_after_each_share_of_its_steps_and_at_its_end(run):
    """A quarter of nine steps is 2.25, so every second."""
    assert [trial["step"] for trial in run[2].trials] == [2, 4, 6, 8, 9]


def test_kept_weights_are_the_first_of_those_with_the_best_held_out_accuracy(run):
    _, weights, best = run
    evaluator = Evaluator(fresh_model())
    accuracies = {}
    for step in (2, 4, 6, 8, 9):
        evaluator.pour(weights[step])
        predictions = evaluator.logits(HELD_OUT).argmax(axis=1)
        accuracies[step] = (predictions == HELD_OUT.labels).mean()
    assert {int(t["step"]): t["held_out_accuracy"] for t in best.trials} == accuracies
    assert best.step == min(s for s, each in accuracies.items() if each == max(accuracies.values()))
    assert_equal(best.kept, weights[best.step])


def test_an_average_is_followed_apart_from_its_run(run, tmp_path):
    """The best of the averages is kept, and the run goes on as if nobody had looked at it."""
    spec = replace(SPEC, ema=[0.5])
    model, averages, best = fresh_model(), {}, {}

    def followers(methods):
        def average():
            averages[len(averages)] = methods.average("ema0.5")
            return averages[len(averages) - 1]

        best["run"], best["average"] = follow(model), follow(model, average=average)
        return best

    train(model, tmp_path / "r.pt", followers, spec)
    assert_equal(model.state_dict(), run[0].state_dict())
    assert best["run"].trials == run[2].trials
    assert_equal(best["run"].kept, run[2].kept)
    evaluator, accuracies = Evaluator(fresh_model()), []
    for weights in averages.values():
        evaluator.pour(weights)
        predictions = evaluator.logits(HELD_OUT).argmax(axis=1)
        accuracies.append((predictions == HELD_OUT.labels).mean())
    assert [t["held_out_accuracy"] for t in best["average"].trials] == accuracies
    assert accuracies != [t["held_out_accuracy"] for t in run[2].trials]
    assert_equal(best["average"].kept, averages[int(np.argmax(accuracies))])


def test_of_equal_checkpoints_the_first_is_kept():
    """The same constant in both logits changes weights but no prediction."""
    model = fresh_model()
    best, before = follow(model), copy_of(model)
    best.after_step(1)
    with torch.no_grad():
        model.head.bias.add_(1)
    best.after_step(3)
    assert best.trials[0]["held_out_accuracy"] == best.trials[1]["held_out_accuracy"]
    assert best.step == 2
    assert_equal(best.kept, before)


def test_evaluation_leaves_the_run_as_it_is(run, tmp_path):
    alone = fresh_model()
    train(alone, tmp_path / "r.pt", {})
    assert_equal(run[0].state_dict(), alone.state_dict())
    before = [module.training for module in alone.modules()]
    follow(alone).after_step(1)
    assert [module.training for module in alone.modules()] == before
    assert True in before
    assert False in before  # frozen statistics


class Killed(Exception):
    pass


class Killer(History):
    def after_step(self, step):
        if step == 6:
            raise Killed


def test_interrupted_run_keeps_the_checkpoint_of_an_uninterrupted_one(run, tmp_path):
    compute = ComputeSpec(save_minutes=1e-9)
    model = fresh_model()
    followers = {"best": follow(model), "history": Killer(model)}
    with pytest.raises(Killed):
        train(model, tmp_path / "r.pt", followers, compute=compute)
    model = fresh_model()
    best = follow(model)
    train(model, tmp_path / "r.pt", {"best": best, "history": History(model)}, compute=compute)
    assert best.trials == run[2].trials
    assert_equal(best.kept, run[2].kept)


class OneOf(Process):
    """One of two processes, which is told what the other has."""

    other = 0.0

    def mean(self, value):
        return (value + self.other) / 2


def test_processes_share_the_held_out_set_and_the_first_keeps_the_weights():
    """Of 15 images the first process has eight, the second seven."""
    model, whole = fresh_model(), follow(fresh_model())
    whole.after_step(1)
    bests = [follow(model, process=OneOf(rank, 2)) for rank in (0, 1)]
    for best in bests:
        best.after_step(1)
    parts = [best.trials[0]["held_out_accuracy"] * 15 for best in bests]
    assert sum(parts) == pytest.approx(whole.trials[0]["held_out_accuracy"] * 15)
    assert bests[0].kept
    assert not bests[1].kept


def test_weights_whose_outputs_are_not_finite_have_no_example_right(caplog):
    model = fresh_model()
    with torch.no_grad():
        model.head.bias.fill_(torch.nan)
    best = follow(model)
    best.after_step(1)
    assert best.trials == [{"step": 2, "held_out_accuracy": 0.0}]
    assert "NaN or infinite" in caplog.text
