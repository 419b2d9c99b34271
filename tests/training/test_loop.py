import copy
import math
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch

from modelsoups.data.questions import option_texts
from modelsoups.data.specs import TextViewSpec
from modelsoups.data.texts import PADDING, tokenize
from modelsoups.data.tokenizers import load_tokenizer
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.models.language import option_table
from modelsoups.study.search import RunSpec
from modelsoups.training.augmentation import PlainTexts, augmented_images
from modelsoups.training.loop import (
    ComputeSpec,
    finetune,
    finetune_or_skip,
    freeze_norm_statistics,
)
from modelsoups.training.methods import FOLLOWERS
from modelsoups.training.processes import Terminated, torchrun_options
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import read_weights, write_weights
from small_texts import make_bert, make_t5

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


def arguments_of(model, data, spec, resume):
    """What `finetune` is called with."""
    images, labels = data
    return model, augmented_images(images, spec, model), labels, spec, CPU, resume, {}


def train(model, data, spec, resume, **how):
    """Fine-tune a model in place; its curve."""
    return finetune(*arguments_of(model, data, spec, resume), **how).curve


def test_training_lowers_the_loss(data, tmp_path):
    spec = run_spec(epochs=6, mixup=0, label_smoothing=0, augmentation="minimal", lr=3e-3)
    curve = train(fresh_model(), data, spec, tmp_path / "resume.pt")
    assert len(curve) == 6
    assert curve[-1]["loss"] < 0.7 * curve[0]["loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (make_bert, {"loss": "likelihood", "lr": 3e-2, "epochs": 8}),
        (make_t5, {"loss": "softmax", "lr": 1e-2, "epochs": 40}),
    ],
)
def test_language_model_learns_what_a_word_decides(tmp_path, make, changes):
    """Real BERT and T5 classes with random weights: sentences with "cat" are of class 1.

    Vocabularies of unigrams are not the same each time: 24 epochs were too few in one of eight.
    """
    random, labels = np.random.default_rng(0), np.arange(32) % 2
    others = ["dog", "garden", "mat", "soups", "best"]
    sentences = [(" ".join(["cat"] * label + [*random.choice(others, 3)]),) for label in labels]
    classes = pd.DataFrame({"id": ["0", "1"], "name": ["no", "yes"]})
    folder = str(make(tmp_path / "model"))
    spec = BackboneSpec(library=make.__name__.removeprefix("make_"), model=folder, weights="random")
    torch.manual_seed(0)
    model = build_classifier(spec, num_classes=2)
    model.head.load_state_dict({"options": option_table(spec, classes)})
    view = TextViewSpec(tokenizer=folder, form="options")
    tokenizer, options = load_tokenizer(folder), option_texts(classes)
    tokens = tokenize(view, tokenizer, ["sentence"], sentences, options)
    run = run_spec(
        augmentation="none", mixup=0, label_smoothing=0, weight_decay=0, warmup_steps=0,
        schedule="linear", **changes,
    )  # fmt: skip
    texts = PlainTexts(tokens, run, model)
    curve = finetune(model, texts, labels, run, CPU, tmp_path / "resume.pt", {}).curve
    assert curve[-1]["loss"] < 0.3 * curve[0]["loss"]
    with torch.inference_mode():
        found = model.eval()(torch.from_numpy(tokens).long()).argmax(1).numpy()
    assert (found == labels).all()


def test_steps_have_texts_of_like_length_where_the_run_says_so(tmp_path):
    folder = str(make_bert(tmp_path / "model"))
    model = build_classifier(BackboneSpec(library="minilm", model=folder, weights="random"), 2)
    tokens = np.full((12, 9), 7, np.int32)
    tokens[::2, 3:] = PADDING
    run = run_spec(batch_size=6, epochs=2, augmentation="none", mixup=0, group_by_length=True)
    seen = []
    model.register_forward_pre_hook(lambda _, given: seen.append((given[0] != PADDING).sum(1)))
    path = tmp_path / "resume.pt"
    finetune(model, PlainTexts(tokens, run, model), np.arange(12) % 2, run, CPU, path, {})
    assert sorted(lengths[0].item() for lengths in seen[:2]) == [3, 9]
    assert len(seen) == 4 and all(len(lengths.unique()) == 1 for lengths in seen)


