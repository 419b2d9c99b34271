"""The workflow under `--profile slurm` on a real SLURM.

Where a job has to be met in the middle of its work it is frozen there (SIGSTOP), so that nothing
depends on how fast the machine is.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from cluster import Cluster, install
from configargparse import ConfigFileParserException
from snakemake.profiles import ProfileConfigFileParser

from checkouts import (
    MODELS,
    PATIENCE,
    ROOT,
    begin_from,
    copy_workflow,
    diverge,
    freeze,
    lengthen,
    processes,
    snakemake,
    wait_for,
    write_config,
)

CONFIG = ("--configfile", "config/test.yaml")
TABLES = ("table3.csv", "table3.md", "sweeps/tiny-search/scores.parquet")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A running SLURM; skips the tests where it can be neither found nor installed."""
    if packages := install():
        pytest.skip(
            f"SLURM is needed: install the Debian packages {' '.join(packages)} (as root, with "
            "apt-get and its mirror in reach, the tests do so themselves)"
        )
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def start(cluster, folder: Path, *arguments: str) -> subprocess.Popen:
    """Snakemake under the profile, started in a checkout, with frequent checks of its jobs."""
    with open(folder / "controller.log", "a") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "snakemake", "--profile", "slurm", *arguments),
                *("--slurm-init-seconds-before-status-checks", "1"),
                *("--max-status-checks-per-second", "2", "--latency-wait", "5"),
                *("--max-jobs-per-timespan", "1000/1s"),  # its end waits for as long
            ],
            cwd=folder,
            env=cluster.environment,
            stdout=log,
            stderr=log,
        )


def finish(controller: subprocess.Popen, folder: Path) -> str:
    """Wait for it to succeed; what it printed."""
    code = controller.wait(PATIENCE)
    log = (folder / "controller.log").read_text()
    assert code == 0, log
    return log


def last_job(cluster, run: str) -> dict[str, str]:
    """The last job of a run."""
    jobs = [job for job in cluster.jobs_of("finetune_run") if job["Comment"].endswith(run)]
    return jobs[-1]


def test_every_rule_with_a_gpu_is_known_to_the_profile():
    """So that the GPU's partition and kind reach it."""
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    texts = re.split(r"^ *rule\b", rules, flags=re.MULTILINE)
    named = re.compile(r'^ (\w+):|name:\s+"(\w+)"|grouped\(\s*"(\w+)"')  # or several in a loop
    wanting = {
        "".join((named.search(text) or [*named.finditer(before)][-1]).groups(""))
        for before, text in pairwise(texts)
        if re.search(r"\bgpu=", text)
    }
    profile = yaml.safe_load((ROOT / "slurm/config.yaml").read_text())
    (listed,) = [line for line in profile["__definitions__"] if line.startswith("gpu_rules")]
    assert set(re.findall(r'"(\w+)"', listed)) == wanting


def test_site_file_sets_what_jobs_ask_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    every_job = {"slurm_account": "lab", "runtime": 30}
    site = {"gpus": 3, "every_job": every_job, "gpu_job": {"gpu_model": "a100"}}
    Path("site.yaml").write_text(yaml.safe_dump(site))
    profile = read_profile()
    assert profile["resources"] == ["gpu=3"]
    assert "slurm_account=lab" in profile["default-resources"]
    assert [each for each in profile["default-resources"] if "runtime" in each] == ["runtime=30"]
    assert "mem_mb=4000 * attempt" in profile["default-resources"]
    assert "finetune_run:gpu_model=a100" in profile["set-resources"]
    assert profile["slurm-status-command"] == "squeue"  # which needs no accounting


def test_key_of_the_site_file_with_nothing_below_it_is_as_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    left_out = read_profile()
    Path("site.yaml").write_text("gpus:\nevery_job:\n  # slurm_account: lab\ngpu_job:\n")
    assert read_profile() == left_out
    Path("site.yaml").write_text("every_job: lab")
    with pytest.raises(ConfigFileParserException, match="names with values below .'every_job'."):
        read_profile()


def test_unknown_key_of_the_site_file_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELSOUPS_SITE", str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text("partition: gpu")
    with pytest.raises(ConfigFileParserException, match="mine.yaml: unknown keys .'partition'."):
        read_profile()


@pytest.mark.parametrize(
    ("arguments", "variables", "limits"),
    [
        ([], {}, {"cores": "all", "resources": ["gpu=2"]}),
        (["--profile", "slurm"], {}, {}),
        ([], {"SNAKEMAKE_PROFILE": "slurm"}, {}),
        (["--executor=kubernetes", "--jobs", "20"], {}, {}),
        (["-e", "slurm", "-j", "20"], {}, {}),
    ],
)
def test_what_the_login_node_has_limits_jobs_there_alone(monkeypatch, arguments, variables, limits):
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    monkeypatch.setattr(sys, "argv", ["snakemake", "all", *arguments])
    for name, value in {"CUDA_VISIBLE_DEVICES": "0,1", **variables}.items():
        monkeypatch.setenv(name, value)
    profile = read_profile("profiles/default/config.yaml")
    assert {key: profile[key] for key in ("cores", "resources") if key in profile} == limits


def read_profile(path="slurm/config.yaml"):
    """A profile as snakemake reads it."""
    with open(ROOT / path) as file:
        return ProfileConfigFileParser().parse(file)


