"""A study of texts by the real Snakefile: GLUE's layout, T5, and a recipe by Matthews' metric."""

import numpy as np
import pandas as pd
import pytest
import yaml

from checkouts import copy_workflow, planned, snakemake
from modelsoups.base.files import read_json
from modelsoups.evaluation.logits import read_logits
from modelsoups.evaluation.metrics import METRICS
from modelsoups.weights.checkpoints import Checkpoint, find_tied, read_weights
from small_texts import make_bert, make_t5, write_glue

MODELS = "results/sweeps/cola-t5/models"
FINETUNE = {
    **{"augmentation": "none", "mixup": 0, "min_crop": 1, "label_smoothing": 0, "weight_decay": 0},
    **{"warmup_steps": 0, "clip_norm": 1.0, "schedule": "linear", "batch_size": 8, "epochs": 2},
}
SPLIT = {"num_images": 40, "per_class": 5}


def sets_of(task, columns):
    common = {"task": "text", "text": columns, "classes": f"{task}.csv"}
    train = {**common, "path": f"glue/{task}/train-*.parquet"}
    return {
        f"{task}-train": {
            **train, "role": "train", "split": {"part": "rest", **SPLIT}, "num_images": 30
        },
        f"{task}-held-out": {
            **train, "role": "held_out", "split": {"part": "held-out", **SPLIT}, "num_images": 10
        },
        f"{task}-test": {
            **common, "role": "test", "path": f"glue/{task}/validation-*.parquet", "num_images": 20
        },
    }  # fmt: skip


def sweep_of(task, backbone, **finetune):
    return {
        "backbone": backbone,
        "start": "zero-shot",
        "train": f"{task}-train",
        "held_out": f"{task}-held-out",
        "reported": [f"{task}-test"],
        "finetune": {**FINETUNE, **finetune},
        "grid": {"lr": [1.0e-4, 1.0e-3]},
    }


def write_study(folder):
    make_t5(folder / "models/t5"), make_bert(folder / "models/bert")
    for part, rows in (("train", 40), ("validation", 20)):
        write_glue(folder / f"glue/cola/{part}-00000-of-00001.parquet", rows=rows)
        write_glue(folder / f"glue/mrpc/{part}-00000-of-00001.parquet", rows=rows, pair=True)
    (folder / "cola.csv").write_text("id,name,letter\n0,unacceptable,B\n1,acceptable,A\n")
    (folder / "mrpc.csv").write_text("id,name\n0,different\n1,equivalent\n")
    (folder / "prompts.txt").write_text("{}\n")
    config = {
        "study": "test: texts",
        "prompts": "prompts.txt",
        "views": {
            "t5": {"tokenizer": "models/t5", "form": "options"},
            "sentences": {"tokenizer": "models/bert", "form": "sentences", "length": 64},
        },
        "datasets": {
            **sets_of("cola", ["sentence"]),
            **sets_of("mrpc", ["sentence1", "sentence2"]),
        },
        "backbones": {
            "t5": {"library": "t5", "model": "models/t5", "weights": "random", "view": "t5"},
            "encoder": {
                **{"library": "minilm", "model": "models/bert"},
                **{"weights": "random", "view": "sentences"},
            },
        },
        "linear_probe": {"l2": [1.0e-2]},
        "evaluation": {"batch_size": 8},
        "sweeps": {
            "cola-t5": sweep_of("cola", "t5", loss="likelihood"),
            "mrpc-encoder": {
                **sweep_of("mrpc", "encoder", group_by_length=True),
                "start": "linear-probe",
            },
        },
        "recipes": {
            "uniform": {"kind": "uniform"},
            "greedy": {"kind": "greedy", "metric": "matthews"},
        },
        "table5": [{"task": "CoLA", "model": "T5-tiny", "sweep": "cola-t5", "metric": "matthews"}],
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return "study.yaml"


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = copy_workflow(tmp_path_factory.mktemp("texts"))
    done = snakemake(folder, "results/table5.csv", "--configfile", write_study(folder))
    assert done.returncode == 0, done.stdout
    return folder


def test_tokens_are_those_of_the_question_with_its_options(texts):
    tokens = np.load(texts / "results/data/cola-test/t5/tokens.npy")
    assert (tokens.dtype, len(tokens)) == (np.int32, 20)
    record = read_json(texts / "results/heads/t5-zero-shot-cola-train.json")
    assert record["options"] == ["B) unacceptable", "A) acceptable"]


def test_runs_and_soups_keep_tied_embeddings_and_options(texts):
    for model in ("initialization", "000", "001", "uniform", "greedy"):
        path = texts / MODELS / model / "weights.safetensors"
        assert len(find_tied(Checkpoint(path).entries)) == 3  # of T5's four names of one tensor
        assert read_weights(path)["head.options"].shape == (2, 16)


def test_greedy_soup_is_chosen_by_matthews_on_the_held_out_set(texts):
    record = read_json(texts / MODELS / "greedy/record.json")
    scores = {}
    for model in ("000", "001"):
        stored = read_logits(texts / MODELS / model / "logits/cola-held-out.parquet")
        scores[model] = METRICS["matthews"](stored.logits, stored.labels)
        assert stored.logits.max() < 0  # log-probabilities
    found = {each["name"]: each["held_out_matthews"] for each in record["candidates"]}
    assert found == pytest.approx(scores)


def test_scores_are_of_the_sweeps_own_sets(texts):
    scores = pd.read_parquet(texts / "results/sweeps/cola-t5/scores.parquet")
    assert set(scores.dataset) == {"cola-held-out", "cola-test"}
    assert {"matthews", "accuracy_f1"} <= set(scores.metric)


def test_table_5_has_the_task_in_its_metric(texts):
    table = pd.read_csv(texts / "results/table5.csv")
    assert table.method.tolist() == ["Best individual model", "Greedy soup"]
    assert table.n.tolist() == [20, 20]
    printed = (texts / "results/table5.md").read_text(encoding="utf-8")
    assert printed.startswith("| test: texts: % | Method | CoLA (Matthews correlation, n = 20) |")


def test_sweep_of_another_task_is_planned_beside_it(texts):
    jobs = planned(texts, "study.yaml", ("results/sweeps/mrpc-encoder/scores.parquet",))
    assert jobs["tokenize_view"] == 3
    assert jobs["fit_linear_probe"] == 1
    assert jobs["evaluate_reported_1"] == 5  # the initialisation, two runs, two soups
    assert "evaluate_reported" not in jobs
