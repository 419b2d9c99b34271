"""The paper's study at toy size: config/imagenet.yaml, from folders to Table 3 by the real
Snakefile, and its runs again as existing checkpoints."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from checkouts import ROOT, copy_workflow, merged, snakemake
from imagenet_trees import (
    WNIDS,
    write_image,
    write_multilabel,
    write_objectnet,
    write_real,
    write_renditions,
    write_sketch,
    write_train,
    write_v2,
)
from modelsoups.base.files import read_json
from modelsoups.evaluation.logits import read_logits
from modelsoups.weights.checkpoints import read_weights

PAPER, RELEASED = merged("config/imagenet.yaml"), merged("config/released.yaml")
MODELS = "results/sweeps/random-search/models"
MIXES = "results/sweeps/random-search/mixes/pairs.parquet"
# Data set -> images (two of each class), classes. Of the study's three classes two are in
# ImageNet-R and one in ImageNet-A.
SIZES = {
    "imagenet-train": (9, 3),
    "imagenet-held-out": (3, 3),
    "imagenet": (6, 3),
    "imagenet-v2": (6, 3),
    "imagenet-r": (4, 2),
    "imagenet-sketch": (6, 3),
    "objectnet": (4, 2),
    "imagenet-a": (2, 1),
}

VAL = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 7)]  # two of each class
REAL = [[0], [0, 1], [], [1], [2], []]  # accepted classes of each
MULTILABEL = {  # the last is problematic, the third not annotated
    VAL[0]: {"correct": [WNIDS[0]], "wrong": [WNIDS[1]]},
    VAL[1]: {"correct": [WNIDS[2]], "unclear": [WNIDS[0]]},
    VAL[3]: {"correct": [WNIDS[1]]},
    VAL[4]: {"correct": [WNIDS[2]]},
    VAL[5]: {"correct": [WNIDS[2]]},
}
MULTILABEL_CLASSES = {0: [{0}, {0, 2}], 1: [{1}], 2: [{2}]}  # class -> accepted of its images
ANALYSES = (
    *("figure2", "figure3", "figureB2", "figureD1", "figureF1", "figureG3", "figureG4", "figureH"),
    *("figureK1", "what_holds"),
)


def write_data(folder):
    """All six sets, and the second labels, where the config's `folders` say."""
    write_train(folder / "imagenet/train", per_class=4)
    for number, wnid in enumerate([wnid for wnid in WNIDS for _ in range(2)], start=1):
        write_image(
            folder / "imagenet/val" / wnid / f"ILSVRC2012_val_{number:08d}.JPEG", seed=number
        )
    write_v2(folder / "imagenetv2-matched-frequency-format-val", num_classes=3)
    write_renditions(folder / "imagenet-r", WNIDS[:2])
    write_sketch(folder)
    write_objectnet(folder / "objectnet-1.0")
    write_renditions(folder / "imagenet-a", WNIDS[2:])
    write_real(folder / "real.json", REAL)
    write_multilabel(
        folder / "imagenet-multilabel/human_accuracy_v3.0.0.json", MULTILABEL, problematic=[VAL[5]]
    )


def toy(config):
    """The paper's config with fewer classes, images, epochs and recipes, and a smaller tower."""
    config = yaml.safe_load(yaml.safe_dump(config))
    config["classes"] = "classes.csv"
    for name, spec in config["datasets"].items():
        num_images, num_classes = SIZES[name]
        spec |= {"num_images": num_images, "num_classes": num_classes}
        if "images_per_class" in spec:
            spec["images_per_class"] = num_images // num_classes
        if "split" in spec:
            spec["split"] |= {"per_class": 1, "num_images": 12}
    config["backbones"]["clip-vit-b32"] |= {"model": "ViT-S-32-alt", "weights": "random"}
    if "linear_probe" in config:
        config["linear_probe"] = {"l2": [1.0e-2], "max_iterations": 2}
    config["recipes"] = {"uniform": {"kind": "uniform"}, "greedy": {"kind": "greedy"}}
    config["label_sets"]["real"]["path"] = "data/real.json"
    return config


