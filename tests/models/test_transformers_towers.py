"""Networks of transformers as towers, from folders that it wrote."""

import pytest
import torch
from torch import nn
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    ViTModel,
)

from modelsoups.data.specs import ViewSpec
from modelsoups.models.backbones import BackboneSpec, build_classifier, check_view, weights_file
from small_towers import noise, pretrained

VIT = ViTConfig(
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    image_size=32,
    patch_size=8,
    num_labels=5,
)
CONVNEXT = ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_labels=5)
PROCESSOR = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "resample": 3}


def save(folder, model, size=32):
    torch.manual_seed(0)
    model = model.eval()
    for tensor in model.state_dict().values():
        nn.init.normal_(tensor, std=0.3)
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": size, "width": size}, **PROCESSOR).save_pretrained(folder)
    return model


def spec(folder, weights="transformers"):
    return BackboneSpec(library="transformers", model=str(folder), weights=str(weights))


@pytest.fixture(
    params=[(ViTForImageClassification, VIT), (ConvNextForImageClassification, CONVNEXT)],
    ids=["vit", "convnext"],
)
def saved(request, tmp_path):
    kind, config = request.param
    return tmp_path / "model", save(tmp_path / "model", kind(config))


def test_features_are_what_the_classifiers_last_layer_reads(saved):
    folder, plain = saved
    classifier = pretrained(spec(folder))
    seen = []
    plain.classifier.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    images = noise(32)
    mean, std = (torch.tensor(PROCESSOR[key]).view(3, 1, 1) for key in ("image_mean", "image_std"))
    with torch.no_grad():
        plain((images / 255 - mean) / std)
        found = classifier.features(images)
    torch.testing.assert_close(found, nn.functional.normalize(seen[0]), atol=1e-5, rtol=1e-4)
    assert weights_file(spec(folder)) == folder / "model.safetensors"


def test_weights_come_from_another_folder_or_a_file_too(saved, tmp_path):
    folder, plain = saved
    with torch.no_grad():
        for tensor in plain.parameters():
            tensor += 1
    plain.save_pretrained(tmp_path / "other", max_shard_size="20KB")
    torch.save({"state_dict": plain.state_dict()}, tmp_path / "w.pth")
    images = noise(32)
    old, other, file = (
        pretrained(spec(folder, weights)).features(images)
        for weights in ("transformers", tmp_path / "other", tmp_path / "w.pth")
    )
    assert not torch.allclose(old, other)
    torch.testing.assert_close(other, file)
    index = weights_file(spec(folder, tmp_path / "other"))
    assert index.name == "model.safetensors.index.json"


def test_network_without_a_head_is_a_start(tmp_path):
    plain = save(tmp_path, ViTModel(VIT, add_pooling_layer=False))
    images = noise(32)
    mean, std = (torch.tensor(PROCESSOR[key]).view(3, 1, 1) for key in ("image_mean", "image_std"))
    with torch.no_grad():
        expected = plain((images / 255 - mean) / std).last_hidden_state[:, 0]
        found = pretrained(spec(tmp_path)).features(images)
    torch.testing.assert_close(found, nn.functional.normalize(expected), atol=1e-5, rtol=1e-4)


def test_weights_of_another_model_and_empty_folders_are_refused(saved, tmp_path):
    folder, _ = saved
    save(
        tmp_path / "wide",
        ViTForImageClassification(ViTConfig(**{**VIT.to_dict(), "hidden_size": 32})),
    )
    with pytest.raises(ValueError, match="wide: lacks .*, or has them in another shape"):
        pretrained(spec(folder, tmp_path / "wide"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected model.safetensors or .* found no such file"):
        weights_file(spec(folder, tmp_path / "empty"))


def test_size_is_fixed_where_the_network_reads_one_alone(saved):
    folder, plain = saved
    preprocessing = build_classifier(spec(folder, "random"), 2).preprocessing
    assert preprocessing.mean == tuple(PROCESSOR["image_mean"])
    assert (preprocessing.interpolation, preprocessing.resize_mode) == ("bicubic", "squash")
    view = ViewSpec(size=64, resize=64, interpolation="bicubic", resize_mode="squash")
    if plain.config.model_type == "vit":
        with pytest.raises(ValueError, match="reads images of 32 pixels, its view has 64"):
            check_view(preprocessing, view)
    else:
        check_view(preprocessing, view)


def test_random_weights_are_the_same_each_time(saved):
    folder, _ = saved
    first, second = (pretrained(spec(folder, "random")).state_dict() for _ in range(2))
    assert all(first[key].equal(second[key]) for key in first if key.startswith("backbone."))