def test_cancelled_requeued_and_overdue_runs_go_on_and_end_with_the_same_weights(
    cluster, study, long_runs, tmp_path
):
    folder = begin_from(study, tmp_path)
    weights = {run: f"{MODELS}/{run}/weights.safetensors" for run in long_runs}
    config = ("--configfile", write_config(folder, "long.yaml", lengthen))
    controller = start(cluster, folder, *weights.values(), *config)
    end_job = {
        "000": ("scancel", "{}"),
        "001": ("scontrol", "requeue", "{}"),
        "002": ("scontrol", "update", "JobId={}", "EndTime=now"),
    }
    jobs = {}

    def runs_with_a_state():
        return [run for run in end_job if (folder / MODELS / run / "resume.pt").exists()]

    while end_job:
        wait_for(runs_with_a_state, "a saved state")
        for run in runs_with_a_state():
            jobs[run] = last_job(cluster, run)["JobId"]
            freeze(folder, "finetune_run.py", f"SLURM_JOB_ID={jobs[run]}")
            cluster.ask(*(word.format(jobs[run]) for word in end_job.pop(run)))
    printed = finish(controller, folder)

    for run, path in weights.items():
        assert (folder / path).read_bytes() == long_runs[run], run
        log = (folder / f"results/logs/finetune_run/tiny-search-{run}.log").read_text()
        assert "going on from" in log
    for run in ("000", "002"):  # snakemake empties a step's own log for the next attempt
        assert f"tiny-search {run}: SIGTERM came; saved in" in printed
    first = {run: job for job in cluster.jobs() for run in jobs if job["JobId"] == jobs[run]}
    assert first["000"]["JobState"] == "CANCELLED"
    assert (first["001"]["JobState"], first["001"]["Restarts"]) == ("COMPLETED", "1")
    assert first["002"]["JobState"] == "TIMEOUT"
    # 10 minutes and 463 images times 4 epochs at 100 images/s; the second attempt has twice that.
    assert first["000"]["TimeLimit"] == "00:11:00"
    assert last_job(cluster, "002")["TimeLimit"] == "00:22:00"


def test_failing_run_fails_alone_and_its_reason_is_shown(cluster, study, tmp_path):
    folder = begin_from(study, tmp_path)
    weights = [f"{MODELS}/{run}/weights.safetensors" for run in ("000", "001")]
    config = ("--configfile", write_config(folder, "error.yaml", diverge), "--retries", "0")
    controller = start(cluster, folder, *weights, *config)
    assert controller.wait(PATIENCE) != 0
    log = (folder / "controller.log").read_text()
    assert "tiny-search 000: the loss is nan in epoch 1 of 2 (lr 1e+30)" in log
    assert [(folder / path).exists() for path in weights] == [False, True]


def test_outage_and_thirty_random_kills_of_jobs_and_controller_change_no_table(
    cluster, study, tmp_path
):
    folder = copy_workflow(tmp_path)
    for dataset in ("tiny-test", "tiny-noto", "tiny-twemoji"):  # the two others go through it all
        shutil.copytree(study / "results/data" / dataset, folder / "results/data" / dataset)
    chance = random.Random(0)
    controller, kills = start(cluster, folder, "results/table3.csv", *CONFIG), 0

    def finished_jobs():
        return (folder / "controller.log").read_text().count("Finished jobid")

    def is_over_or_further(before):
        return controller.poll() is not None or finished_jobs() > before

    wait_for(lambda: cluster.jobs_of("extract_features"), "the first GPU job")
    cluster.stop_controller()  # an outage: nobody answers questions about jobs
    with pytest.raises(subprocess.TimeoutExpired):
        controller.wait(25)
    cluster.start_controller()
    wait_for(partial(is_over_or_further, finished_jobs()), "the end of a job after the outage")
    assert controller.poll() is None

    while kills < 30 or controller.wait(PATIENCE) != 0:
        if controller.poll() is not None:
            snakemake(folder, "--unlock", *CONFIG)  # a killed controller leaves its lock
            controller = start(cluster, folder, "results/table3.csv", *CONFIG)
        if kills < 30:
            if chance.random() < 1 / 3:  # else hardly a job would end between two kills
                wait_for(partial(is_over_or_further, finished_jobs()), "the end of a job")
            with suppress(subprocess.TimeoutExpired):
                controller.wait(chance.uniform(0, 5))
            victims = processes(folder, "python")  # of jobs, and the controller
            if victims:
                os.kill(chance.choice(victims), signal.SIGKILL)
                kills += 1
    for table in TABLES:
        assert (folder / "results" / table).read_bytes() == (study / "results" / table).read_bytes()
    for rule in (
        "extract_features",
        "fit_linear_probe",
        "finetune_run",
        "evaluate_held_out",
        "evaluate_reported",
        "cook_soup",
    ):
        assert {job["TresPerJob"] for job in cluster.jobs_of(rule)} == {"gres:gpu:1"}, rule
    for rule in ("decode_view", "choose_ensemble", "score_sweep"):
        assert not any("TresPerJob" in job for job in cluster.jobs_of(rule)), rule
    for rule in ("list_runs", "table3"):
        assert not cluster.jobs_of(rule), f"{rule} is cheap and runs on the login node"
    logs = (folder / "results/logs/slurm/rule_finetune_run/tiny-search_001").glob("*.log")
    assert any("(Rule: finetune_run)" in log.read_text() for log in logs)
