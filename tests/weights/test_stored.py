"""Weights in the forms of other libraries, made by their own save functions."""

import argparse
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from modelsoups.weights.stored import fit_names, needed_of, open_stored

WANTED = ["conv.weight", "fc.weight", "fc.bias"]


def weights(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {
        "conv.weight": torch.full((2, 3), value),
        "fc.weight": torch.full((4, 2), value),
        "fc.bias": torch.full((4,), value),
    }


def prefixed(prefix: str, value: float = 1.0) -> dict[str, torch.Tensor]:
    return {prefix + key: tensor for key, tensor in weights(value).items()}


def value_in(stored, prefix: str | None = None) -> float:
    names = fit_names(stored.entries, WANTED, prefix)
    loaded = stored.load(names.values())
    assert {key: tuple(loaded[name].shape) for key, name in names.items()} == {
        key: tuple(tensor.shape) for key, tensor in weights().items()
    }
    return loaded[names["fc.bias"]][0].item()


def test_checkpoint_of_timms_training_script(tmp_path):
    """Weights, their running average and an optimiser; the average only where asked for."""
    content = {
        "epoch": 3,
        "arch": "resnet18",
        "state_dict": prefixed("module._orig_mod.", 1.0),
        "optimizer": {"state": {0: {"step": torch.ones(1)}}, "param_groups": []},
        "args": argparse.Namespace(model="resnet18", mean=[0.5]),
        "state_dict_ema": weights(2.0),
    }
    torch.save(content, tmp_path / "last.pth.tar")
    stored = open_stored(tmp_path / "last.pth.tar")
    assert value_in(stored) == 1.0
    assert stored.part == "state_dict"
    assert stored.said["args"]["mean"] == [0.5]
    assert stored.left_aside == ["arch", "args", "epoch", "optimizer", "state_dict_ema"]
    assert value_in(open_stored(tmp_path / "last.pth.tar", "state_dict_ema")) == 2.0


def test_checkpoint_of_torchvisions_reference_script(tmp_path):
    average = {"n_averaged": torch.tensor(7), **prefixed("module.", 2.0)}
    content = {"model": weights(1.0), "model_ema": average, "epoch": 1, "lr_scheduler": {}}
    torch.save(content, tmp_path / "checkpoint.pth")
    assert value_in(open_stored(tmp_path / "checkpoint.pth")) == 1.0
    assert value_in(open_stored(tmp_path / "checkpoint.pth", "model_ema")) == 2.0


def test_checkpoint_of_lightning_with_an_average_beside_the_model(tmp_path):
    state = OrderedDict(
        {**prefixed("net.", 1.0), **prefixed("ema_net.", 2.0), "loss.w": torch.ones(4)}
    )
    torch.save({"state_dict": state, "pytorch-lightning_version": "2.5"}, tmp_path / "a.ckpt")
    stored = open_stored(tmp_path / "a.ckpt")
    assert value_in(stored) == 1.0
    assert value_in(stored, "ema_net.") == 2.0


def test_several_models_in_one_file_are_told_apart_by_prefix(tmp_path):
    save_file(
        {**prefixed("student.", 1.0), **prefixed("teacher.", 2.0)}, tmp_path / "a.safetensors"
    )
    stored = open_stored(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"several models fit, under \['student.', 'teacher.'\]"):
        value_in(stored)
    assert value_in(stored, "teacher.") == 2.0


def test_shards_of_transformers_are_read_as_one(tmp_path):
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        image_size=32,
        patch_size=16,
        num_labels=3,
    )
    model = ViTForImageClassification(config)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="4KB")
    torch.save({}, tmp_path / "sharded/optimizer.pt")
    stored = open_stored(tmp_path / "sharded")
    assert len(stored.sources) > 1
    assert stored.left_aside == ["optimizer.pt"]
    assert stored.said["model_type"] == "vit"
    loaded = stored.load(stored.entries)
    total = sum(tensor.double().sum() for tensor in loaded.values())  # names in a file are others
    torch.testing.assert_close(total, sum(t.double().sum() for t in model.state_dict().values()))
    (tmp_path / "sharded" / next(iter(stored.sources))).unlink()
    with pytest.raises(ValueError, match="names files that are not there"):
        open_stored(tmp_path / "sharded")


def test_file_of_a_folder_with_a_config_stands_for_the_folder(tmp_path):
    save_file(weights(), tmp_path / "model.safetensors")
    assert open_stored(tmp_path / "model.safetensors").folder is None
    (tmp_path / "config.json").write_text('{"architecture": "resnet18"}')
    stored = open_stored(tmp_path / "model.safetensors")
    assert stored.folder == tmp_path
    assert stored.said == {"architecture": "resnet18"}


def test_name_that_the_model_ties_is_not_needed(tmp_path):
    model = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
    model["b"].weight = model["a"].weight
    assert needed_of(model.state_dict(), ["b.weight"]) == ["b.weight"]
    assert needed_of(model.state_dict(), ["x.a.weight", "x.b.weight"]) == ["a.weight", "b.weight"]
    assert needed_of(model.state_dict(), []) == ["a.weight"]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda path: torch.save(nn.Linear(2, 2), path),
            "found an object of type torch.nn.*Linear",
        ),
        (lambda path: torch.save([1], path), "found an object of type list"),
        (
            lambda path: torch.save({"model": weights(), "net": weights()}, path),
            r"\['model', 'net'\]; say which by `part`",
        ),
        (
            lambda path: torch.save({"a": weights(), "epoch": 1}, path),
            r"tensors alone are \['a'\]; say which",
        ),
        (lambda path: torch.save({"epoch": 1}, path), "tensors alone are none"),
    ],
)
def test_what_holds_no_weights_or_several_is_refused(tmp_path, write, message):
    write(tmp_path / "a.pt")
    with pytest.raises(ValueError, match=message):
        open_stored(tmp_path / "a.pt")


def test_misfit_names_what_is_missing_and_what_is_too_much():
    with pytest.raises(
        ValueError, match=r"lacks 1 of the model's 3 tensors: m.fc.bias; it has others: m.tail"
    ):
        fit_names(["m.conv.weight", "m.fc.weight", "m.tail"], WANTED)


def test_adapter_is_refused_as_what_it_is(tmp_path):
    save_file({"lora_A.weight": torch.ones(2, 2)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="an adapter of PEFT.*merge_and_unload"):
        open_stored(tmp_path)
