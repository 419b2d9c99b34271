"""Models made elsewhere: described, taken over, souped and exported, in every form."""

import argparse
import json
import re
import shutil

import pytest
import timm
import tokenizers
import torch
import torchvision
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import own_models
from modelsoups.data.specs import ViewSpec
from modelsoups.data.views import apply_view
from modelsoups.models.ingredients import check_ingredients, take_over
from modelsoups.models.own import Request, build, describe
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
    cooked = own_models.cook(models, Request(**FORMS[form]), tmp_path / "out")
    spec, model, folder = cooked.spec, cooked.model, tmp_path / "out/soup"

    load = globals()[f"load_{form}"]
    single = load(str(paths[0])).eval()
    given = paths[0] if paths[0].is_dir() else paths[0].parent
    loaded = load(str(folder if paths[0].is_dir() else folder / paths[0].name)).eval()
    model.load_state_dict(cooked.soup, strict=False)
    side = spec.view["size"]
    assert side == {"timm_train": 64, "timm_folder": 64}.get(form, side)
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
    assert {path.name for path in cooked.written} <= {path.name for path in given.iterdir()}
    for path in cooked.written:
        if path.suffix == ".safetensors":
            before, after = load_file(given / path.name), load_file(path)
            assert {k: (t.shape, t.dtype) for k, t in before.items()} == {
                k: (t.shape, t.dtype) for k, t in after.items()
            }
            with safe_open(path, "pt") as file:
                said = json.loads(file.metadata()["modelsoups"])
            assert said["ingredients"] == cooked.hashes


def test_soup_of_clip_models_has_both_towers_in_half_precision(tmp_path):
    """Both towers and the head are means, under OpenAI's names; the fine-tuning code loads them."""
    clip = own_models.save_clip(tmp_path / "clip")
    paths = [
        own_models.save_clip_classifier(tmp_path / f"{seed}.pt", clip, seed) for seed in (1, 2)
    ]
    models = {path.stem: open_stored(path) for path in paths}
    request = Request(library="open_clip", model=f"local-dir:{clip}", features="normalized")
    cooked = own_models.cook(models, request, tmp_path / "out")
    soup, model, spec = cooked.soup, cooked.model, cooked.spec
    assert spec.mean == [0.1, 0.2, 0.3]
    state = torch.load(tmp_path / "out/soup/1.pt", weights_only=True)
    one, two = (torch.load(path, weights_only=True) for path in paths)
    assert {key: tensor.dtype for key, tensor in state.items()} == {
        key: tensor.dtype for key, tensor in one.items()
    }
    assert {"model.visual.proj", "model.transformer.resblocks.0.ln_1.bias"} <= state.keys()
    for key, tensor in state.items():
        torch.testing.assert_close(tensor, ((one[key].double() + two[key].double()) / 2).half())
    theirs = own_models.build_clip_classifier(clip)
    theirs.load_state_dict(state)
    model.load_state_dict({key: tensor.float() for key, tensor in soup.items()})
    images = IMAGES[..., :32, :32]
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (spec.mean, spec.std))
    with torch.no_grad():
        expected = theirs((images / 255 - mean) / std)
        torch.testing.assert_close(model.eval()(images), expected, atol=1e-5, rtol=1e-4)


def test_tokenizer_and_shards_of_torch_files_are_kept(tmp_path):
    """Shards as transformers wrote them before safetensors, in bfloat16, and a tokenizer."""
    from transformers import AutoModelForImageClassification, PreTrainedTokenizerFast

    paths = {}
    for seed in (1, 2):
        folder = save("transformers", tmp_path / f"run{seed}", seed)
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        names = {
            name: f"pytorch_{name}".replace("safetensors", "bin")
            for name in {*index["weight_map"].values()}
        }
        for name, new in names.items():
            tensors = load_file(folder / name)
            torch.save({k: t.bfloat16() for k, t in tensors.items()}, folder / new)
            (folder / name).unlink()
        index["weight_map"] = {key: names[name] for key, name in index["weight_map"].items()}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        (folder / "model.safetensors.index.json").unlink()
        tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"cat": 0}, unk_token="cat"))
        PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
        paths[f"run{seed}"] = folder
    models = {name: open_stored(path) for name, path in paths.items()}
    assert len(models["run1"].sources) > 1
    soup = own_models.cook(models, Request(library="transformers"), tmp_path / "out").soup
    assert {tensor.dtype for tensor in soup.values()} == {torch.bfloat16}
    written = tmp_path / "out/soup"
    kept = {path.name for path in paths["run1"].iterdir()} - {"optimizer.pt"}
    assert {path.name for path in written.iterdir()} == kept
    assert {"tokenizer.json", "tokenizer_config.json"} <= kept
    loaded = AutoModelForImageClassification.from_pretrained(written)
    head = soup["model.classifier.weight"]
    assert torch.equal(loaded.classifier.weight.bfloat16(), head)


