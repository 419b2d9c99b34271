"""Networks of torchvision as towers."""

import argparse

import pytest
import torch
import torchvision
from torch import nn

from modelsoups.data.specs import ViewSpec
from modelsoups.models.backbones import BackboneSpec, build_classifier, check_view, weights_file
from modelsoups.models.torchvision_towers import build_torchvision
from small_towers import noise, pretrained


def spec(model="shufflenet_v2_x0_5", weights="random"):
    return BackboneSpec(library="torchvision", model=model, weights=str(weights))


def test_features_are_what_the_last_linear_layer_reads(tmp_path):
    """Of a checkpoint of the reference script, whose head has other classes."""
    plain = torchvision.models.get_model("shufflenet_v2_x0_5", num_classes=7).eval()
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": plain.state_dict(), "args": argparse.Namespace(lr=0.1)}, path)
    classifier = pretrained(spec(weights=path))
    seen = []
    plain.fc.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    images = noise(64)
    mean, std = classifier.preprocessing.mean, classifier.preprocessing.std
    assert mean == (0.485, 0.456, 0.406)
    pixels = (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        plain(pixels)
        found = classifier.features(images)
    expected = nn.functional.normalize(seen[0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert weights_file(spec(weights=path)) == path


def test_file_of_another_model_and_unknown_names_are_refused(tmp_path):
    plain = torchvision.models.get_model("shufflenet_v2_x1_0", num_classes=7)
    torch.save(plain.state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="w.pth: does not fit the backbone: .*has shape"):
        pretrained(spec(weights=tmp_path / "w.pth"))
    with pytest.raises(
        ValueError, match="torchvision has no model 'resnet19'; similar: .*resnet18"
    ):
        spec("resnet19")
    with pytest.raises(ValueError, match="squeezenet1_1: its head is no linear layer"):
        build_classifier(spec("squeezenet1_1"), 2)


def test_transformer_reads_one_size():
    with torch.device("meta"):  # shapes alone; its 88 M numbers take seconds
        tower = build_torchvision(spec("vit_b_32")).preprocessing
    with pytest.raises(ValueError, match="reads images of 224 pixels, its view has 64"):
        check_view(tower, ViewSpec(size=64, resize=64))


def test_published_weights_are_a_file_of_torchs_cache():
    assert weights_file(spec("resnet18", "torchvision")).name == "resnet18-f37072fd.pth"
