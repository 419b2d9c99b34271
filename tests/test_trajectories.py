"""Averages along runs, a pool of them and runs that learn from both, by the real Snakefile."""

import pandas as pd
import torch

from checkouts import copy_study, planned, snakemake, write_config
from modelsoups.base.files import read_json, sha256
from modelsoups.weights.checkpoints import read_weights

SWEEPS = "results/sweeps"
TARGETS = (
    f"{SWEEPS}/low/scores.parquet",
    f"{SWEEPS}/averaged/models/000-swa/weights.safetensors",
    f"{SWEEPS}/distilled/models/000/weights.safetensors",
)


def add_trajectories(config):
    """A sweep with SAM and averages, a pool of these, and a run that both of them teach."""
    finetune = {**config["sweeps"]["tiny-grid"]["finetune"], "lr": 1.0e-3}
    sweep = {"backbone": "tiny", "start": "linear-probe", "recipes": ["uniform"], "ensembles": []}
    averages = {"ema": [0.9, 0.99], "swa": 0, "sam": 0.05, "evaluate_every": 1}  # at the end
    config["sweeps"]["averaged"] = {
        **sweep,
        "finetune": {**finetune, **averages},
        "grid": {"seed": [0, 1]},
    }
    config["pools"]["low"] = {
        "models": [{"sweep": "averaged", "average": "ema0.9"}],
        "recipes": ["greedy"],
        "ensembles": [],
    }
    teachers = ["averaged/001-swa", "low/greedy"]
    config["sweeps"]["distilled"] = {
        **sweep,
        "finetune": {**finetune, "teachers": teachers},
        "grid": {"seed": [0]},
    }


def test_averages_are_pooled_and_teach(study, tmp_path):
    folder = copy_study(study, tmp_path)
    config = write_config(folder, "trajectories.yaml", add_trajectories)
    assert planned(folder, config) == {}  # the sweeps that were there are as they were
    done = snakemake(folder, *TARGETS, "--configfile", config)
    assert done.returncode == 0, done.stdout
    assert planned(folder, config, TARGETS) == {}
    assert not list(folder.rglob("resume.pt"))

    models = folder / SWEEPS / "averaged/models"
    record = read_json(models / "000-ema0.9/record.json")
    assert (record["model"], record["kind"], record["run"]) == ("000-ema0.9", "average", "000")
    assert record["spec"] == read_json(models / "000/record.json")["spec"]
    assert record["spec"]["ema"] == [0.9, 0.99]
    assert record["best"] != read_json(models / "000-ema0.99/record.json")["best"]
    assert len(record["best"]["trials"]) == 1
    assert "best" not in read_json(models / "000-swa/record.json")
    run, low, swa = (
        read_weights(models / name / "weights.safetensors")
        for name in ("000", "000-ema0.9", "000-swa")
    )
    assert run.keys() == low.keys()
    assert all(torch.equal(tensor, swa[key]) for key, tensor in run.items())  # of one epoch
    assert not torch.equal(run["head.weight"], low["head.weight"])

    scores = pd.read_parquet(folder / TARGETS[0]).groupby("model", sort=False)["kind"].first()
    assert scores.to_dict() == {
        "averaged/initialization": "initialization",
        "averaged/000-ema0.9": "run",
        "averaged/001-ema0.9": "run",
        "greedy": "soup",
    }
    inputs = read_json(folder / SWEEPS / "distilled/models/000/record.json")["inputs"]
    teachers = [models / "001-swa", folder / SWEEPS / "low/models/greedy"]
    for number, teacher in enumerate(teachers, 1):
        assert inputs[f"teacher{number}"] == sha256(teacher / "weights.safetensors")


def test_student_waits_for_the_models_that_its_teachers_are_made_of(study, tmp_path):
    folder = copy_study(study, tmp_path)
    config = write_config(folder, "trajectories.yaml", add_trajectories)
    jobs = planned(folder, config, TARGETS[2:])
    assert jobs["finetune_run"] == 1  # the student
    assert jobs["finetune_run_1"] == 2  # the sweep with averages
    assert jobs["cook_soup"] == 1