@pytest.mark.parametrize("source", ["local-dir", "hf-hub"])
def test_model_of_timm_is_named_by_a_folder_or_the_hub(tmp_path, monkeypatch, source):
    """Its architecture, arguments and preprocessing are those of the folder, or the hub's cache."""
    folder = save("timm_folder", tmp_path / "start", 0)
    name = f"local-dir:{folder}"
    if source == "hf-hub":
        cache = tmp_path / "hub/models--me--start"
        (cache / "refs").mkdir(parents=True)
        (cache / "refs/main").write_text("0" * 40)
        shutil.copytree(folder, cache / "snapshots" / ("0" * 40))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("timm.models._hub.get_cache_dir", lambda *given: tmp_path / "hub")
        name = "hf-hub:me/start"
    state = timm.create_model(f"local-dir:{folder}", pretrained=True).state_dict()
    save_file(state, tmp_path / "tuned.safetensors")
    stored = open_stored(tmp_path / "tuned.safetensors")
    spec = describe(Request(library="timm", model=name), stored, own_models.CLASSES)
    assert spec.view["size"] == 64
    weights = take_over(stored, spec, build(spec))
    assert {key.removeprefix("model.") for key in weights} == state.keys()


def refused(models, spec):
    """What is said of five models of which three do not fit, the first by its order of classes."""
    with pytest.raises(ValueError) as error:
        check_ingredients(models, spec, build(spec))
    lines = str(error.value).splitlines()
    assert lines[0].startswith("3 of 5 models cannot be ingredients of one soup")
    assert "order (" in lines[1]
    assert "another order of classes: number 0 is 'dog', in a 'cat'" in lines[1]
    return lines


def test_files_that_mix_models_are_refused_with_what_differs(tmp_path):
    """State dicts of timm say nothing of themselves but by names and shapes."""

    def write(name, model, classes=3, **more):
        module = timm.create_model(model, num_classes=classes)
        torch.save({"state_dict": module.state_dict(), **more}, tmp_path / f"{name}.pt")
        return open_stored(tmp_path / f"{name}.pt")

    order = {"cat": 0, "dog": 1, "owl": 2}
    models = {
        "a": write("a", "test_resnet", class_to_idx=order),
        "b": write("b", "test_resnet", class_to_idx=order),
        "order": write("order", "test_resnet", class_to_idx={"dog": 0, "cat": 1, "owl": 2}),
        "more": write("more", "test_resnet", 4),
        "other": write("other", "test_efficientnet"),
    }
    request = Request(library="timm", model="test_resnet")
    spec = describe(request, models["a"], own_models.CLASSES)
    lines = refused(models, spec)
    assert "more (" in lines[2]
    assert "fc.weight has shape (4, " in lines[2]
    assert "other (" in lines[3]
    assert "it lacks" in lines[3]


def described(form, path):
    return describe(Request(**FORMS[form]), open_stored(path), own_models.CLASSES)


def test_model_sees_images_as_its_training_script_was_told(tmp_path):
    spec = described("timm_train", save("timm_train", tmp_path, 0))
    assert spec.model == "test_efficientnet"
    assert spec.mean == [0.5] * 3
    assert spec.view["size"] == 64
    assert spec.view["resize"] == 80  # 64 / 0.8
    assert any("arguments" in each for each in spec.assumed)


def test_model_has_the_epsilon_that_its_training_script_was_told(tmp_path):
    path = save("timm_train", tmp_path, 0)
    content = torch.load(path, weights_only=False)
    content["args"].bn_eps = 0.5
    torch.save(content, path)
    norms = [
        each for each in build(described("timm_train", path)).modules() if hasattr(each, "eps")
    ]
    assert norms
    assert {each.eps for each in norms} == {0.5}


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