def toy_search(config):
    """Only the random search, of two runs of one epoch with batches of four."""
    search = config["sweeps"]["random-search"]
    search["finetune"] |= {"batch_size": 4, "warmup_steps": 1}
    search["compute"] = {"threads": 1}
    search["random"]["num_runs"] = 2
    search["random"]["space"]["epochs"] = 1
    config["sweeps"] = {"random-search": search}
    config["table4"] = ["random-search"]
    config["figure4"]["num_pairs"] = 1
    return {key: value for key, value in config.items() if key not in ANALYSES}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A checkout in which the toy study has been run."""
    folder = copy_workflow(tmp_path_factory.mktemp("imagenet"))
    write_data(folder / "data")
    classes = pd.read_csv(ROOT / "resources/imagenet/classes.csv").set_index("id").loc[WNIDS]
    classes.to_csv(folder / "classes.csv")
    (folder / "toy.yaml").write_text(yaml.safe_dump(toy_search(toy(PAPER)), sort_keys=False))
    targets = ["results/table3.csv", "results/table4-random-search.csv", MIXES]
    done = snakemake(folder, *targets, "--configfile", "toy.yaml")
    assert done.returncode == 0, done.stdout
    return folder


def logits(study, model, dataset):
    return read_logits(study / MODELS / model / f"logits/{dataset}.parquet")


def test_table_3_is_made_from_folders(study):
    table = pd.read_csv(study / "results/table3.csv").set_index("method")
    assert set(table.study) == {"CLIP ViT-B/32 on ImageNet"}
    assert (table["in_distribution_n"] == 6).all()
    shifts = [name for name in SIZES if PAPER["datasets"][name]["role"] == "shift"]
    accuracies = []
    for dataset in shifts:
        outputs = logits(study, "uniform", dataset)
        accuracies.append((outputs.predictions == outputs.labels).mean())
        assert table.loc["Uniform soup", f"{dataset}_n"] == SIZES[dataset][0]
    assert table.loc["Uniform soup", "shifts_accuracy"] == pytest.approx(np.mean(accuracies))


def test_table_4_has_real_and_multilabel_accuracy(study):
    table = pd.read_csv(study / "results/table4-random-search.csv", keep_default_na=False)
    soup = table[table.method == "Greedy soup"].set_index("dataset")
    predictions = logits(study, "greedy", "imagenet").predictions
    real = [p in some for p, some in zip(predictions, REAL, strict=True) if some]
    assert float(soup.accuracy["real"]) == pytest.approx(np.mean(real))
    by_class = iter(predictions[[0, 1, 3, 4]])
    multilabel = [
        np.mean([next(by_class) in some for some in images])
        for images in MULTILABEL_CLASSES.values()
    ]
    assert float(soup.accuracy["multilabel"]) == pytest.approx(np.mean(multilabel))
    assert soup.n[["real", "multilabel"]].tolist() == [4, 4]
    assert soup.note["multilabel"] == "3.0.0, mean over classes"
    record = read_json(study / "results/label-sets/multilabel.json")
    assert (record["spec"]["version"], record["num_scored"]) == ("3.0.0", 4)


def test_mixes_are_evaluated_by_the_classes_of_each_set(study):
    """The middle of the two runs is the uniform soup of both without the initialisation."""
    mixes = pd.read_parquet(study / MIXES).query("metric == 'accuracy'").set_index("dataset")
    shifts = [name for name in SIZES if PAPER["datasets"][name]["role"] in ("test", "shift")]
    assert mixes.n.to_dict() == {name: SIZES[name][0] for name in shifts}
    assert mixes.value["imagenet-a"] == 1  # it has one class: another map would give zero


def test_multilabel_file_of_another_version_stops_the_study(study, tmp_path):
    folder = copy_workflow(tmp_path)
    write_data(folder / "data")
    path = folder / "data/imagenet-multilabel/human_accuracy_v3.0.0.json"
    write_multilabel(path, MULTILABEL, version=2)
    for name in ("toy.yaml", "classes.csv"):
        (folder / name).write_text((study / name).read_text())
    labels = "results/label-sets/multilabel.parquet"
    done = snakemake(folder, labels, "--configfile", "toy.yaml")
    assert done.returncode != 0
    assert "it is of version 2.0.0, the config says 3.0.0" in done.stdout


def test_logits_are_those_of_each_sets_classes_in_float16(study):
    for dataset, (num_images, num_classes) in SIZES.items():
        if dataset != "imagenet-train":
            outputs = logits(study, "000", dataset)
            assert outputs.logits.shape == (num_images, num_classes)
            assert outputs.logits.dtype == np.float16


def test_held_out_images_were_not_trained_on(study):
    index = {
        name: pd.read_parquet(study / f"results/data/{name}/index.parquet")
        for name in ("imagenet-train", "imagenet-held-out")
    }
    assert not set(index["imagenet-train"].name) & set(index["imagenet-held-out"].name)
    record = read_json(study / "results/data/imagenet-held-out/record.json")
    assert len(record["names_sha256"]) == 64


def test_data_may_move(study):
    """The environment's word counts, and nothing is made anew."""
    (study / "data/imagenet-a").rename(study / "moved")
    try:
        done = snakemake(study, "results/table3.csv", "--configfile", "toy.yaml", "-n")
        assert "Nothing to be done" in done.stdout
    finally:
        (study / "moved").rename(study / "data/imagenet-a")


