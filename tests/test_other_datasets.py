"""The paper's studies of other data sets at toy size, from archives as they unpack to figures, by
the real Snakefile."""

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmark_trees import (
    CIFAR,
    FMOW,
    FMOW_ROWS,
    IWILDCAM_ROWS,
    write_cifar10,
    write_cifar101,
    write_fmow,
    write_iwildcam,
)
from checkouts import ROOT, copy_workflow, snakemake
from modelsoups.base.files import read_json
from modelsoups.evaluation.logits import read_logits
from modelsoups.weights.checkpoints import read_weights

SPECIES = ["0", "1", "2"]


def write_classes(path, ids):
    path.write_text("id,name\n" + "".join(f"{each},{each}\n" for each in ids))


def shrink(name, classes, sizes):
    """A study of config/ with other classes, fewer images, two runs of an epoch, a smaller tower.

    Args: classes: part of a data set's name -> its classes file. sizes: data set -> images.
    """
    config = yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))
    for dataset, spec in config["datasets"].items():
        for part, file in classes.items():
            if part in dataset:
                spec["classes"] = file
        spec["num_images"] = sizes[dataset]
        spec.pop("num_classes", None)
        spec.pop("images_per_class", None)
    config["backbones"]["clip-vit-l14"] |= {"model": "ViT-S-32-alt", "weights": "random"}
    config["linear_probe"] = {"l2": [1.0e-2], "max_iterations": 2}
    for sweep in config["sweeps"].values():
        sweep["compute"] = {"threads": 1}
        sweep["finetune"] = {**sweep["finetune"], "batch_size": 4, "warmup_steps": 1}
        space = {**sweep["random"]["space"], "epochs": 1}
        sweep["random"] = {"num_runs": 2, "seed": 0, "space": space}
    return config


