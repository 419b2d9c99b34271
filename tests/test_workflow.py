"""The real Snakefile: run on the test study, and dry-run on the others."""

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from checkouts import (
    MODELS,
    PATIENCE,
    begin_from,
    copy_study,
    copy_workflow,
    lengthen,
    planned,
    processes,
    snakemake,
    wait_for,
    write_config,
)
from modelsoups.base.files import read_json
from modelsoups.evaluation.logits import read_logits
from modelsoups.paper.claims import FAILS, HOLDS, OPEN
from modelsoups.weights.checkpoints import read_weights

FIGURES = {
    f"figure{name}" for name in ("1", "2", "3", "4", "B1", "B2", "D1", "G4", "K1", "L3", "Recipes")
}

STUDIES = (
    *("align", "appendix-l", "basic", "cifar", "cross-dataset", "cross-dataset-miniature"),
    *("imagenet", "released", "vit-g", "wilds"),
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout in which nothing has been run."""
    return copy_workflow(tmp_path_factory.mktemp("checkout"))


def test_table_3_has_a_row_for_each_method_with_the_studys_name(study):
    table = pd.read_csv(study / "results/table3.csv")
    assert table.method.tolist() == [
        "Initialization",
        "Best individual model",
        "Second best model",
        "Uniform soup",
        "Greedy soup",
        "Ensemble",
        "Greedy ensemble",
        "Learned soup (by layer, epochs 1)",  # with this option no row of the paper
    ]
    assert set(table.study) == {"test: a few emoji, a tiny network"}
    assert (table.in_distribution_n == 135).all()
    assert table.in_distribution_accuracy.between(0, 1).all()
    assert (study / "results/table3.md").read_text().startswith("| test: a few emoji")


def test_sweep_is_diagnosed_from_what_is_there(study, tmp_path):
    folder = copy_study(study, tmp_path)
    target = "results/sweeps/tiny-search/diagnosis.html"
    assert planned(folder, targets=(target,)) == {"diagnose_pool": 1}
    done = snakemake(folder, target, "--configfile", "config/test.yaml")
    assert done.returncode == 0, done.stdout
    page = (folder / target).read_text("utf-8")
    assert "<svg" in page and "Diagnosis of tiny-search, test: a few emoji" in page
    models = pd.read_csv(folder / target.replace("html", "csv"), dtype={"model": str})
    assert set(models.model) == {"000", "001"}  # the start is in the pool, and no ingredient
    assert models.moved.between(0, 1).all()
    held_out = read_logits(folder / MODELS / "000/logits/tiny-held-out.parquet")
    score = (held_out.predictions == held_out.labels).mean()
    assert models.set_index("model").score["000"] == pytest.approx(score)


def test_table_3_agrees_with_the_stored_predictions(study):
    """The mean of shifts is the unweighted mean of both sets' accuracies."""
    table = pd.read_csv(study / "results/table3.csv").set_index("method")
    accuracies = []
    for dataset in ("tiny-noto", "tiny-twemoji"):
        outputs = read_logits(study / MODELS / "uniform/logits" / f"{dataset}.parquet")
        accuracies.append((outputs.predictions == outputs.labels).mean())
    assert table.shifts_accuracy["Uniform soup"] == pytest.approx(np.mean(accuracies), abs=1e-12)


def test_figure_1_is_drawn_as_svg_and_png(study):
    assert (study / "results/figure1.svg").read_text().lstrip().startswith("<?xml")
    assert (study / "results/figure1.png").read_bytes().startswith(b"\x89PNG")


def test_uniform_soup_is_the_mean_of_the_pool(study):
    pool = [read_weights(study / MODELS / name / "weights.safetensors") for name in POOL]
    soup = read_weights(study / MODELS / "uniform/weights.safetensors")
    for name in ("head.weight", "backbone.conv_stem.weight"):
        mean = np.mean([np.float64(weights[name]) for weights in pool], axis=0)
        np.testing.assert_array_equal(soup[name], mean.astype(np.float32))


POOL = ["initialization", "000", "001"]


def test_greedy_soup_is_no_worse_on_the_held_out_set_than_any_candidate(study):
    record = read_json(study / MODELS / "greedy/record.json")
    candidates = {candidate["name"]: candidate for candidate in record["candidates"]}
    assert candidates.keys() == set(POOL)
    assert record["held_out_accuracy"] >= max(c["held_out_accuracy"] for c in candidates.values())
    stored = read_logits(study / MODELS / "greedy/logits/tiny-held-out.parquet")
    assert record["held_out_accuracy"] == (stored.predictions == stored.labels).mean()


def test_every_model_has_a_record_that_says_how_it_was_made(study):
    for name in [
        *POOL,
        "uniform",
        "greedy",
        "learned-by-layer",
        "ensemble",
        "greedy-ensemble",
    ]:
        record = read_json(study / MODELS / name / "record.json")
        assert record["model"] == name
        assert {"kind", "sweep", "inputs", "versions"} <= record.keys()


def test_logits_say_which_model_and_data_set_they_are_of(study):
    metadata = read_logits(study / MODELS / "001/logits/tiny-test.parquet").metadata
    assert (metadata["model"], metadata["dataset"]) == ("001", "tiny-test")


def test_status_counts_what_is_there(study):
    done = snakemake(study, "status", "--nolock", "--configfile", "config/test.yaml")
    assert done.returncode == 0, done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    [search] = [row for row in rows if row[:1] == ["tiny-search"]]
    assert search[1:7] == ["2", "0", "0", "0", "0", "4/4"]
    assert "soups: 3 of 15" in done.stdout


def test_plan_reckons_with_the_speeds_that_were_seen(study, checkout):
    seen = "Speeds seen here were taken for tiny-search, evaluation."
    for folder, found in ((study, True), (checkout, False)):
        done = snakemake(folder, "plan", "--configfile", "config/test.yaml")
        assert done.returncode == 0, done.stdout
        assert (seen in done.stdout) == found


def test_finished_study_has_nothing_to_do(finished):
    assert planned(finished) == {}


def test_all_makes_every_table_figure_and_claim(study, tmp_path):
    folder = copy_study(study, tmp_path)
    done = snakemake(folder, "all", "--configfile", "config/test.yaml")
    assert done.returncode == 0, done.stdout
    figures = {path.stem for path in folder.glob("results/figure*.svg")}
    assert figures == FIGURES
    for name in figures:
        assert (folder / f"results/{name}.png").stat().st_size > 0
    spent = pd.read_csv(folder / "results/time.csv").set_index("rule")
    assert spent.jobs["evaluate_reported"] == len(
        list(folder.rglob("benchmarks/evaluate_reported/*"))
    )
    assert (spent.hours >= 0).all()
    claims = pd.read_csv(folder / "results/what-holds.csv")
    assert set(claims.verdict) <= {HOLDS, FAILS, OPEN}
    costs = pd.read_csv(folder / "results/table2.csv").set_index("method")
    ensemble = read_json(folder / MODELS / "ensemble/record.json")
    assert costs.num_models["Ensemble"] == len(ensemble["ingredients"]) > 1
    assert costs.relative_seconds["Ensemble"] > 1.3 * costs.relative_seconds["Uniform soup"]
    assert (costs[costs.cost == "O(1)"].num_models == 1).all()
    assert costs.passes["Greedy soup"] > 0 and costs.peak_memory_mb["Greedy soup"] > 0


def test_resume_states_are_gone_when_a_run_is_finished(study):
    assert not list(study.rglob("resume.pt"))
    assert not list(study.rglob("*.draft"))


def test_longer_search_trains_the_new_run_alone(finished):
    def lengthen(config):
        config["sweeps"]["tiny-search"]["random"]["num_runs"] = 3

    config = write_config(finished, "longer.yaml", lengthen)
    new = f"{MODELS}/002/weights.safetensors"
    assert planned(finished, config, ("all_soups",))["finetune_run"] == 1 + 4  # and the grid's
    assert planned(finished, config, (new,)) == {"finetune_run": 1}


def test_both_starts_are_evaluated_as_models(checkout):
    """A zero-shot sweep of a backbone with a text tower, and a linear probe begun at its head."""

    def start_zero_shot(config):
        sweep = {"backbone": "tiny-clip", "start": "zero-shot", "other_starts": ["linear-probe"]}
        config["sweeps"]["tiny-search"].update(sweep)

    config = write_config(checkout, "zero-shot.yaml", start_zero_shot)
    logits = [
        f"{MODELS}/{model}/logits/tiny-test.parquet" for model in ("initialization", "linear-probe")
    ]
    done = snakemake(checkout, *logits, "--configfile", config)
    assert done.returncode == 0, done.stdout
    zero_shot, probe = (read_logits(checkout / path) for path in logits)
    head = read_weights(checkout / "results/heads/tiny-clip-zero-shot-tiny-train.safetensors")
    start = read_weights(checkout / MODELS / "initialization/weights.safetensors")
    assert (start["head.weight"] == head["weight"]).all()
    assert (head["bias"] == 0).all()
    assert zero_shot.logits.shape == probe.logits.shape
    assert (zero_shot.logits != probe.logits).any()
    record = read_json(checkout / "results/heads/tiny-clip-linear-probe-tiny-train.json")
    assert record["start"] == "zero-shot"
    for model, kind, start in [
        ("initialization", "initialization", "zero-shot"),
        ("linear-probe", "start", "linear-probe"),
    ]:
        record = read_json(checkout / MODELS / model / "record.json")
        assert (record["model"], record["kind"], record["head"]) == (model, kind, start)


def test_all_of_a_study_without_tables_and_figures_is_its_scores(checkout):
    def leave_out(config):
        for key in [*config]:
            if key.startswith(("table", "figure", "label_sets", "compare", "what_holds")):
                del config[key]

    jobs = planned(checkout, write_config(checkout, "scores.yaml", leave_out), ("all",))
    assert jobs["score_sweep"] == 3  # two sweeps and a pool
    assert jobs["finetune_run"] == 2 + 4


def test_scores_of_a_sweep_take_in_its_other_starts(checkout):
    def add_start(config):
        sweep = {"backbone": "tiny-clip", "other_starts": ["zero-shot"]}
        config["sweeps"]["tiny-search"].update(sweep)

    config = write_config(checkout, "both-starts.yaml", add_start)
    targets = ("results/sweeps/tiny-search/scores.parquet",)
    assert planned(checkout, config, targets)["make_initialization"] == 2


def test_truncated_checkpoint_stops_its_evaluation_with_its_name(finished):
    weights = finished / MODELS / "000/weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    logits = f"{MODELS}/000/logits/tiny-test.parquet"
    done = snakemake(finished, logits, "--configfile", "config/test.yaml")
    weights.write_bytes(whole)
    assert done.returncode != 0
    assert "000/weights.safetensors" in done.stdout
    log = (finished / "results/logs/evaluate_reported/tiny-search-000.log").read_text()
    assert "000/weights.safetensors" in log


def test_diverging_run_fails_alone_and_says_why(checkout):
    def diverge(config):
        space = config["sweeps"]["tiny-search"]["random"]["space"]
        space["lr"] = {"choice": [1.0e30]}
        space["weight_decay"] = 0.0

    config = write_config(checkout, "diverging.yaml", diverge)
    done = snakemake(checkout, f"{MODELS}/000/weights.safetensors", "--configfile", config)
    assert done.returncode != 0
    assert "tiny-search 000: the loss is nan in epoch" in done.stdout
    assert "a smaller lr or a longer warm-up may help" in done.stdout
    assert (checkout / MODELS / "initialization/weights.safetensors").exists()
    assert not (checkout / MODELS / "000/weights.safetensors").exists()


def test_config_problem_is_told_before_any_job_starts(checkout):
    config = write_config(checkout, "bad.yaml", lambda c: c["recipes"]["greedy"].update(ordr=1))
    done = snakemake(checkout, "all", "--configfile", config)
    assert done.returncode != 0
    assert "recipes.greedy: Additional properties are not allowed ('ordr'" in done.stdout
    assert "Traceback" not in done.stdout


def test_check_tells_all_that_is_wrong_with_data_and_models(checkout):
    def spoil(config):
        config["datasets"]["tiny-noto"]["num_images"] = 5
        config["backbones"]["tiny"]["model"] = "test_nothing"

    config = write_config(checkout, "spoilt.yaml", spoil)
    done = snakemake(checkout, "check", "--configfile", config)
    assert done.returncode != 0
    assert "expected 5 images, found 277" in done.stdout
    assert "backbone tiny: cannot be used" in done.stdout
    assert "timm has no model 'test_nothing'" in done.stdout
    assert "disk of results/: " in done.stdout
    assert "2 problems found" in done.stdout


@pytest.mark.parametrize("target", ["all", "results/table3.csv", "results/figure1.svg"])
def test_default_study_dry_runs_without_any_flag(checkout, target):
    done = snakemake(checkout, "-n", target)
    assert done.returncode == 0, done.stdout
    assert "random-search/models/008/weights.safetensors" in done.stdout


@pytest.mark.parametrize("name", STUDIES)
def test_study_of_the_paper_dry_runs_without_data(tmp_path, name):
    folder = copy_workflow(tmp_path)
    done = snakemake(folder, "-n", "-q", "all", "--configfile", f"config/{name}.yaml")
    assert done.returncode == 0, done.stdout


def test_killed_job_and_killed_controller_cost_no_more_than_the_last_steps(
    study, long_runs, tmp_path
):
    folder = begin_from(study, tmp_path)
    weights, state = folder / MODELS / "000/weights.safetensors", folder / MODELS / "000/resume.pt"
    config = ("--configfile", write_config(folder, "long.yaml", lengthen))
    command = [sys.executable, "-m", "snakemake", f"{MODELS}/000/weights.safetensors", *config]

    controller = subprocess.Popen(command, cwd=folder)
    wait_for(state.exists, "a saved state")
    for process in processes(folder, "finetune_run.py"):
        os.kill(process, signal.SIGKILL)
    assert controller.wait(PATIENCE) != 0
    assert not weights.exists()

    saved = state.stat().st_mtime_ns
    controller = subprocess.Popen(command, cwd=folder)
    wait_for(lambda: state.stat().st_mtime_ns > saved, "a later state")
    controller.kill()
    controller.wait()
    for process in processes(folder, "finetune_run.py"):
        os.kill(process, signal.SIGKILL)
    locked = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert "--unlock" in locked.stderr
    snakemake(folder, "--unlock", *config)

    done = snakemake(folder, *command[3:])
    assert done.returncode == 0, done.stdout
    assert "1 of 1 steps" in done.stdout  # what was there is not made again
    assert weights.read_bytes() == long_runs["000"]
    log = (folder / "results/logs/finetune_run/tiny-search-000.log").read_text()
    assert "going on from" in log  # of this attempt alone: snakemake empties it for each
    assert "epoch 1/4" not in log
    assert "epoch 2/4" not in log