def test_runs_are_the_same_as_existing_checkpoints(study):
    """The runs' weights under the released files' names, the second of them twice."""
    (study / "data/released").mkdir()
    for number, model in enumerate(["initialization", "000", "001", "001"]):
        weights = read_weights(study / MODELS / model / "weights.safetensors")
        state = {
            key.replace("backbone.", "model.visual.").replace(
                "head.", "classification_head."
            ): value
            for key, value in weights.items()
        }
        state["model.token_embedding.weight"] = torch.zeros(3, 4)
        torch.save(state, study / f"data/released/model_{number}.pt")
    config = toy(RELEASED)
    config["sweeps"]["released"]["files"] = "$RELEASED/model_{0..3}.pt"
    (study / "released.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    released = "results/sweeps/released"
    targets = [f"{released}/runs.csv", f"{released}/models/001/logits/objectnet.parquet"]
    done = snakemake(study, *targets, "--configfile", "released.yaml")
    assert done.returncode == 0, done.stdout
    runs = pd.read_csv(study / targets[0], dtype=str, keep_default_na=False)
    assert runs.run.tolist() == ["initialization", "001", "002", "003"]
    assert runs.same_as.tolist() == ["", "", "", "002"]
    np.testing.assert_array_equal(
        read_logits(study / targets[1]).logits, logits(study, "000", "objectnet").logits
    )


def test_cut_image_stops_the_study_before_training(study, tmp_path):
    folder = copy_workflow(tmp_path)
    write_data(folder / "data")
    for name in ("toy.yaml", "classes.csv"):
        (folder / name).write_text((study / name).read_text())
    cut = folder / f"data/imagenet/train/{WNIDS[1]}/{WNIDS[1]}_11.JPEG"
    cut.write_bytes(cut.read_bytes()[:300])
    checked = "results/data/imagenet-train/checked/index.parquet"
    done = snakemake(folder, checked, "--configfile", "toy.yaml")
    assert done.returncode != 0
    assert f"$IMAGENET/train/{WNIDS[1]}/{WNIDS[1]}_11.JPEG: not a readable image" in done.stdout


def test_missing_data_are_named_when_a_job_needs_them(tmp_path):
    folder = copy_workflow(tmp_path)
    index = "results/data/imagenet-a/index.parquet"
    done = snakemake(folder, index, "--configfile", "config/imagenet.yaml")
    assert done.returncode != 0
    assert "$IMAGENET_A = data/imagenet-a: expected a folder with the class folders" in done.stdout


def test_released_checkpoints_are_evaluated_as_the_papers_runs_are():
    for key in ("classes", "prompts", "views", "evaluation", "recipes"):
        assert RELEASED[key] == PAPER[key]
    assert RELEASED["backbones"].items() <= PAPER["backbones"].items()
    evaluated = {name: spec for name, spec in PAPER["datasets"].items() if spec["role"] != "train"}
    assert RELEASED["datasets"] == evaluated
    assert PAPER["folders"].items() <= RELEASED["folders"].items()
