"""A soup of models made elsewhere, from a folder of checkpoints to one that its library loads."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import yaml
from PIL import Image
from sklearn.metrics import average_precision_score, mean_absolute_error

import own_models
from checkouts import ROOT, copy_workflow, planned, snakemake
from modelsoups.base.files import read_json, sha256
from modelsoups.evaluation.logits import read_logits
from modelsoups.weights.checkpoints import read_weights


def write_images(folder: Path) -> list[Path]:
    """Four images of each class, of several shapes, of noise on a colour."""
    rng = np.random.default_rng(0)
    paths = []
    for number, name in enumerate(own_models.CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 256, (32 + 8 * i, 32, 3)) // 2
            pixels[..., number] += 100
            paths.append(folder / name / f"{i}.png")
            Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
    return paths


def stored(folder: Path, model: str) -> np.ndarray:
    """The logits of a model, as the study in that folder has them."""
    path = f"results/sweeps/own/models/{model}/logits/held-out.parquet"
    return read_logits(folder / path).logits


def logits_by_transformers(folder: Path, paths: list[Path]) -> np.ndarray:
    """What the library's own model and processor make of images."""
    from transformers import AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    return logits_of(model, folder, paths)


@torch.no_grad()
def logits_of(model: torch.nn.Module, folder: Path, paths: list[Path]) -> np.ndarray:
    """What a model makes of images as the processor in a folder has them."""
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    images = [Image.open(path).convert("RGB") for path in paths]
    return model(**processor(images, return_tensors="pt")).logits.numpy()


def test_soup_of_a_trainers_checkpoints(tmp_path):
    """The study's logits are the library's, and those of the exported soup are the soup's."""
    copy_workflow(tmp_path)
    paths = write_images(tmp_path / "data/val")
    for step in (1, 2):
        folder = tmp_path / f"out/checkpoint-{step}"
        folder.mkdir(parents=True)
        own_models.save_transformers(folder, step)
    labels = np.repeat(range(3), 4)
    first = logits_by_transformers(tmp_path / "out/checkpoint-1", paths)
    config = {
        "soup": {
            "checkpoints": "out",
            "library": "transformers",
            "held_out": {"path": "data/val", "layout": "class-folders"},
            "recipe": {"kind": "uniform"},
            "accuracy": {"checkpoint-1": float((first.argmax(1) == labels).mean())},
        }
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    checked = snakemake(tmp_path, "check", "--configfile", "own.yaml")
    assert checked.returncode == 0, checked.stdout
    assert "held-out: 12 images, 3 of 3 classes with 4 to 4 each" in checked.stdout
    assert "2 models, vit of transformers, fit together" in checked.stdout
    assert "Nothing is wrong." in checked.stdout and not (tmp_path / "results/data").exists()
    done = snakemake(tmp_path, "soup", "--configfile", "own.yaml")
    assert done.returncode == 0, done.stdout
    np.testing.assert_allclose(stored(tmp_path, "checkpoint-1"), first, atol=1e-5)
    assert (tmp_path / "results/soup/diagnosis.html").exists()
    soup = tmp_path / "results/soup/model"
    found = logits_by_transformers(soup, paths)
    np.testing.assert_allclose(stored(tmp_path, "uniform"), found, atol=1e-5)
    before = {path.name for path in (tmp_path / "out/checkpoint-1").iterdir()}
    after = {path.name for path in soup.iterdir() if path.name[0] != "."}
    assert after == before - {"optimizer.pt"} | {"README.md"}
    assert read_json(soup / "config.json") == read_json(tmp_path / "out/checkpoint-1/config.json")

    # A replaced file is noticed: that model is taken over again, the other is not.
    assert planned(tmp_path, "own.yaml", ("soup",)) == {}
    own_models.save_transformers(tmp_path / "out/checkpoint-2", 3)
    jobs = planned(tmp_path, "own.yaml", ("soup",))
    assert (jobs["import_own"], jobs["evaluate_held_out"]) == (1, 2)  # it, and the soup
    assert "describe_model" not in jobs


def test_soup_of_nothing_says_what_to_write(tmp_path):
    copy_workflow(tmp_path)
    done = snakemake(tmp_path, "soup", "-n", "--configfile", "config/test.yaml")
    assert done.returncode != 0
    assert "the config has no section `soup`; config/own.yaml is an example" in done.stdout


@pytest.mark.parametrize("predicts", ["labels", "numbers"])
def test_soup_of_models_that_give_labels_or_numbers(tmp_path, predicts):
    """Learned and greedy soups of three outputs, scored by scikit-learn on what timm loads."""
    copy_workflow(tmp_path)
    paths = write_images(tmp_path / "pictures")
    rng = np.random.default_rng(1)
    names = ["warm", "round", "old"]
    targets = rng.random((len(paths), 3)) if predicts == "numbers" else rng.random((12, 3)) > 0.5
    pictures = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    table = pd.DataFrame({"image": pictures, **dict(zip(names, targets.T, strict=True))})
    (tmp_path / "data").mkdir()
    table.to_parquet(tmp_path / "data/val.parquet")
    for seed in (1, 2, 3):
        (tmp_path / f"runs/{seed}").mkdir(parents=True)
        own_models.save_timm_file(tmp_path / f"runs/{seed}", seed)
    config = {
        "soup": {
            **{"checkpoints": "runs/*/model.safetensors", "library": "timm"},
            **{"model": "test_resnet", "predicts": predicts},
            "held_out": {"path": "data/val.parquet", "targets": names},
            "recipe": {"kind": "learned", "epochs": 1},
        }
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    scores = "results/sweeps/own/scores.parquet"
    done = snakemake(tmp_path, "soup", scores, "--configfile", "own.yaml")
    assert done.returncode == 0, done.stdout
    [soup] = (tmp_path / "results/soup/model").glob("*.safetensors")
    model = timm.create_model("test_resnet", num_classes=3, checkpoint_path=str(soup)).eval()
    data = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**data, is_training=False)
    with torch.no_grad():
        pixels = torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])
        found = model(pixels).numpy()
    np.testing.assert_allclose(stored(tmp_path, "learned"), found, atol=1e-5)
    metric, function = {
        "labels": ("average_precision", average_precision_score),
        "numbers": ("mae", mean_absolute_error),
    }[predicts]
    table = pd.read_parquet(tmp_path / scores).set_index(["model", "metric"])
    assert table.loc[("learned", metric), "value"] == pytest.approx(
        function(targets, found), abs=1e-5
    )