@pytest.mark.parametrize("kind", ["EfficientNet", "PoolFormer", "Levit", "MobileViT"])
def test_processors_of_their_own_kind_are_as_the_library_has_them_or_refused(tmp_path, kind):
    import transformers

    save("transformers", tmp_path, 0)
    getattr(transformers, f"{kind}ImageProcessor")().save_pretrained(tmp_path)
    if kind in ("Levit", "MobileViT"):
        with pytest.raises(ValueError, match="is not read; .* say size, mean and std"):
            described("transformers", tmp_path)
        return
    spec = described("transformers", tmp_path)
    picture = Image.fromarray(IMAGES[0].byte().permute(1, 2, 0).numpy()).resize((300, 400))
    view = torch.tensor(apply_view(ViewSpec(**spec.view), picture)).permute(2, 0, 1)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (spec.mean, spec.std))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    pixels = processor(picture, return_tensors="pt").pixel_values[0]
    torch.testing.assert_close((view / 255 - mean) / std, pixels, atol=1e-4, rtol=1e-4)


def test_middle_that_the_library_cuts_out_a_pixel_aside_is_let_pass(tmp_path):
    from transformers import BitImageProcessor

    save("transformers", tmp_path, 0)
    sizes = {"size": {"shortest_edge": 37}, "crop_size": {"height": 32, "width": 32}}
    BitImageProcessor(**sizes).save_pretrained(tmp_path)
    view = described("transformers", tmp_path).view
    assert (view["size"], view["resize"]) == (32, 37)


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


@pytest.mark.parametrize(
    ("form", "model", "default"),
    [
        ("torchvision", "shufflenet_v2_x0_5", "that of ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1"),
        ("timm_file", "test_resnet", "timm's default for test_resnet"),
    ],
)
def test_arguments_of_another_script_are_not_said_to_be_those_of_the_librarys(
    tmp_path, form, model, default
):
    args = argparse.Namespace(model=model, lr=0.1)
    torch.save({"model": {"x": torch.ones(1)}, "args": args}, tmp_path / "last.pth")
    [assumed] = described(form, tmp_path / "last.pth").assumed
    assert default in assumed


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("cat", "dog", "owl"), []),
        (("cat", "owl", "dog"), ["output 1 is 'dog', which .* calls 'owl' .2 of 3 outputs"]),
        (("Katze", "dog", "owl"), ["output 0 is 'cat', which .* calls 'Katze' .1 of 3 outputs"]),
    ],
)
def test_classes_that_the_model_calls_otherwise_are_told_of(tmp_path, names, said):
    """In a folder's config, and in a torch file."""
    order = {name: number for number, name in enumerate(names)}
    torch.save({"model": {"x": torch.ones(1)}, "class_to_idx": order}, tmp_path / "a.pt")
    folder = save("transformers", tmp_path / "b", 0, names)
    for spec in (described("timm_file", tmp_path / "a.pt"), described("transformers", folder)):
        found = [each for each in spec.assumed if each.startswith("classes")]
        assert len(found) == len(said)
        assert all(re.search(*each) for each in zip(said, found, strict=True))


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
    lines = refused(models, described("transformers", first))
    assert "4 classes, a has 3" in lines[2]
    assert "classifier.weight has shape (4, 16), expected (3, 16)" in lines[2]
    assert "architecture test_vit, that of a is ViTForImageClassification" in lines[3]


@pytest.mark.parametrize("form", ["transformers", "timm_train"])
def test_models_that_saw_images_in_several_ways_are_refused_unless_the_config_says_one(
    tmp_path, form
):
    paths = [save(form, tmp_path / f"run{seed}", seed) for seed in (1, 2)]
    if form == "transformers":
        path, key = paths[1] / "preprocessor_config.json", "image_mean"
        path.write_text(json.dumps({**json.loads(path.read_text()), key: [0.4] * 3}))
    else:
        content = torch.load(paths[1], weights_only=False)
        content["args"].mean, key = (0.4,) * 3, "mean"
        torch.save(content, paths[1])
    models = {f"run{i}": open_stored(path) for i, path in enumerate(paths, 1)}
    spec = described(form, paths[0])
    message = rf"run2 .*{key} \[0.4, 0.4, 0.4\], in run1 \[0.5, .*say by `soup.preprocessing`"
    with pytest.raises(ValueError, match=message):
        check_ingredients(models, spec, build(spec))
    check_ingredients(models, spec, build(spec), seen_alike=True)
    start = {"initialization": models["run2"], "run1": models["run1"]}
    check_ingredients(start, spec, build(spec))  # of it the weights alone count


def test_half_precision_and_old_numbers_keep_their_dtype(tmp_path):
    path = save("timm_file", tmp_path, 0)
    half = {k: t.half() if t.is_floating_point() else t for k, t in load_file(path).items()}
    save_file(half, path)
    spec = described("timm_file", path)
    weights = take_over(open_stored(path), spec, build(spec))
    dtypes = {str(tensor.dtype) for tensor in weights.values()}
    assert dtypes == {"torch.float16", "torch.int64"}


