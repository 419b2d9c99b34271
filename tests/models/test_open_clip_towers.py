import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import own_models
from modelsoups.data.specs import ViewSpec
from modelsoups.data.views import apply_view
from modelsoups.models.backbones import (
    BackboneSpec,
    build_classifier,
    check_view,
    load_pretrained,
    load_text_tower,
    same_each_time,
    weights_file,
)
from modelsoups.models.heads import zero_shot_head
from modelsoups.models.open_clip_towers import create_open_clip
from small_towers import noise, pretrained

pytestmark = pytest.mark.slow

CLIP = BackboneSpec(library="open_clip", model="ViT-B-32-quickgelu", weights="random")
SMALL_CLIP = BackboneSpec(library="open_clip", model="ViT-S-32-alt", weights="random")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clip() -> nn.Module:
    """Both towers of CLIP as open_clip makes them."""
    with same_each_time():
        return create_open_clip(CLIP).eval()


def test_zero_shot_head_equals_open_clips(clip):
    names, templates = ["tench", "goldfish", "great white shark"], ["a photo of a {}.", "a {}."]
    text = load_text_tower(CLIP, CPU)
    head = zero_shot_head(text.embed, text.scale, names, templates)
    tokenizer = open_clip.get_tokenizer(CLIP.model)
    theirs = open_clip.build_zero_shot_classifier(clip, tokenizer, names, templates)  # (512, 3)
    torch.testing.assert_close(head.weight / clip.logit_scale.exp().item(), theirs.T)
    assert not head.bias.any()


def test_clip_classifier_with_the_zero_shot_head_gives_open_clips_logits(clip):
    """From an image file: our view and normalisation or open_clip's transform, then two towers."""
    names, templates = ["tench", "goldfish"], ["a photo of a {}."]
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 260, 3), np.uint8))
    model, text = pretrained(CLIP), load_text_tower(CLIP, CPU)
    head = zero_shot_head(text.embed, text.scale, names, templates)
    model.head.load_state_dict({"weight": head.weight, "bias": head.bias})
    pixels = torch.from_numpy(apply_view(ViewSpec(size=224, resize=224), image).copy())
    transform = image_transform_v2(PreprocessCfg(**clip.visual.preprocess_cfg), is_train=False)
    with torch.no_grad():
        ours = model(pixels.permute(2, 0, 1)[None])
        embedding = clip.encode_image(transform(image)[None], normalize=True)
        theirs = (
            clip.logit_scale.exp()
            * embedding
            @ open_clip.build_zero_shot_classifier(
                clip, open_clip.get_tokenizer(CLIP.model), names, templates
            )
        )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_clip_classifier_holds_the_image_tower_alone(clip):
    keys = build_classifier(CLIP, num_classes=2).state_dict().keys()
    tower = {f"backbone.{name}" for name in clip.visual.state_dict()}
    assert keys == {*tower, "head.weight", "head.bias"}


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_local_file_of_both_towers_is_read_like_a_published_one(tmp_path, suffix):
    torch.manual_seed(1)
    source = open_clip.create_model(SMALL_CLIP.model, pretrained_text=False)
    path = tmp_path / f"weights.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(source.state_dict(), path)
    spec = BackboneSpec(library="open_clip", model=SMALL_CLIP.model, weights=str(path))
    for name, tensor in pretrained(spec).backbone.state_dict().items():
        assert torch.equal(tensor, source.visual.state_dict()[name])
    text = load_text_tower(spec, CPU)
    tokens = open_clip.get_tokenizer(spec.model)(["a dog"])
    with torch.no_grad():
        torch.testing.assert_close(text.embed(["a dog"]), source.encode_text(tokens, True))


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("ViT-B-32", "openai", "with QuickGELU, .* use the model ViT-B-32-quickgelu"),
        ("ViT-B-32-quickgelu", "laion2b_s34b_b79k", r"'laion2b_s34b_b79k' for \['ViT-B-32'\]"),
        ("ViT-B-32", "weights/none.pt", "no such file; it has .*'openai'"),
        ("ViT-B-31", "openai", r"no model 'ViT-B-31'; similar: .*'ViT-B-32'"),
    ],
)
def test_weights_that_do_not_fit_a_clip_model_are_refused(model, weights, message):
    with pytest.raises(ValueError, match=message):
        BackboneSpec(library="open_clip", model=model, weights=weights)


def test_tag_that_fits_its_model_is_accepted():
    for model, tag in [("ViT-B-32-quickgelu", "openai"), ("ViT-B-32", "laion2b_s34b_b79k")]:
        BackboneSpec(library="open_clip", model=model, weights=tag)


def test_normalisation_is_that_of_the_published_weights():
    def mean(model, weights):
        spec = BackboneSpec(library="open_clip", model=model, weights=weights)
        return build_classifier(spec, 2).preprocessing.mean

    assert mean("ViT-B-32-quickgelu", "openai") == (0.48145466, 0.4578275, 0.40821073)
    assert mean("ViT-B-16-SigLIP", "webli") == (0.5, 0.5, 0.5)


def test_random_clip_weights_are_the_same_each_time_and_leave_the_generator_alone():
    model = build_classifier(SMALL_CLIP, 2)
    before = torch.random.get_rng_state()
    towers, texts = [], []
    for _ in range(2):
        load_pretrained(SMALL_CLIP, model)
        towers.append(model.backbone.state_dict()["conv1.weight"].clone())
        texts.append(load_text_tower(SMALL_CLIP, CPU).embed(["a dog"]))
    assert torch.equal(*towers)
    assert torch.equal(*texts)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_convolutional_tower_of_open_clip_reads_any_size():
    """ALIGN's stand-in is fine-tuned at 289 and evaluated at 360 pixels (J.2.2)."""
    spec = BackboneSpec(library="open_clip", model="convnext_tiny", weights="random")
    model = build_classifier(spec, 2).eval()
    check_view(model.preprocessing, ViewSpec(size=90, resize=90))
    with torch.inference_mode():
        for size in (72, 90):  # 289 and 360 are as little multiples of the stride as these are
            assert model(noise(size)).shape == (2, 2)


def test_model_in_a_folder_has_its_own_towers_texts_and_normalisation(tmp_path):
    folder = own_models.save_clip(tmp_path / "clip")
    spec = BackboneSpec(library="open_clip", model=f"local-dir:{folder}", weights="open_clip")
    source = open_clip.create_model(spec.model)
    model = pretrained(spec)
    assert model.preprocessing.mean == (0.1, 0.2, 0.3)
    assert model.preprocessing.fixed_size == 32
    assert weights_file(spec) == folder / "open_clip_model.safetensors"
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, source.visual.state_dict()[name])
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(RuntimeError):  # and no random weights
        pretrained(spec)
    with pytest.raises(ValueError, match="comes with weights: expected `open_clip`"):
        BackboneSpec(library="open_clip", model=spec.model, weights="openai")