def test_worked_example_of_an_evaluator_of_ones_own(tmp_path):
    """What docs/own.md shows: a soup of segmentation networks by mean intersection over union."""
    copy_workflow(tmp_path)
    for name in ("segmentation.py", "segmentation.yaml"):
        shutil.copy(ROOT / "docs/own" / name, tmp_path)
    done = subprocess.run([sys.executable, "segmentation.py"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    checked = snakemake(tmp_path, "check", "--configfile", "segmentation.yaml")
    assert "function segmentation:mean_iou: it is there" in checked.stdout
    made = snakemake(tmp_path, "soup", "--configfile", "segmentation.yaml")
    assert made.returncode == 0, made.stdout
    record = read_json(tmp_path / "results/sweeps/own/models/greedy/record.json")
    best = max(each["held_out_mean_iou"] for each in record["candidates"])
    assert record["held_out_mean_iou"] >= best
    # The exported file is read by the example's own code, and scores what the record says.
    sys.path.insert(0, str(tmp_path))
    try:
        example = importlib.import_module("segmentation")
        model = example.build().eval()
        [weights] = (tmp_path / "results/soup/model").glob("*.pt")
        model.load_state_dict(torch.load(weights))
        with torch.no_grad():
            found = example.mean_iou(model, str(tmp_path / "data/val.npz")).mean()
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("segmentation", None)
    assert found == pytest.approx(record["held_out_mean_iou"], abs=1e-4)
    page = (tmp_path / "results/soup/report.html").read_text()
    assert "mean_iou" in page and "diagnosis.html" in page
    assert "mean_iou" in (tmp_path / "results/soup/diagnosis.html").read_text().lower()
    # A network that is built otherwise is another model, of all files.
    assert planned(tmp_path, "segmentation.yaml", ("soup",)) == {}
    with open(tmp_path / "segmentation.py", "a", encoding="utf-8") as file:
        file.write("# An edit.\n")
    jobs = planned(tmp_path, "segmentation.yaml", ("soup",))
    assert (jobs["describe_model"], jobs["import_own"]) == (1, 4)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_soup_of_adapters_is_that_of_the_models_with_them(tmp_path):
    """Taken over they give PEFT's logits, and the soup, loaded by transformers, the study's."""
    copy_workflow(tmp_path)
    paths = write_images(tmp_path / "data/val")
    base = own_models.save_base(tmp_path / "base")
    first, second = (
        own_models.save_adapter(tmp_path / f"runs/lora-{seed}", base, seed, r=2 * seed)
        for seed in (1, 2)
    )
    config = {
        "soup": {
            "checkpoints": "runs",
            "library": "transformers",
            "base": "base",  # adapters say where it was when they were trained
            "held_out": {"path": "data/val", "layout": "class-folders"},
            "recipe": {"kind": "uniform"},
        }
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    jobs = planned(tmp_path, "own.yaml", ("soup",))
    assert (jobs["merge_adapter"], jobs["import_own"], jobs["check_ingredients"]) == (2, 2, 1)
    done = snakemake(tmp_path, "soup", "--configfile", "own.yaml")
    assert done.returncode == 0, done.stdout
    adapter = tmp_path / "runs/lora-1/adapter_model.safetensors"
    target = "results/sweeps/own/models/lora-1/record.json"
    assert read_json(tmp_path / target)["inputs"]["file"] == sha256(adapter)
    close = {"atol": 1e-4, "rtol": 1e-4}
    singles = [stored(tmp_path, name) for name in ("lora-1", "lora-2")]
    np.testing.assert_allclose(singles[0], logits_of(first, base, paths), **close)
    np.testing.assert_allclose(singles[1], logits_of(second, base, paths), **close)
    soup = tmp_path / "results/soup/model"
    found = logits_by_transformers(soup, paths)
    np.testing.assert_allclose(stored(tmp_path, "uniform"), found, **close)
    assert np.abs(found - np.mean(singles, axis=0)).max() > 1e-3  # no ensemble
    merged = [each.merge_and_unload().state_dict() for each in (first, second)]
    mean = (merged[0]["classifier.weight"] + merged[1]["classifier.weight"]) / 2
    torch.testing.assert_close(read_weights(soup / "model.safetensors")["classifier.weight"], mean)
    # An adapter that is replaced is merged again, the other is not.
    own_models.save_adapter(adapter.parent, base, 3, r=2)
    assert planned(tmp_path, "own.yaml", (target,))["merge_adapter"] == 1
