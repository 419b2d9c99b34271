"""Models made elsewhere: described, taken over, souped and exported, in every form."""

import argparse
import json

import pytest
import timm
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import own_models
from modelsoups.models.ingredients import check_ingredients, take_over
from modelsoups.models.own import Request, build, describe
from modelsoups.soups.own import export
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import write_weights
from modelsoups.weights.stored import open_stored

IMAGES = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0))


def load_timm_file(path):
    return timm.create_model("test_resnet", num_classes=3, checkpoint_path=path)


def load_timm_train(path):
    return timm.create_model("test_efficientnet", num_classes=3, checkpoint_path=path)


def load_timm_folder(path):
    return timm.create_model(f"local-dir:{path}", pretrained=True)


def load_transformers(path):
    from transformers import AutoModelForImageClassification

    return AutoModelForImageClassification.from_pretrained(path)


def load_torchvision(path):
    model = torchvision.models.get_model("shufflenet_v2_x0_5", num_classes=3)
    with torch.serialization.safe_globals([argparse.Namespace]):
        model.load_state_dict(torch.load(path, weights_only=True)["model"])
    return model


def load_lightning(path):
    content = torch.load(path, weights_only=True)
    assert content["pytorch-lightning_version"] == "2.5.0"
    state = content["state_dict"]
    assert state.pop("loss.weight").tolist() == ([1.5] * 3 if "/soup/" in path else [1.0] * 3)
    model = own_models.build_net()
    model.load_state_dict({key.removeprefix("net."): tensor for key, tensor in state.items()})
    return model


PYTHON = {
    "model": "own_models:build_net",
    "preprocessing": {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3},
}
FORMS = {
    "timm_file": {"library": "timm", "model": "test_resnet"},
    "timm_train": {"library": "timm"},
    "timm_folder": {"library": "timm"},
    "transformers": {"library": "transformers"},
    "torchvision": {"library": "torchvision", "model": "shufflenet_v2_x0_5"},
    "lightning": {"library": "python", **PYTHON},
}


def save(form, folder, seed, *arguments):
    folder.mkdir(parents=True, exist_ok=True)
    return getattr(own_models, f"save_{form}")(folder, seed, *arguments)


@pytest.mark.filterwarnings("ignore::UserWarning:timm", "ignore:.*`timm:FutureWarning")
@pytest.mark.parametrize("form", FORMS)
def test_soup_is_exported_as_its_library_loads_it(tmp_path, form):
    """The library's own loading function gives the logits of the soup, whose tensors are means."""
    paths = [save(form, tmp_path / f"run{seed}", seed) for seed in (1, 2)]
    models = {f"run{i}": open_stored(path) for i, path in enumerate(paths, 1)}
    spec = describe(Request(**FORMS[form]), models["run1"], own_models.CLASSES)
    model = build(spec)
    check_ingredients(models, spec, model)
    soup = average([take_over(each, spec, model) for each in models.values()])
    write_weights(tmp_path / "soup.safetensors", soup)
    record = {
        "recipe": {"kind": "uniform"},
        "ingredients": [*models],
        "coefficients": [0.5, 0.5],
        "held_out_accuracy": 0.5,
    }
    hashes = dict.fromkeys(models, "0" * 64)
    folder = tmp_path / "soup"
    written = export(spec, record, tmp_path / "soup.safetensors", models, hashes, folder)

    load = globals()[f"load_{form}"]
    single = load(str(paths[0])).eval()
    given = paths[0] if paths[0].is_dir() else paths[0].parent
    loaded = load(str(folder if paths[0].is_dir() else folder / paths[0].name)).eval()
    model.load_state_dict(soup, strict=False)
    side = spec.view["size"]
    images = IMAGES[..., :side, :side]
    pixels = (images / 255 - torch.tensor(spec.mean).view(3, 1, 1)) / torch.tensor(spec.std).view(
        3, 1, 1
    )
    with torch.no_grad():
        expected = model.eval()(images)
        found, alone = (getattr(out := net(pixels), "logits", out) for net in (loaded, single))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found, alone, atol=1e-3)
    # The files are those of an ingredient, with the same names, shapes and dtypes.
    assert {path.name for path in written} <= {path.name for path in given.iterdir()}
    for path in written:
        if path.suffix == ".safetensors":
            before, after = load_file(given / path.name), load_file(path)
            assert {k: (t.shape, t.dtype) for k, t in before.items()} == {
                k: (t.shape, t.dtype) for k, t in after.items()
            }
            with safe_open(path, "pt") as file:
                said = json.loads(file.metadata()["modelsoups"])
            assert said["ingredients"] == hashes


def described(form, path):
    return describe(Request(**FORMS[form]), open_stored(path), own_models.CLASSES)