def test_rows_of_the_vocabulary_that_no_text_has_stay_as_they_are_and_so_do_a_soups(tmp_path):
    """Adam without weight decay moves a row once it has had a gradient, not before."""
    folder = str(make_bert(tmp_path / "model"))
    spec = BackboneSpec(library="minilm", model=folder, weights="random")
    view = TextViewSpec(tokenizer=folder, form="sentences")
    sentences = [("the cat",), ("a dog",), ("the dog",), ("a cat",)]
    tokens = tokenize(view, load_tokenizer(folder), ["sentence"], sentences, [])
    torch.manual_seed(0)
    start = build_classifier(spec, num_classes=2)
    rows = "backbone.bert.embeddings.word_embeddings.weight"
    before, after = start.state_dict()[rows], []
    for number in range(3):
        run = run_spec(
            seed=number, batch_size=2, augmentation="none", mixup=0, weight_decay=0,
            optimizer="adam",
        )  # fmt: skip
        model, path = copy.deepcopy(start), tmp_path / f"{number}.pt"
        finetune(model, PlainTexts(tokens, run, model), np.arange(4) % 2, run, CPU, path, {})
        after.append(tmp_path / f"{number}.safetensors")
        write_weights(after[-1], model.state_dict())
    used = np.unique(tokens[tokens != PADDING])
    unused = np.setdiff1d(np.arange(len(before)), used)
    assert len(unused) > len(used)
    for found in (*map(read_weights, after), average(after)):
        moved = (found[rows] != before).any(1)
        assert moved[used].all() and not moved[unused].any()


def test_same_seed_gives_the_same_weights_and_another_seed_others(data, tmp_path):
    def weights(seed):
        model = fresh_model()
        train(model, data, run_spec(seed=seed, epochs=1), tmp_path / f"{seed}.pt")
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
    arguments = (data, run_spec(), tmp_path / "resume.pt")
    with pytest.raises(Killed):
        train(raise_at(fresh_model(), step, Killed), *arguments, compute=compute)
    resumed = fresh_model()
    curve = train(resumed, *arguments, compute=compute)
    assert_same_weights(resumed, whole[0])
    assert [row["loss"] for row in curve] == [row["loss"] for row in whole[1]]


METHODS = {
    "adam, linear": {"optimizer": "adam", "schedule": "linear"},
    "rmsprop, constant": {"optimizer": "rmsprop", "schedule": "constant", "lr": 1e-4},
    "sgd, restarts": {"optimizer": "sgd", "schedule": "cosine-restarts", "lr": 0.1},
    "adafactor, binary, cutmix": {"optimizer": "adafactor", "loss": "binary", "cutmix": 0.2},
    "stochastic, crops": {"augmentation": "stochastic", "crop_ratio": 1.05, "train_size": 24},
    "fix-aug, frozen head": {"augmentation": "fix-aug", "freeze_head": True},
    "autoaugment": {"augmentation": "autoaugment"},
}


@pytest.mark.parametrize("name", METHODS)
def test_killed_run_with_a_method_ends_with_the_weights_of_an_uninterrupted_one(
    data, tmp_path, whole, name
):
    """It is killed in the last step of its second epoch; its state is saved after each step."""
    arguments, compute = (data, run_spec(**METHODS[name])), ComputeSpec(save_minutes=1e-9)
    uninterrupted, resumed = fresh_model(), fresh_model()
    train(uninterrupted, *arguments, tmp_path / "whole.pt")
    with pytest.raises(Killed):
        train(raise_at(fresh_model(), 6, Killed), *arguments, tmp_path / "r.pt", compute=compute)
    train(resumed, *arguments, tmp_path / "r.pt", compute=compute)
    assert_same_weights(resumed, uninterrupted)
    weights = resumed.backbone.conv_stem.weight
    assert not torch.equal(weights, whole[0].backbone.conv_stem.weight)  # it does something


@pytest.mark.parametrize("step", [None, 5])
def test_run_augmented_on_its_device_ends_as_one_augmented_by_pillow_killed_or_not(
    data, tmp_path, whole, step
):
    arguments = (data, run_spec(augment_on_device=True), tmp_path / "resume.pt")
    if step:
        with pytest.raises(Killed):
            train(raise_at(fresh_model(), step, Killed), *arguments)
    model = fresh_model()
    train(model, *arguments, compute=ComputeSpec(num_workers=1))
    assert_same_weights(model, whole[0])