def test_bfloat16_model_of_more_than_256_tensors_is_taken_over(tmp_path):
    """bfloat16, which its config says, has no whole numbers above 256 that are odd."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    sizes = {"hidden_size": 8, "intermediate_size": 8, "image_size": 32, "num_attention_heads": 1}
    config = ViTConfig(num_hidden_layers=18, num_labels=3, **sizes)
    model = own_models.seeded(1, lambda: ViTForImageClassification(config)).bfloat16()
    model.save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    spec = described("transformers", tmp_path)
    weights = take_over(open_stored(tmp_path), spec, build(spec))
    state = {f"model.{key}": tensor for key, tensor in model.state_dict().items()}
    assert len(state) > 256
    torch.testing.assert_close(weights, state, rtol=0, atol=0)


def test_what_models_do_not_share_beside_the_weights_does_not_keep_the_soup_from_its_file(
    tmp_path, caplog
):
    """Of a loss that both have the mean; of metrics and an average that differ the first's."""
    given = []
    for seed, metric in ((1, torch.ones(3)), (2, torch.ones(5))):
        path = save("lightning", tmp_path / f"run{seed}", seed)
        content = torch.load(path, weights_only=True)
        more = {"metric.total": metric, "best": torch.tensor(-torch.inf)}
        content["state_dict"] |= {**more, **({"ema.0.weight": torch.ones(2)} if seed == 1 else {})}
        torch.save(content, path)
        given.append(path)
    models = {path.parent.name: open_stored(path) for path in given}
    own_models.cook(models, Request(**FORMS["lightning"]), tmp_path / "out")
    state = torch.load(tmp_path / "out/soup/best.ckpt", weights_only=True)["state_dict"]
    assert state["loss.weight"].tolist() == [1.5] * 3
    assert state["metric.total"].tolist() == [1] * 3
    assert state["best"].item() == -torch.inf
    assert state["ema.0.weight"].tolist() == [1] * 2
    assert "are kept: best, ema.0.weight, metric.total" in caplog.text


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


def test_model_that_open_clip_does_not_have_is_refused():
    request = Request(library="open_clip", model="ViT-S-32-alto", features="plain")
    with pytest.raises(ValueError, match=r"no model 'ViT-S-32-alto'; similar: .*ViT-S-32-alt"):
        describe(request, NOTHING, own_models.CLASSES)


def test_open_clip_model_that_reads_any_size_is_given_its_own(tmp_path, monkeypatch):
    import open_clip

    config = {
        "embed_dim": 16,
        "vision_cfg": {
            **{"timm_model_name": "test_resnet", "timm_model_pretrained": False},
            **{"timm_pool": "", "timm_proj": "linear", "image_size": 96},
        },
        "text_cfg": {"width": 16, "heads": 2, "layers": 1},
    }
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "any-size", config)
    torch.save({"x": torch.ones(1)}, tmp_path / "x.pt")
    request = Request(library="open_clip", model="any-size", features="plain")
    spec = describe(request, open_stored(tmp_path / "x.pt"), own_models.CLASSES)
    assert spec.view["size"] == spec.view["resize"] == 96


def test_function_of_the_users_own_has_to_be_there():
    spec = Request(library="python", **{**PYTHON, "model": "own_models:no_such"})
    with pytest.raises(ValueError, match="own_models:no_such: expected `package.module:function`"):
        build(describe(spec, NOTHING, own_models.CLASSES))


class Gives(torch.nn.Module):
    """A model that gives what a function makes of an image's mean (b,)."""

    def __init__(self, give):
        super().__init__()
        self.give = give

    def forward(self, pixels):
        return self.give(pixels.mean((1, 2, 3)))


@pytest.mark.parametrize(
    ("give", "found"),
    [
        (lambda mean: torch.stack([mean] * 5, 1), r"\(2, 5\)"),
        (lambda mean: mean, r"\(2,\)"),
        (lambda mean: (mean, mean), "tuple"),
    ],
)
def test_model_that_does_not_give_a_number_for_each_class_is_told_of(monkeypatch, give, found):
    """Of more outputs than classes the first would be taken for theirs."""
    monkeypatch.setattr(own_models, "build_net", lambda: Gives(give))
    model = build(describe(Request(library="python", **PYTHON), NOTHING, own_models.CLASSES))
    with pytest.raises(ValueError, match=rf"expected outputs of shape \(2, 3\), .* found {found}"):
        model(IMAGES)


class NOTHING:
    path, said, folder = "here", {}, None