def run(folder, config, *targets):
    (folder / "toy.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    done = snakemake(folder, *targets, "--configfile", "toy.yaml")
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def wilds(tmp_path_factory):
    folder = copy_workflow(tmp_path_factory.mktemp("wilds"))
    write_fmow(folder / "data/fmow_v1.1", FMOW_ROWS * 3)
    write_iwildcam(folder / "data/iwildcam_v2.0", IWILDCAM_ROWS * 3)
    write_classes(folder / "fmow.csv", FMOW)
    write_classes(folder / "iwildcam.csv", SPECIES)
    sizes = {"fmow-train": 6, "fmow-held-out": 3, "fmow": 3, "fmow-after-2016": 9}
    sizes |= {"iwildcam-train": 6, "iwildcam-held-out": 3, "iwildcam": 6, "iwildcam-new-traps": 6}
    config = shrink("wilds.yaml", {"fmow": "fmow.csv", "iwildcam": "iwildcam.csv"}, sizes)
    run(folder, config, "results/figureG1.svg")
    return folder


def test_figure_g1_has_a_panel_a_benchmark_by_its_own_metric(wilds):
    table = pd.read_parquet(wilds / "results/figureG1.parquet")
    metrics = table.groupby("sweep")["metric"].unique().map(list).to_dict()
    assert metrics == {"fmow-search": ["worst_group_accuracy"], "iwildcam-search": ["macro_f1"]}
    assert table.groupby("sweep")["num_shifts"].first().tolist() == [9, 6]
    assert set(table["label"]) == {
        *("Initialization", "Individual models", "Best on held-out set"),
        *("Uniform soup", "Greedy soup"),
    }
    claims = read_json(wilds / "results/claims/figureG1.json")["claims"]
    assert len(claims) == 4


def test_the_worst_region_leaves_out_images_of_no_region(wilds):
    """Of three images of each country after 2016 those of the unknown one do not count."""
    table = pd.read_parquet(wilds / "results/figureG1.parquet")
    greedy = table[(table["sweep"] == "fmow-search") & (table["label"] == "Greedy soup")].iloc[0]
    models = wilds / "results/sweeps/fmow-search/models"
    outputs = read_logits(models / "greedy-worst-region/logits/fmow-after-2016.parquet")
    right = (outputs.predictions == outputs.labels).reshape(3, 3).mean(axis=0)
    assert greedy["shifts"] == pytest.approx(min(right[:2]))  # Europe, Africa; not Kosovo
    record = read_json(models / "greedy-worst-region/record.json")
    assert record["recipe"]["metric"] == "worst_group_accuracy"
    assert record["early_rejection"] == "exact"
    assert len(record["chosen_on"]["files"]) == 3  # images, labels, and the index with the groups


def test_benchmarks_of_one_study_have_heads_of_their_own_classes(wilds):
    for sweep, number in (("fmow-search", 2), ("iwildcam-search", 3)):
        path = wilds / f"results/sweeps/{sweep}/models/uniform/logits"
        assert read_logits(next(path.glob("*held-out.parquet"))).logits.shape[1] == number


def test_cifar_is_trained_on_from_its_batches_and_tested_on_its_reproduction(tmp_path):
    folder = copy_workflow(tmp_path)
    train = [[0, 1, 2, 0, 1, 2], [0, 1, 2]]
    write_cifar10(folder / "data/cifar-10-batches-py", train, [0, 1, 2, 2])
    write_cifar101(folder / "data/CIFAR-10.1/datasets", [2, 1, 0])
    write_classes(folder / "cifar.csv", CIFAR)
    sizes = {"cifar10-train": 6, "cifar10-held-out": 3, "cifar10": 4, "cifar10-1": 3}
    config = shrink("cifar.yaml", {"cifar": "cifar.csv"}, sizes)
    del config["table4"]
    for spec in config["datasets"].values():
        if "split" in spec:
            spec["split"] |= {"per_class": 1, "num_images": 9}
    run(folder, config, "results/figureG2.svg")
    table = pd.read_parquet(folder / "results/figureG2.parquet").set_index("label")
    models = folder / "results/sweeps/random-search/models"
    outputs = read_logits(models / "greedy/logits/cifar10-1.parquet")
    assert outputs.labels.tolist() == [2, 1, 0]
    right = np.mean(outputs.predictions == outputs.labels)
    assert table.loc["Greedy soup", "shifts"] == pytest.approx(right)


def test_backbones_of_other_groups_are_averaged_for_a_target_with_its_own_head(tmp_path):
    folder = copy_workflow(tmp_path)
    config = yaml.safe_load((ROOT / "config/cross-dataset-miniature.yaml").read_text("utf-8"))
    groups = ["activities", "food-drink", "smileys-emotion"]
    config["views"] = {"64px": {"size": 32, "resize": 32}}
    config["backbones"]["iconclip"] |= {"model": "test_efficientnet", "weights": "random"}
    config["sweeps"] = {name: config["sweeps"][name] for name in groups}
    for sweep in config["sweeps"].values():
        sweep["finetune"] = {**sweep["finetune"], "epochs": 1}
    targets = config["figureE1"]["targets"]
    config["figureE1"] = {
        "targets": [target for target in targets if target["sweep"] in groups[:2]],
        "models": [f"{name}/000" for name in groups],
        "max_images": 40,
    }
    run(folder, config, "results/figureE1.svg")
    cross = pd.read_parquet(folder / "results/sweeps/activities/cross.parquet")
    cross = cross[cross["metric"] == "accuracy"]
    others = ["food-drink/000", "smileys-emotion/000"]
    assert cross["models"].tolist() == ["", *others, " ".join(others)]
    assert (cross["n"] == 40).all()
    start, tuned = (
        read_weights(folder / f"results/sweeps/food-drink/models/{name}/weights.safetensors")
        for name in ("initialization", "000")
    )
    moved = {key for key, tensor in start.items() if not tensor.equal(tuned[key])}
    assert moved and not any(key.startswith("head.") for key in moved)  # which is frozen
    claims = read_json(folder / "results/claims/figureE1.json")["claims"]
    assert [claim["section"] for claim in claims] == ["E"] * 3  # over targets, and on each of two


def test_warm_up_on_the_small_data_sets_is_one_epoch():
    config = yaml.safe_load((ROOT / "config/cross-dataset.yaml").read_text("utf-8"))
    for name in ("cifar10", "dtd", "food101", "sun397", "cars"):
        finetune = config["sweeps"][name]["finetune"]
        steps = config["datasets"][f"{name}-train"]["num_images"] // finetune["batch_size"]
        assert finetune["warmup_steps"] == steps