def test_frozen_head_stays_as_it_was_and_the_backbone_does_not(data, tmp_path):
    model, start = fresh_model(), fresh_model()
    train(model, data, run_spec(freeze_head=True, weight_decay=0.5), tmp_path / "resume.pt")
    assert_same_weights(model.head, start.head)
    weights, before = dict(model.named_parameters()), dict(start.named_parameters())
    moved = {name for name in weights if not torch.equal(weights[name], before[name])}
    assert moved == {name for name in weights if not name.startswith("head.")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: its model and its curve."""
    model = fresh_model()
    resume = tmp_path_factory.mktemp("whole") / "resume.pt"
    return model, train(model, make_data(), run_spec(), resume)


def test_sigterm_saves_within_the_epoch_and_the_next_attempt_ends_with_the_same_weights(
    data, tmp_path, whole
):
    arguments = (data, run_spec(), tmp_path / "resume.pt")
    model = fresh_model()
    calls = iter(range(100))
    model.register_forward_hook(
        lambda *_: os.kill(os.getpid(), signal.SIGTERM) if next(calls) == 4 else None
    )
    with pytest.raises(Terminated, match="saved in .*resume.pt after step 2 of epoch 2"):
        train(model, *arguments)
    resumed = fresh_model()
    train(resumed, *arguments)
    assert_same_weights(resumed, whole[0])


def test_sigterm_has_its_former_effect_after_a_run(data, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    train(fresh_model(), data, run_spec(epochs=1), tmp_path / "resume.pt")
    assert signal.getsignal(signal.SIGTERM) is before


def test_processes_that_augment_change_nothing(data, tmp_path, whole):
    model = fresh_model()
    train(model, data, run_spec(), tmp_path / "resume.pt", compute=ComputeSpec(num_workers=2))
    assert_same_weights(model, whole[0])


VIT = BackboneSpec(library="timm", model="test_vit", weights="random")

# Frozen statistics and no BatchNorm at all. The step is small: AdamW divides a gradient by its own
# size, so that rounding in one near zero moves its weight by as much as the learning rate.
SPLIT_SPEC = {"lr": 1e-4, "epochs": 2, "warmup_steps": 0}


def vit_data():
    """`make_data` for a network that reads 160 pixels."""
    images, labels = make_data()
    return images.repeat(5, axis=1).repeat(5, axis=2), labels


# Everything that a run can do on its way at once.
ALONG_THE_WAY = {
    "label_smoothing": 0.0,
    "sam": 0.5,
    "ema": [0.5, 0.9999999],
    "ema_warmup": True,
    "swa": [0, 0.5],
    "teachers": ["other/000", "other/001"],
    "temperature": 2.0,
}
SPLIT = {
    "frozen statistics": (TINY, make_data, {}),
    "no BatchNorm": (VIT, vit_data, {}),
    "adafactor, binary, cutmix": (TINY, make_data, METHODS["adafactor, binary, cutmix"]),
    "sgd, frozen head": (TINY, make_data, {"optimizer": "sgd", "freeze_head": True}),
    "along the way": (TINY, make_data, ALONG_THE_WAY),
}
APART = {**SPLIT, "uphill apart": (TINY, make_data, {"sam": 5.0, "sam_synchronized": False})}


def teachers_of(spec):
    """Models with other weights, one for each teacher that a run names."""
    teachers = []
    for seed, _ in enumerate(spec.teachers, 1):
        torch.manual_seed(seed)
        teachers.append(build_classifier(TINY, num_classes=2))
    return teachers


def split_run(kind, resume, **how):
    """Weights, averages' too, and curve of a short run that may be split up."""
    backbone, data, methods = APART[kind]
    spec = run_spec(**{**SPLIT_SPEC, **methods})
    how |= {"teachers": teachers_of(spec)}
    torch.manual_seed(0)
    model = build_classifier(backbone, num_classes=2)
    # In float32, which tells a wrong mean from rounding.
    with mock.patch("modelsoups.training.loop.autocast", lambda *_: nullcontext()):
        ended = finetune(*arguments_of(model, data(), spec, resume), **how)
    return all_weights(model, ended), ended.curve


def all_weights(model, ended):
    """A run's weights and those of its averages."""
    averages = {
        f"{name} {key}": tensor
        for name, weights in ended.averages.items()
        for key, tensor in weights.items()
    }
    return {**model.state_dict(), **averages}


def assert_same_run(found, wanted):
    """The same weights up to a twentieth of one step of the optimiser."""
    for (name, tensor), other in zip(found.items(), wanted[0].values(), strict=True):
        assert (tensor - other).abs().max() < 5e-6, name


@pytest.mark.parametrize("kind", SPLIT)
def test_accumulated_parts_of_a_batch_give_the_run_of_whole_batches(tmp_path, kind):
    whole = split_run(kind, tmp_path / "whole.pt")
    parts = split_run(kind, tmp_path / "parts.pt", compute=ComputeSpec(accumulate=4))
    assert_same_run(parts[0], whole)
    assert [r["loss"] for r in parts[1]] == pytest.approx([r["loss"] for r in whole[1]], rel=1e-5)


RANK = """
import os, signal, sys, time
sys.path[:0] = [sys.argv[1], os.path.dirname(sys.argv[1])]
from pathlib import Path
from unittest import mock
import torch
from modelsoups.training import loop
from modelsoups.training.processes import Terminated, join
from test_loop import fresh_model, make_data, run_spec, split_run, train
folder, process = Path(sys.argv[2]), join()
torch.set_num_threads(1)
for kind in sys.argv[3:]:
    weights, curve = split_run(
        kind, folder / f"{kind}.pt", process=process, compute=loop.ComputeSpec(accumulate=2)
    )
    torch.save([weights, curve], folder / f"{kind} {process.rank}")

def save_slowly(*arguments):
    time.sleep(1)
    loop_save(*arguments)

loop_save, model, resume = loop.save_state, fresh_model(), folder / "resume.pt"
if process.is_first:
    model.register_forward_hook(lambda *_: os.kill(os.getpid(), signal.SIGTERM))
with mock.patch.object(loop, "save_state", save_slowly):
    try:
        train(model, make_data(), run_spec(), resume, process=process)
    except Terminated:
        (folder / f"terminated {process.rank} {resume.exists()}").touch()
"""


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """A folder with what two processes made together, each of two parts of every half batch; at
    last one of them got SIGTERM in a run."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "rank.py").write_text(RANK)
    torchrun = [sys.executable, "-m", "torch.distributed.run", *torchrun_options(2)]
    script = [str(folder / "rank.py"), os.path.dirname(__file__), str(folder)]
    done = subprocess.run([*torchrun, *script, *APART], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_no_process_says_that_it_is_saved_before_the_first_has_saved(two_processes):
    said = {path.name for path in two_processes.glob("terminated*")}
    assert said == {"terminated 0 True", "terminated 1 True"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SPLIT)
def test_two_processes_give_the_run_of_one(tmp_path, two_processes, kind):
    whole = split_run(kind, tmp_path / "whole.pt")
    for rank in (0, 1):
        weights, curve = torch.load(two_processes / f"{kind} {rank}")
        assert_same_run(weights, whole)
        assert [r["loss"] for r in curve] == pytest.approx([r["loss"] for r in whole[1]], rel=1e-5)


@pytest.mark.slow
def test_processes_that_go_uphill_apart_end_alike_and_elsewhere_than_one(tmp_path, two_processes):
    """Each perturbs by its own share's gradient; the gradient found there is of both."""
    whole, _ = split_run("uphill apart", tmp_path / "whole.pt")
    first, second = (torch.load(two_processes / f"uphill apart {rank}")[0] for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert max((first[name] - whole[name]).abs().max() for name in whole) > 5e-5


@pytest.mark.parametrize("step", [2, 8, 16, 17], ids="killed in pass {}".format)
def test_run_with_everything_along_the_way_ends_as_one_that_nothing_killed(
    data, tmp_path, along_the_way, step
):
    """To the bit, averages too. SAM takes two passes a step, so that six are an epoch."""
    spec, compute = run_spec(**ALONG_THE_WAY), ComputeSpec(save_minutes=1e-9)
    arguments = (data, spec, tmp_path / "resume.pt")
    killed = raise_at(fresh_model(), step, Killed)
    with pytest.raises(Killed):
        finetune(*arguments_of(killed, *arguments), compute=compute, teachers=teachers_of(spec))
    model = fresh_model()
    ended = finetune(*arguments_of(model, *arguments), compute=compute, teachers=teachers_of(spec))
    resumed = all_weights(model, ended)
    assert resumed.keys() == along_the_way.keys()
    assert all(torch.equal(resumed[name], along_the_way[name]) for name in resumed)


@pytest.fixture(scope="module")
def along_the_way(tmp_path_factory):
    """All weights of an uninterrupted run with everything along the way."""
    model, spec = fresh_model(), run_spec(**ALONG_THE_WAY)
    resume = tmp_path_factory.mktemp("along the way") / "resume.pt"
    arguments = arguments_of(model, make_data(), spec, resume)
    return all_weights(model, finetune(*arguments, teachers=teachers_of(spec)))


def test_averages_and_teachers_leave_what_they_should_alone(data, tmp_path):
    """Averages change nothing of their run; teachers keep their weights."""
    plain, averaged = fresh_model(), fresh_model()
    train(plain, data, run_spec(epochs=2), tmp_path / "plain.pt")
    train(averaged, data, run_spec(epochs=2, ema=0.9, swa=0), tmp_path / "averaged.pt")
    assert_same_weights(averaged, plain)
    spec = run_spec(epochs=1, label_smoothing=0.0, teachers="other/000")
    [teacher], [same] = teachers_of(spec), teachers_of(spec)
    taught = fresh_model()
    train(taught, data, spec, tmp_path / "taught.pt", teachers=[teacher])
    assert_same_weights(teacher, same)
    assert not torch.equal(taught.head.weight, plain.head.weight)


def test_student_learns_what_its_teachers_say(data, tmp_path):
    """A teacher that calls dark images bright: the student's answers follow it, not the labels."""
    images, labels = data
    changes = {"mixup": 0, "label_smoothing": 0, "augmentation": "minimal", "lr": 3e-3}
    teacher = fresh_model()
    wrong = run_spec(epochs=6, **changes)
    train(teacher, (images, 1 - labels), wrong, tmp_path / "teacher.pt")
    student, spec = fresh_model(), run_spec(epochs=6, teachers="other/000", **changes)
    train(student, data, spec, tmp_path / "student.pt", teachers=[teacher])
    with torch.no_grad():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        said = student.eval()(pixels).argmax(1)
    assert (said.numpy() == 1 - labels).mean() > 0.9


def test_failed_run_is_an_error_or_skipped_with_its_reason(data, tmp_path):
    model = fresh_model()
    with torch.no_grad():
        model.head.bias.fill_(math.nan)
    arguments = arguments_of(model, data, run_spec(), tmp_path / "resume.pt")
    with pytest.raises(FloatingPointError):
        finetune_or_skip("error", *arguments)
    ended, reason = finetune_or_skip("skip", *arguments, name="run 7")
    assert ended.curve == []
    assert reason.startswith("run 7: the loss is nan in epoch 1 of 3")


def test_state_of_another_start_is_not_gone_on_from(data, tmp_path, caplog):
    arguments = arguments_of(fresh_model(), data, run_spec(epochs=1), tmp_path / "resume.pt")[:-1]
    finetune(*arguments, {"start": "abc"})
    ended = finetune(*arguments, {"start": "xyz"})
    assert "starting anew" in caplog.text
    assert len(ended.curve) == 1


def has_bfloat16(monkeypatch, has):
    """A CPU with or without fast bfloat16."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has})


@pytest.mark.parametrize(("first", "then"), [(True, False), (False, True)])
def test_run_that_goes_on_elsewhere_keeps_its_precision(data, tmp_path, monkeypatch, first, then):
    has_bfloat16(monkeypatch, first)
    whole = fresh_model()
    train(whole, data, run_spec(), tmp_path / "whole.pt")
    resume = tmp_path / "resume.pt"
    with pytest.raises(Killed):
        train(raise_at(fresh_model(), 5, Killed), data, run_spec(), resume)
    has_bfloat16(monkeypatch, then)
    resumed = fresh_model()
    ended = finetune(*arguments_of(resumed, data, run_spec(), resume))
    assert ended.precision == ("bfloat16" if first else "float32")
    assert_same_weights(resumed, whole)


def test_fixed_precision_is_that_of_every_machine_and_starts_a_run_of_another_anew(
    data, tmp_path, monkeypatch, caplog
):
    resume, fixed = tmp_path / "resume.pt", ComputeSpec(precision="float32")
    has_bfloat16(monkeypatch, True)
    train(fresh_model(), data, run_spec(epochs=1), resume)
    model = fresh_model()
    ended = finetune(*arguments_of(model, data, run_spec(epochs=1), resume), compute=fixed)
    assert "starting anew" in caplog.text
    assert ended.precision == "float32"
    has_bfloat16(monkeypatch, False)
    other = fresh_model()
    train(other, data, run_spec(epochs=1), tmp_path / "other.pt")
    assert_same_weights(model, other)


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="expected auto, bfloat16, float32, got 'half'"):
        ComputeSpec(precision="half")


def test_run_with_a_state_that_is_cut_starts_anew(data, tmp_path, whole, caplog):
    resume = tmp_path / "resume.pt"
    train(fresh_model(), data, run_spec(epochs=1), resume)
    resume.write_bytes(resume.read_bytes()[:-1000])
    model = fresh_model()
    train(model, data, run_spec(), resume)
    assert "starting anew" in caplog.text
    assert_same_weights(model, whole[0])


@dataclass(frozen=True, kw_only=True)
class WiderSpec(RunSpec):
    """Hyper-parameters with one more, of a method that is off."""

    sharpness: float = 0.0


def test_field_that_is_off_leaves_half_finished_runs_as_they_are(data, tmp_path, whole):
    resume = tmp_path / "resume.pt"
    with pytest.raises(Killed):
        train(raise_at(fresh_model(), 5, Killed), data, run_spec(), resume)
    model = raise_at(fresh_model(), 1, Killed)
    with pytest.raises(Killed):  # in its first step, so what is in the model is what was saved
        train(model, data, WiderSpec(**asdict(run_spec())), resume)
    saved = torch.load(resume)["model"]
    assert all(torch.equal(tensor, saved[name]) for name, tensor in model.state_dict().items())


class Total:
    """Adds up the head's bias over steps and epochs."""

    def __init__(self, model):
        self.bias = model.head.bias
        self.sum, self.calls = torch.zeros(2), 0

    def after_step(self, step):
        self.sum += self.bias.detach()
        self.calls += 1

    def after_epoch(self, epoch):
        self.calls += 100

    def weights(self):
        return {}

    def state_dict(self):
        return {"sum": self.sum, "calls": self.calls}

    def load_state_dict(self, state):
        self.sum, self.calls = state["sum"].clone(), state["calls"]


def test_what_follows_the_weights_goes_on_with_an_interrupted_run(data, tmp_path, monkeypatch):
    made = []

    def follow(spec, model):
        made.append(Total(model))
        return made[-1]

    monkeypatch.setitem(FOLLOWERS, "mixup", follow)  # as if it were switched on by that field
    train(fresh_model(), data, run_spec(), tmp_path / "whole.pt")
    with pytest.raises(Killed):
        train(raise_at(fresh_model(), 5, Killed), data, run_spec(), tmp_path / "resume.pt")
    train(fresh_model(), data, run_spec(), tmp_path / "resume.pt")
    whole, _, resumed = made
    assert whole.calls == resumed.calls == 9 + 300  # 3 epochs of 3 steps
    assert torch.equal(whole.sum, resumed.sum)


def test_curve_is_shown_when_a_run_begins_or_goes_on_and_after_each_epoch(data, tmp_path):
    shown = []
    watch = {"watch": lambda curve: shown.append([row["loss"] for row in curve])}
    with pytest.raises(Killed):
        train(raise_at(fresh_model(), 8, Killed), data, run_spec(), tmp_path / "resume.pt", **watch)
    curve = train(fresh_model(), data, run_spec(), tmp_path / "resume.pt", **watch)
    losses = [row["loss"] for row in curve]
    # Killed in the third of three epochs, of three steps each.
    assert shown == [losses[:n] for n in (0, 1, 2, 2, 3)]


def test_normalisation_statistics_stay_as_they_were_and_gains_do_not(data, tmp_path):
    model = fresh_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(model, data, run_spec(epochs=1), tmp_path / "resume.pt")
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
        train(model, data, run_spec(), tmp_path / "resume.pt", name="run 7")