def test_model_sees_images_as_its_training_script_was_told(tmp_path):
    spec = described("timm_train", save("timm_train", tmp_path, 0))
    assert spec.model == "test_efficientnet"
    assert spec.mean == [0.5] * 3
    assert spec.view["size"] == 64
    assert spec.view["resize"] == 80  # 64 / 0.8
    assert any("arguments" in each for each in spec.assumed)


def test_model_sees_images_as_its_processor_does(tmp_path):
    spec = described("transformers", save("transformers", tmp_path, 0))
    assert spec.view == {
        "size": 32,
        "resize": 32,
        "interpolation": "bilinear",
        "resize_mode": "squash",
    }
    assert spec.mean == [0.5] * 3
    assert spec.assumed == []
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match="soup.preprocessing: mean, std needed"):
        described("transformers", tmp_path)


def test_what_no_file_says_is_told_of_and_the_config_can_say_it(tmp_path):
    path = save("timm_file", tmp_path, 0)
    assert any(
        "timm's default for test_resnet" in each for each in described("timm_file", path).assumed
    )
    request = Request(
        **FORMS["timm_file"], preprocessing={"size": 48, "mean": [0, 0, 0], "std": [1, 1, 1]}
    )
    spec = describe(request, open_stored(path), own_models.CLASSES)
    assert spec.view["size"] == spec.view["resize"] == 48  # not resized as for timm's own size
    assert spec.mean == [0, 0, 0]
    [assumed] = spec.assumed  # what is still not said
    assert assumed.startswith("preprocessing (resize_mode, interpolation): timm's default")
    everything = {**request.preprocessing, "resize_mode": "squash", "interpolation": "bilinear"}
    request = Request(**FORMS["timm_file"], preprocessing=everything)
    assert describe(request, open_stored(path), own_models.CLASSES).assumed == []


def test_folder_that_mixes_models_is_refused_with_what_differs(tmp_path):
    """Another architecture, another number of classes, another order of them."""
    first = save("transformers", tmp_path / "a", 0)
    models = {
        "a": open_stored(first),
        "b": open_stored(save("transformers", tmp_path / "b", 1)),
        "order": open_stored(save("transformers", tmp_path / "order", 1, ("dog", "cat", "owl"))),
        "more": open_stored(
            save("transformers", tmp_path / "more", 1, (*own_models.CLASSES, "yak"))
        ),
        "vit": open_stored(save("timm_folder", tmp_path / "vit", 1)),
    }
    spec = described("transformers", first)
    with pytest.raises(ValueError) as error:
        check_ingredients(models, spec, build(spec))
    lines = str(error.value).splitlines()
    assert lines[0].startswith("3 of 5 models cannot be ingredients of one soup")
    assert "order (" in lines[1]
    assert "another order of classes: number 0 is 'dog', in a 'cat'" in lines[1]
    assert "4 classes, a has 3" in lines[2]
    assert "classifier.weight has shape (4, 16), expected (3, 16)" in lines[2]
    assert "architecture test_vit, that of a is ViTForImageClassification" in lines[3]


def test_half_precision_and_old_numbers_keep_their_dtype(tmp_path):
    path = save("timm_file", tmp_path, 0)
    half = {k: t.half() if t.is_floating_point() else t for k, t in load_file(path).items()}
    save_file(half, path)
    spec = described("timm_file", path)
    weights = take_over(open_stored(path), spec, build(spec))
    dtypes = {str(tensor.dtype) for tensor in weights.values()}
    assert dtypes == {"torch.float16", "torch.int64"}


def test_head_of_an_open_clip_model_is_found_by_its_shape(tmp_path):
    request = Request(library="open_clip", model="ViT-S-32-alt", features="normalized")
    tower = torch.nn.Linear(2, 2)  # a file that says nothing
    save_file(tower.state_dict(), tmp_path / "x.safetensors")
    spec = describe(request, open_stored(tmp_path / "x.safetensors"), own_models.CLASSES)
    model = build(spec)
    state = {
        key.replace("visual.", "model.visual.").replace("head.", "classification_head."): tensor
        for key, tensor in model.model.state_dict().items()
    }
    state = {key: tensor.contiguous() for key, tensor in state.items()}
    save_file({**state, "model.logit_scale": torch.ones(())}, tmp_path / "a.safetensors")
    weights = take_over(open_stored(tmp_path / "a.safetensors"), spec, model)
    assert torch.equal(weights["model.head.weight"], model.model.head.weight)
    with pytest.raises(ValueError, match="soup.features: needed, `normalized` or `plain`"):
        describe(
            Request(library="open_clip", model="ViT-S-32-alt"),
            open_stored(tmp_path / "x.safetensors"),
            own_models.CLASSES,
        )


def test_function_of_the_users_own_has_to_be_there():
    spec = Request(library="python", **{**PYTHON, "model": "own_models:no_such"})
    with pytest.raises(ValueError, match="own_models:no_such: expected `package.module:function`"):
        build(describe(spec, NOTHING, own_models.CLASSES))


class NOTHING:
    path, said, folder = "here", {}, None
