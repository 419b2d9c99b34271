"""Training methods, blocks of runs and another probe in a finished study, by the real Snakefile."""

import json

import pytest

from checkouts import copy_study, planned, snakemake, write_config

RUNS = [
    {
        "evaluate_every": 0.25, "augmentation": "fix-aug", "cutmix": 0.2, "train_size": 24,
        "optimizer": "adafactor", "schedule": "constant",
    },
    {"grid": {"optimizer": ["sgd"], "freeze_head": [True]}, "lr": 0.1},
]  # fmt: skip
FOLDER = "results/sweeps/methods/models"
WEIGHTS = [f"{FOLDER}/{run}/weights.safetensors" for run in ("000", "001", "002")]


def with_methods(*more):
    """A change that adds a sweep of runs with binary loss to a study: these and more."""

    def change(config):
        shared = {"batch_size": 32, "min_crop": 0.5, "warmup_steps": 5, "clip_norm": 1.0}
        shared |= {"lr": 1e-3, "weight_decay": 0.01, "label_smoothing": 0.1, "epochs": 2}
        shared |= {"mixup": 0, "augmentation": "minimal", "loss": "binary"}
        config["sweeps"]["methods"] = {
            "backbone": "tiny",
            "start": "binary-probe",
            "finetune": shared,
            "runs": [*RUNS, *more],
        }

    return change


@pytest.fixture(scope="module")
def trained(study, tmp_path_factory):
    """A copy of the finished study in which the two runs have been trained too."""
    folder = copy_study(study, tmp_path_factory.mktemp("methods"))
    config = write_config(folder, "methods.yaml", with_methods())
    done = snakemake(folder, *WEIGHTS[:2], "--configfile", config)
    assert done.returncode == 0, done.stdout
    return folder


def record_of(folder, path):
    return json.loads((folder / path).read_text(encoding="utf-8"))


def test_best_checkpoint_is_chosen_on_the_held_out_set_and_recorded(trained):
    """Two epochs of 14 steps, 28: a quarter are 7."""
    record = record_of(trained, f"{FOLDER}/000/record.json")
    assert [trial["step"] for trial in record["best"]["trials"]] == [7, 14, 21, 28]
    accuracies = {t["step"]: t["held_out_accuracy"] for t in record["best"]["trials"]}
    assert accuracies[record["best"]["step"]] == max(accuracies.values())
    assert record["inputs"].keys() == {"start", "images", "labels", "held_out", "held_out_labels"}
    assert record["spec"].items() >= RUNS[0].items()


def test_run_without_it_does_not_see_the_held_out_set(trained):
    record = record_of(trained, f"{FOLDER}/001/record.json")
    assert record["inputs"].keys() == {"start", "images", "labels"}
    assert "best" not in record
    assert record["spec"].items() >= {"optimizer": "sgd", "freeze_head": True, "lr": 0.1}.items()


def test_binary_probe_is_a_head_of_its_own_and_the_other_stays(trained, study):
    [binary] = (trained / "results/heads").glob("tiny-binary-probe-*.json")
    assert json.loads(binary.read_text())["probe"] == "binary-probe"
    for head in (study / "results/heads").glob("tiny-linear-probe-*.safetensors"):
        assert (trained / "results/heads" / head.name).read_bytes() == head.read_bytes()
        assert binary.with_suffix(".safetensors").read_bytes() != head.read_bytes()


def test_block_at_the_end_trains_its_own_run_alone(trained):
    config = write_config(trained, "more.yaml", with_methods({"mixup": 0.2}))
    assert planned(trained, config, tuple(WEIGHTS)) == {"finetune_run": 1}
