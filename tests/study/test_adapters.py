"""Adapters among models made elsewhere: which can be merged, and into what."""

import json

import pytest

from modelsoups.study.adapters import adapter_in, find_base
from modelsoups.study.own import add_study


def write(folder, **config):
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "base_model_name_or_path": "base", **config}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").touch()
    return str(folder)


def test_adapters_of_one_model_are_found_by_folder_or_file(tmp_path):
    one, two = write(tmp_path / "one", r=2), write(tmp_path / "two", r=4)
    assert adapter_in(one) == adapter_in(f"{one}/adapter_model.safetensors") == one
    assert adapter_in(str(tmp_path)) is None
    assert find_base({"one": one, "two": two}, None, "transformers") == "base"
    assert find_base({"one": one, "two": two}, "models/base", "transformers") == "models/base"
    assert find_base({"a": "a.safetensors"}, None, "timm") is None


@pytest.mark.parametrize(
    ("config", "said", "library", "message"),
    [
        ({"base_model_name_or_path": "other"}, None, "transformers", "first of base, two of other"),
        ({"base_model_name_or_path": None}, None, "transformers", r"two of \(not said\); if it is"),
        ({"peft_type": "IA3"}, None, "transformers", "two is of kind IA3; only LORA is merged"),
        (
            {"alora_invocation_tokens": [1]},
            None,
            "transformers",
            "two has alora_invocation_tokens",
        ),
        ({}, None, "timm", "soup.library: adapters of PEFT .*first.* are read of models of transf"),
    ],
)
def test_what_cannot_be_merged_is_named(tmp_path, config, said, library, message):
    files = {"first": write(tmp_path / "first"), "two": write(tmp_path / "two", **config)}
    with pytest.raises(ValueError, match=message):
        find_base(files, said, library)


def test_models_and_adapters_do_not_mix_and_a_base_is_of_adapters(tmp_path):
    files = {"first": write(tmp_path / "first"), "whole": "model.safetensors"}
    with pytest.raises(ValueError, match="whole: no adapters, as the others are"):
        find_base(files, None, "transformers")
    with pytest.raises(ValueError, match="soup.base: it is of adapters, and none"):
        find_base({"whole": "model.safetensors"}, "base", "transformers")


def test_study_knows_the_base_and_takes_its_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "val" / name).mkdir(parents=True)
    write(tmp_path / "runs/one")
    write(tmp_path / "runs/two")
    soup = {
        "checkpoints": "runs/*/adapter_model.safetensors",
        "library": "transformers",
        "held_out": {"path": "val", "layout": "class-folders"},
    }
    study = add_study({"soup": soup})
    assert study["soup"]["base"] == "base"
    assert study["sweeps"]["own"]["files"] == {"one": "runs/one", "two": "runs/two"}
    assert study["classes"] == ["cat", "dog"]
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text('{"id2label": {"0": "dog", "1": "cat"}}')
    assert add_study({"soup": soup})["classes"] == ["dog", "cat"]
