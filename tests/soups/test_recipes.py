import hashlib
import json

import numpy as np
import pytest
import torch
from torch import nn

from modelsoups.evaluation.logits import write_logits
from modelsoups.soups.greedy import GreedySpec
from modelsoups.soups.pool import HeldOut
from modelsoups.soups.recipes import RECIPES, UniformSpec, cook, parse_recipe
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import Checkpoint, read_weights, write_weights


class Pixels(nn.Module):
    """A linear classifier of 2 x 2 images, normalised or not."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(12, 3)

    def forward(self, images):
        return self.head(self.norm(images.float() / 255).flatten(1))


@pytest.fixture
def pool(tmp_path):
    """Arguments of `cook` for a pool of three candidates on 40 held-out images."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 2, 2, 3), dtype=np.uint8)
    held_out = HeldOut(Pixels(), images, random.integers(0, 3, 40), batch_size=8)
    names = ["initialization", "000", "001"]
    for name in names:
        weights = {key: tensor.clone() for key, tensor in Pixels().state_dict().items()}
        write_weights(tmp_path / f"{name}.safetensors", weights)
        held_out.pour(weights)
        write_logits(tmp_path / f"{name}.parquet", held_out.logits(), held_out.labels, {})
    return {
        "model": "soup",
        "sweep": "search",
        "names": names,
        "weights": [tmp_path / f"{name}.safetensors" for name in names],
        "logits": [tmp_path / f"{name}.parquet" for name in names],
        "held_out": held_out,
        "output": tmp_path / "soup" / "weights.safetensors",
        "record": tmp_path / "soup" / "record.json",
    }


def test_a_config_becomes_a_spec():
    assert parse_recipe({"kind": "uniform"})[0] == UniformSpec()
    config = {"kind": "greedy", "order": "random", "seed": 3}
    assert parse_recipe(config)[0] == GreedySpec(order="random", seed=3)


@pytest.mark.parametrize("config", [{}, {"kind": "greedi"}])
def test_an_unknown_kind_is_refused_with_those_allowed(config):
    found = repr(config.get("kind"))
    with pytest.raises(ValueError, match=f"kind {found} is unknown, allowed: {', '.join(RECIPES)}"):
        parse_recipe(config)


def test_unknown_keys_are_refused_with_those_allowed():
    with pytest.raises(ValueError, match="of kind uniform: colour, order unknown, allowed: stat"):
        parse_recipe({"kind": "uniform", "order": "random", "colour": "red"})
    with pytest.raises(ValueError, match="uniform: statistics is 'no', allowed: average, estimate"):
        parse_recipe({"kind": "uniform", "statistics": "no"})


def test_every_recipe_writes_a_soup_and_a_record_that_says_how_it_was_made(pool):
    for kind in RECIPES:
        cook({"kind": kind}, **pool)
        record = json.loads(pool["record"].read_text())
        made_by = {key: record[key] for key in ("model", "kind", "sweep")}
        assert made_by == {"model": "soup", "kind": "soup", "sweep": "search"}
        assert record["recipe"]["kind"] == kind
        assert record["inputs"] == {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in zip(pool["names"], pool["weights"], strict=True)
        }
        assert {c["name"] for c in record["candidates"]} == set(pool["names"])
        assert all(0 <= c["held_out_accuracy"] <= 1 for c in record["candidates"])
        assert "torch" in record["versions"]
        pool["held_out"].pour(read_weights(pool["output"]))
        correct = pool["held_out"].logits().argmax(axis=1) == pool["held_out"].labels
        assert record["held_out_accuracy"] == correct.mean()
        metadata = Checkpoint(pool["output"]).metadata
        for key in ("ingredients", "coefficients", "inputs", "recipe"):
            assert json.loads(metadata[key]) == record[key]
        assert sorted(path.name for path in pool["output"].parent.iterdir()) == [
            "record.json",
            "weights.safetensors",
        ]


def test_uniform_keeps_every_candidate(pool):
    cook({"kind": "uniform"}, **pool)
    record = json.loads(pool["record"].read_text())
    assert record["ingredients"] == pool["names"]
    assert record["coefficients"] == [1 / 3] * 3
    found, wanted = read_weights(pool["output"]), average(pool["weights"])
    assert all(found[key].equal(wanted[key]) for key in wanted)


def test_uniform_with_estimated_statistics_has_those_of_the_held_out_images(pool):
    cook({"kind": "uniform", "statistics": "estimate"}, **pool)
    pixels = pool["held_out"].images(np.arange(40)).float() / 255
    found = read_weights(pool["output"])["norm.running_mean"]
    torch.testing.assert_close(found, pixels.mean(dim=(0, 2, 3)))


def test_a_soup_of_one_is_that_candidate(pool):
    one = {key: pool[key][:1] for key in ("names", "weights", "logits")}
    for kind in ("uniform", "greedy"):
        cook({"kind": kind}, **{**pool, **one})
        found, wanted = read_weights(pool["output"]), read_weights(pool["weights"][0])
        assert all(found[key].equal(wanted[key]) for key in wanted)


def test_logits_of_other_labels_are_refused(pool):
    held_out = pool["held_out"]
    wrong = held_out.labels[::-1].copy()
    write_logits(pool["logits"][1], held_out.logits(), wrong, {})
    with pytest.raises(ValueError, match=r"000.parquet: its labels are not those of the held-out"):
        cook({"kind": "uniform"}, **pool)


def test_an_interrupted_soup_leaves_its_progress_and_no_output(pool, monkeypatch):
    monkeypatch.setattr("modelsoups.soups.recipes.write_weights", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cook({"kind": "greedy"}, **pool)
    assert [path.name for path in pool["output"].parent.iterdir()] == ["soup.progress.json"]
    monkeypatch.undo()
    cook({"kind": "greedy"}, **pool)
    assert not (pool["output"].parent / "soup.progress.json").exists()


def test_images_without_labels_are_refused():
    with pytest.raises(ValueError, match="found 3 images and 2 labels"):
        HeldOut(Pixels(), np.zeros((3, 2, 2, 3), np.uint8), np.zeros(2))


def test_every_batch_has_one_shape(pool):
    held_out, sizes = pool["held_out"], []
    held_out.model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    held_out.logits(np.arange(19))
    assert sizes == [8, 8, 8]


def test_logits_do_not_depend_on_how_many_images_are_asked_for(pool):
    held_out = pool["held_out"]
    everything = held_out.logits()
    assert everything.shape == (40, 3)
    some = np.array([39, 3, 17])
    assert np.array_equal(held_out.logits(some), everything[some])
