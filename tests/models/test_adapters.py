"""Adapters written by PEFT: merged into whole models, whose soup transformers loads."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import own_models
from modelsoups.models.adapters import files_of, merge_adapter
from modelsoups.models.own import Request
from modelsoups.weights.stored import open_stored

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
VALUE = "vit.layers.1.attention.v_proj"  # a module; files call it otherwise
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*is_gradient_checkpointing:FutureWarning", "ignore:Careful, disabling adapter"
    ),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return own_models.save_base(tmp_path_factory.mktemp("base"))


def merge(tmp_path, base, name, seed, **options):
    """The adapter's folder, the folder of the merged model, and PEFT's own, unmerged model."""
    adapted = own_models.save_adapter(tmp_path / name, base, seed, **options)
    merge_adapter(tmp_path / name, str(base), own_models.CLASSES, tmp_path / "merged" / name)
    return tmp_path / name, tmp_path / "merged" / name, adapted


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(IMAGES).logits


def loaded(folder):
    from transformers import AutoModelForImageClassification

    return AutoModelForImageClassification.from_pretrained(folder).eval()


@pytest.mark.parametrize(
    "options",
    [
        {"r": 2, "lora_alpha": 6},
        {"r": 4, "lora_alpha": 6, "use_rslora": True, "rank_pattern": {"v_proj": 2}},
        {"r": 2, "use_dora": True},
        {"r": 2, "target_modules": "all-linear", "bias": "lora_only"},
    ],
)
def test_merged_model_gives_the_logits_of_peft(tmp_path, base, options):
    _, merged, adapted = merge(tmp_path, base, "one", 1, **options)
    expected = logits(adapted)
    torch.testing.assert_close(logits(loaded(merged)), expected, atol=1e-5, rtol=1e-4)
    with adapted.disable_adapter():
        assert not torch.allclose(logits(adapted), expected, atol=1e-2)
    config = json.loads((merged / "config.json").read_text())
    assert [*config["id2label"].values()] == [*own_models.CLASSES]
    assert (merged / "preprocessor_config.json").exists()  # the base's


def test_soup_of_adapters_is_the_mean_of_their_products(tmp_path, base):
    """base + (6/2 B1 A1 + 6/sqrt(4) B2 A2) / 2, of ranks 2 and, by rslora, 4."""
    scales = {"one": 6 / 2, "two": 6 / 4**0.5}
    options = {"one": {"r": 2}, "two": {"r": 4, "use_rslora": True}}
    folders = {}
    for seed, name in enumerate(scales, 1):
        _, folders[name], _ = merge(tmp_path, base, name, seed, lora_alpha=6, **options[name])
    models = {name: open_stored(folder) for name, folder in folders.items()}
    own_models.cook(models, Request(library="transformers"), tmp_path / "out")

    state = loaded(tmp_path / "out/soup").state_dict()
    expected = loaded(base).state_dict()[f"{VALUE}.weight"]
    heads = []
    for name, scale in scales.items():
        factors = load_file(tmp_path / name / "adapter_model.safetensors")
        a, b = (factors[f"base_model.model.{VALUE}.lora_{x}.weight"] for x in "AB")
        expected = expected + scale * b @ a / 2
        heads.append(factors["base_model.model.classifier.weight"])
    torch.testing.assert_close(state[f"{VALUE}.weight"], expected)
    torch.testing.assert_close(state["classifier.weight"], (heads[0] + heads[1]) / 2)


def test_base_in_half_precision_is_merged_in_full(tmp_path, base):
    half = loaded(base).half()
    half.save_pretrained(tmp_path / "half")
    _, merged, _ = merge(tmp_path, tmp_path / "half", "one", 1, r=2)
    assert {tensor.dtype for tensor in load_file(merged / "model.safetensors").values()} == {
        torch.float32
    }


def test_files_of_a_model_are_the_adapters_where_it_is_one(tmp_path, base):
    adapter, merged, _ = merge(tmp_path, base, "one", 1, r=2)
    assert files_of(open_stored(merged), adapter) == [adapter / "adapter_model.safetensors"]
    assert files_of(open_stored(merged), merged) == [merged / "model.safetensors"]


def test_head_that_nobody_trained_is_refused(tmp_path, base):
    own_models.save_adapter(tmp_path / "one", base, 1, modules_to_save=None)
    with pytest.raises(ValueError, match="classifier.bias, classifier.weight are neither in"):
        merge_adapter(tmp_path / "one", str(base), own_models.CLASSES, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_adapter_without_a_head_of_its_own_has_the_bases(tmp_path):
    base = own_models.save_transformers(tmp_path / "base", 0)
    _, merged, adapted = merge(tmp_path, base, "one", 1, r=2, modules_to_save=None)
    torch.testing.assert_close(logits(loaded(merged)), logits(adapted), atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_tensors_that_have_no_place_or_are_missing_are_named(tmp_path, base):
    from safetensors.torch import save_file

    own_models.save_adapter(tmp_path / "one", base, 1, r=2)
    path = tmp_path / "one/adapter_model.safetensors"
    tensors = load_file(path)
    name = f"base_model.model.{VALUE}.lora_A.weight"
    save_file({k.replace("layers.1", "layers.9"): t for k, t in tensors.items()}, path)
    with pytest.raises(ValueError, match="8 tensors differ from those of an adapter of its config"):
        merge_adapter(tmp_path / "one", str(base), own_models.CLASSES, tmp_path / "merged")
    save_file({**tensors, name: torch.ones(3, 16)}, path)
    with pytest.raises(ValueError, match="(?s)does not fit .*size mismatch"):
        merge_adapter(tmp_path / "one", str(base), own_models.CLASSES, tmp_path / "merged")


def test_base_that_is_not_to_be_had_says_how_to_give_it(tmp_path, base, monkeypatch):
    own_models.save_adapter(tmp_path / "one", base, 1, r=2)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"(?s)nobody/nothing: .*say by `soup.base`"):
        merge_adapter(tmp_path / "one", "nobody/nothing", own_models.CLASSES, tmp_path / "merged")


class Calls:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_cut_or_malicious_file_is_refused_and_nothing_run(tmp_path, base, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own_models.save_adapter(tmp_path / "one", base, 1, r=2)
    path = tmp_path / "one/adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="one/adapter_model.safetensors: .*it is cut"):
        merge_adapter(tmp_path / "one", str(base), own_models.CLASSES, tmp_path / "merged")
    path.unlink()
    torch.save({"w": Calls()}, tmp_path / "one/adapter_model.bin")
    with pytest.raises(ValueError, match="adapter_model.bin: expected .*posix.system"):
        merge_adapter(tmp_path / "one", str(base), own_models.CLASSES, tmp_path / "merged")
    assert not (tmp_path / "ran").exists()
