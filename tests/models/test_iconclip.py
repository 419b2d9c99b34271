import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from modelsoups.models.backbones import (
    BackboneSpec,
    build_classifier,
    load_pretrained,
    load_text_tower,
)
from modelsoups.models.minilm import load_minilm
from small_towers import noise, pretrained

ICONCLIP = BackboneSpec(library="iconclip", model="tf_efficientnet_lite0", weights="random")
CPU = torch.device("cpu")


def iconclip_weights(scale: float = 20.0) -> dict[str, torch.Tensor]:
    """A file's tensors in half precision, with weights unlike those of `random`."""
    torch.manual_seed(1)
    trunk = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    return {
        **{f"backbone.{name}": tensor for name, tensor in trunk.half().state_dict().items()},
        "projection.weight": torch.randn(384, 1280).half() / 1280**0.5,
        "logit_scale": torch.tensor(scale).log().half(),
    }


@pytest.fixture
def iconclip_file(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(iconclip_weights(), path)
    return BackboneSpec(library="iconclip", model=ICONCLIP.model, weights=str(path))


def test_iconclip_embeds_by_projecting_the_networks_features(iconclip_file):
    model = pretrained(iconclip_file)
    state = {name: tensor.float() for name, tensor in iconclip_weights().items()}
    trunk = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    trunk.load_state_dict(
        {k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")}
    )
    images = noise(64)
    with torch.no_grad():
        features = trunk((images / 255 - 0.5) / 0.5)
        expected = nn.functional.normalize(features @ state["projection.weight"].T)
        torch.testing.assert_close(model.features(images), expected, atol=1e-5, rtol=1e-4)
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}


def test_iconclip_texts_are_minilms_with_the_files_temperature(iconclip_file):
    text = load_text_tower(iconclip_file, CPU)
    assert text.scale == pytest.approx(20, rel=1e-3)
    torch.testing.assert_close(text.embed(["a dog"]), load_minilm().embed(["a dog"]))
    assert load_text_tower(ICONCLIP, CPU).scale == pytest.approx(1 / 0.07)


def test_iconclips_image_tower_is_computed_with_folded_norms():
    """Each of the network's 49 convolutions."""
    tower = build_classifier(ICONCLIP, 2).backbone
    assert sum("folded_norm" in module.__dict__ for module in tower.modules()) == 49


def test_file_that_is_not_iconclips_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    spec = BackboneSpec(library="iconclip", model=ICONCLIP.model, weights=str(path))
    save_file({"projection.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="no tensor logit_scale; expected IconCLIP's weights"):
        load_text_tower(spec, CPU)
    save_file({"projection.weight": torch.zeros(1), "logit_scale": torch.zeros(())}, path)
    with pytest.raises(ValueError, match="weights.safetensors: expected .* tensors, found 1"):
        load_pretrained(spec, build_classifier(spec, 2))
