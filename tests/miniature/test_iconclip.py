import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from modelsoups.miniature import iconclip
from modelsoups.miniature.iconclip import IconCLIP, PretrainingSpec, augment, batch_names, pretrain
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.training.processes import Terminated

SPEC = PretrainingSpec(
    sizes=(16, 32, 32), batch_size=4, lr=1e-3, weight_decay=0.05, warmup_steps=2, num_negatives=3,
    seed=0, save_every=2,
)  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture
def data():
    """12 drawings of 4 names: drawings, own_colors, name_of, names."""
    draw = np.random.default_rng(0)
    drawings = draw.integers(0, 256, (12, 32, 32, 4), dtype=np.uint8)
    names = normalize(torch.from_numpy(draw.normal(size=(4, 8)).astype(np.float32)), dim=-1)
    return drawings, np.arange(12) % 2 == 0, np.arange(12) % 4, names.numpy()


def build(seed=0):
    start = BackboneSpec(library="timm", model="test_efficientnet", weights="random")
    torch.manual_seed(0)
    return IconCLIP(build_classifier(start, num_classes=1), dimensions=8, seed=seed)


def train(data, resume, spec=SPEC):
    model = build(spec.seed)
    curve = pretrain(model, *data, spec, CPU, resume, {"data": "hash"})
    return model.state_dict(), curve


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_embeddings_are_normalised():
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    embeddings = build()(images)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))


def test_loss_is_the_cross_entropy_of_scaled_cosines():
    names = torch.eye(3)
    embeddings = torch.tensor([[0.6, 0.8, 0.0]])
    loss = iconclip.contrastive_loss(embeddings, torch.tensor([1]), names, torch.tensor(10.0))
    logits = np.array([6.0, 8.0, 0.0])
    assert loss.item() == pytest.approx(np.log(np.exp(logits).sum()) - 8.0, rel=1e-6)


def test_batch_is_compared_with_each_name_once_its_own_among_them():
    own = torch.tensor([7, 3, 7])
    names, targets = batch_names(own, 10, 50, torch.Generator().manual_seed(0))
    assert len(names.unique()) == len(names)
    assert names[targets].tolist() == own.tolist()


def test_augmented_black_drawings_stay_on_white_or_take_colour():
    disc = np.zeros((256, 32, 32, 4), np.uint8)
    disc[:, 12:20, 12:20, 3] = 255
    own_colors = torch.zeros(256, dtype=torch.bool)
    images = augment(torch.from_numpy(disc), own_colors, 32, torch.Generator().manual_seed(0))
    assert images.shape == (256, 3, 32, 32)
    assert images.min() >= 0
    assert images.max() <= 255
    corner = images[:, :, 0, 0]
    white = (corner == 255).all(1)
    assert 0.4 < white.float().mean() < 0.9
    assert (images[:, :, 16, 16] != corner).any(1).all()  # ink differs from paper


def test_coloured_drawings_keep_their_colours():
    red = np.zeros((64, 32, 32, 4), np.uint8)
    red[..., 0] = red[..., 3] = 255
    own_colors = torch.ones(64, dtype=torch.bool)
    images = augment(torch.from_numpy(red), own_colors, 32, torch.Generator().manual_seed(0))
    centre = images[:, :, 16, 16]
    is_red = torch.isclose(centre, torch.tensor([255.0, 0, 0]), atol=0.01).all(1)
    is_gray = torch.isclose(centre, centre[:, :1], atol=0.01).all(1)
    assert (is_red | is_gray).all()
    assert is_red.float().mean() > 0.7


def test_interrupted_pretraining_ends_with_the_same_weights(data, tmp_path, monkeypatch):
    whole, curve = train(data, tmp_path / "whole.pt")
    saves, save = [], iconclip.save_state

    def stop_after_two(*state):
        save(*state)
        saves.append(1)
        if len(saves) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(iconclip, "save_state", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "resume.pt")
    monkeypatch.undo()
    resumed, resumed_curve = train(data, tmp_path / "resume.pt")
    assert [row["step"] for row in resumed_curve] == [row["step"] for row in curve]
    assert equal(resumed, whole)


def test_sigterm_saves_at_once_and_the_next_attempt_ends_with_the_same_weights(
    data, tmp_path, monkeypatch
):
    spec = replace(SPEC, save_every=1000)
    whole, _ = train(data, tmp_path / "whole.pt", spec)
    steps, draw = [], iconclip.batch_names

    def terminate_in_the_third_step(*args):
        steps.append(1)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(*args)

    monkeypatch.setattr(iconclip, "batch_names", terminate_in_the_third_step)
    with pytest.raises(Terminated, match="after step 3"):
        train(data, tmp_path / "resume.pt", spec)
    monkeypatch.undo()
    resumed, curve = train(data, tmp_path / "resume.pt", spec)
    assert [row["step"] for row in curve] == [3, 9]
    assert equal(resumed, whole)


def test_seed_decides(data, tmp_path):
    one, _ = train(data, tmp_path / "one.pt")
    same, _ = train(data, tmp_path / "same.pt")
    other, _ = train(data, tmp_path / "other.pt", replace(SPEC, seed=1))
    assert equal(one, same)
    assert not equal(one, other)


def test_state_of_another_run_is_not_taken(data, tmp_path):
    train(data, tmp_path / "resume.pt", replace(SPEC, lr=1e-4))
    fresh, _ = train(data, tmp_path / "fresh.pt")
    taken, _ = train(data, tmp_path / "resume.pt")
    assert equal(taken, fresh)


def test_pretraining_with_a_state_that_is_cut_starts_anew(data, tmp_path, caplog):
    resume = tmp_path / "resume.pt"
    whole, _ = train(data, resume)
    resume.write_bytes(resume.read_bytes()[:-1000])
    again, curve = train(data, resume)
    assert "starting anew" in caplog.text
    assert curve[-1]["step"] == 9
    assert equal(again, whole)


def test_fewer_drawings_than_a_batch_are_an_error(data, tmp_path):
    with pytest.raises(ValueError, match="at least a batch of 100 drawings, found 12"):
        train(data, tmp_path / "resume.pt", replace(SPEC, batch_size=100))


def test_diverged_loss_stops_with_a_reason(data, tmp_path):
    with pytest.raises(FloatingPointError, match="smaller lr"):
        train(data, tmp_path / "resume.pt", replace(SPEC, lr=float("inf")))


def test_weights_that_the_last_step_made_infinite_are_an_error(data, tmp_path):
    """One step: its loss is that of the start."""
    spec = replace(SPEC, sizes=(32,), batch_size=12, warmup_steps=1, lr=float("inf"))
    with pytest.raises(FloatingPointError, match="the weights are not finite at the end"):
        train(data, tmp_path / "resume.pt", spec)


def test_halved_weights_make_the_same_embeddings_to_a_thousandth():
    model = build().eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    whole = model(images)
    halved = iconclip.halve(model.state_dict())
    assert halved["projection.weight"].dtype == torch.float16
    assert halved["logit_scale"].dtype == torch.float32
    model.load_state_dict(halved)
    torch.testing.assert_close(model(images), whole, atol=2e-3, rtol=0)
