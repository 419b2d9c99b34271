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
from pathlib import Path

import pytest
import yaml
from configargparse import ConfigFileParserException
from snakemake.profiles import ProfileConfigFileParser

from checkouts import MODELS, ROOT, copy_workflow, snakemake, write_config
from conftest import wait_for
from modelsoups.files import read_json

CONFIG = ("--configfile", "config/test.yaml")
PATIENCE = 3600  # seconds after which a test that waits has failed; a busy machine is slow
TABLES = ("table3.csv", "table3.md", "sweeps/tiny-search/scores.parquet")


def start(cluster, folder: Path, *arguments: str) -> subprocess.Popen:
    """Snakemake under the profile, started in a checkout, with frequent checks of its jobs."""
    with open(folder / "controller.log", "a") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "snakemake", "--profile", "slurm", *arguments),
                *("--slurm-init-seconds-before-status-checks", "1"),
                *("--max-status-checks-per-second", "2", "--latency-wait", "5"),
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


def begin_from(study: Path, folder: Path) -> Path:
    """A checkout that has the study's data, heads and initialisation, but none of its runs."""
    copy_workflow(folder)
    for path in ("results/data", "results/heads", f"{MODELS}/initialization"):
        shutil.copytree(study / path, folder / path)
    return folder


def processes_of(job: dict[str, str], program: str) -> list[int]:
    """Ids of a job's processes that have this in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environment = (folder / "environ").read_bytes().split(b"\0")
            if f"SLURM_JOB_ID={job['JobId']}".encode() in environment and (
                program.encode() in (folder / "cmdline").read_bytes()
            ):
                found.append(int(folder.name))
    return found


def last_job(cluster, run: str) -> dict[str, str]:
    """The last job of a run."""
    jobs = [job for job in cluster.jobs_of("finetune_run") if job["Comment"].endswith(run)]
    return jobs[-1]


def freeze(cluster, run: str) -> dict[str, str]:
    """Stop the clock of a run's job, and return it."""
    job = last_job(cluster, run)
    (process,) = processes_of(job, "finetune_run.py")
    os.kill(process, signal.SIGSTOP)
    return job


def test_every_rule_with_a_gpu_is_known_to_the_profile():
    """So that the GPU's partition and kind reach it."""
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    texts = re.split(r"^rule ", rules, flags=re.MULTILINE)[1:]
    wanting = {text.split(":")[0] for text in texts if re.search(r"\bgpu=", text)}
    profile = yaml.safe_load((ROOT / "slurm/config.yaml").read_text())
    (listed,) = [line for line in profile["__definitions__"] if line.startswith("gpu_rules")]
    assert set(re.findall(r'"(\w+)"', listed)) == wanting


def test_site_file_sets_what_jobs_ask_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    site = {"gpus": 3, "every_job": {"slurm_account": "lab"}, "gpu_job": {"gpu_model": "a100"}}
    Path("site.yaml").write_text(yaml.safe_dump(site))
    profile = read_profile()
    assert profile["resources"] == ["gpu=3"]
    assert "slurm_account=lab" in profile["default-resources"]
    assert "mem_mb=4000 * attempt" in profile["default-resources"]
    assert "finetune_run:gpu_model=a100" in profile["set-resources"]
    assert profile["slurm-status-command"] == "squeue"  # which needs no accounting


def test_unknown_key_of_the_site_file_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELSOUPS_SITE", str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text("partition: gpu")
    with pytest.raises(ConfigFileParserException, match="mine.yaml: unknown keys .'partition'."):
        read_profile()


def read_profile():
    """The profile as snakemake reads it."""
    return ProfileConfigFileParser().parse(open(ROOT / "slurm/config.yaml"))


def test_study_on_slurm_makes_the_tables_of_a_local_run(cluster, study, tmp_path):
    folder = copy_workflow(tmp_path)
    controller = start(cluster, folder, "results/table3.csv", *CONFIG)
    wait_for(lambda: cluster.jobs_of("extract_features"), "the first GPU job", PATIENCE)
    cluster.stop_controller()  # an outage: nobody answers questions about jobs
    with pytest.raises(subprocess.TimeoutExpired):
        controller.wait(25)
    cluster.start_controller()
    finish(controller, folder)
    for table in TABLES:
        assert (folder / "results" / table).read_bytes() == (study / "results" / table).read_bytes()
    for rule in (
        "extract_features",
        "fit_linear_probe",
        "finetune_run",
        "evaluate_model",
        "cook_soup",
    ):
        assert {job["TresPerJob"] for job in cluster.jobs_of(rule)} == {"gres:gpu:1"}, rule
    for rule in ("decode_view", "make_ensemble", "score_sweep"):
        assert not any("TresPerJob" in job for job in cluster.jobs_of(rule)), rule
    for rule in ("index_dataset", "list_runs", "table3"):
        assert not cluster.jobs_of(rule), f"{rule} is cheap and runs on the login node"
    (log,) = (folder / "results/logs/slurm/rule_finetune_run/tiny-search_001").glob("*.log")
    assert "Fine-tuning run 001" in log.read_text()


def lengthen(config):
    """Three runs, and epochs enough to be met in the middle."""
    search = config["sweeps"]["tiny-search"]["random"]
    search["num_runs"], search["space"]["epochs"] = 3, 8


def test_cancelled_requeued_and_overdue_runs_go_on_and_end_with_the_same_weights(
    cluster, study, tmp_path
):
    folder, local = (begin_from(study, tmp_path / name) for name in ("slurm", "local"))
    for checkout in (folder, local):
        write_config(checkout, "long.yaml", lengthen)
    weights = {run: f"{MODELS}/{run}/weights.safetensors" for run in ("000", "001", "002")}
    controller = start(cluster, folder, *weights.values(), "--configfile", "long.yaml")
    end_job = {
        "000": lambda job: cluster.ask("scancel", job["JobId"]),
        "001": lambda job: cluster.ask("scontrol", "requeue", job["JobId"]),
        "002": lambda job: cluster.ask(
            *("scontrol", "update", f"JobId={job['JobId']}", "EndTime=now")
        ),
    }
    first = {}
    while end_job:
        wait_for(
            lambda: any((folder / MODELS / run / "resume.pt").exists() for run in end_job),
            "a saved state",
            PATIENCE,
        )
        for run in list(end_job):
            if (folder / MODELS / run / "resume.pt").exists():
                first[run] = freeze(cluster, run)
                end_job.pop(run)(first[run])

    whole = snakemake(local, *weights.values(), "--configfile", "long.yaml")
    assert whole.returncode == 0, whole.stdout
    finish(controller, folder)
    for run, path in weights.items():
        assert (folder / path).read_bytes() == (local / path).read_bytes(), run
        log = (folder / f"results/logs/finetune_run/tiny-search-{run}.log").read_text()
        assert "going on from" in log
    assert (
        "SIGTERM came; saved in"
        in (folder / "results/logs/finetune_run/tiny-search-000.log").read_text()
    )

    states = {job["JobId"]: job for job in cluster.jobs()}
    assert states[first["000"]["JobId"]]["JobState"] == "CANCELLED"
    assert states[first["001"]["JobId"]]["JobState"] == "COMPLETED"
    assert states[first["001"]["JobId"]]["Restarts"] == "1"
    assert states[first["002"]["JobId"]]["JobState"] == "TIMEOUT"
    again = last_job(cluster, "002")
    # 10 minutes and 463 images times 8 epochs at 100 images/s; the second attempt has twice that
    assert (first["002"]["TimeLimit"], again["TimeLimit"]) == ("00:11:00", "00:22:00")


def diverge(config):
    """Two runs, the first with a hopeless learning rate; little is made of them."""
    sweep = config["sweeps"]["tiny-search"]
    space = sweep.pop("random")["space"]
    sweep["finetune"] |= {"weight_decay": 0.0, "label_smoothing": 0.1, "epochs": space["epochs"]}
    sweep["finetune"] |= {"mixup": 0, "augmentation": "minimal"}
    sweep["grid"] = {"lr": [1.0e30, 1.0e-3]}
    config["recipes"] = {"greedy": {"kind": "greedy"}}
    config["ensembles"] = {"ensemble": {"kind": "uniform"}}


def diverge_and_skip(config):
    diverge(config)
    config["sweeps"]["tiny-search"]["on_failure"] = "skip"


def test_failing_run_fails_alone_or_is_skipped_and_that_is_recorded(cluster, study, tmp_path):
    folder = begin_from(study, tmp_path)
    config = ("--configfile", write_config(folder, "error.yaml", diverge))
    controller = start(cluster, folder, "results/table3.csv", *config, "--retries", "0")
    assert controller.wait(PATIENCE) != 0
    log = (folder / "controller.log").read_text()
    assert "tiny-search 000: the loss is nan in epoch 1 of 2 (lr 1e+30)" in log
    assert not (folder / MODELS / "000/weights.safetensors").exists()
    assert not (folder / "results/table3.csv").exists()
    good = folder / MODELS / "001/logits/tiny-test.parquet"
    made = good.stat().st_mtime_ns

    config = ("--configfile", write_config(folder, "skip.yaml", diverge_and_skip))
    finish(start(cluster, folder, "results/table3.csv", *config), folder)
    assert good.stat().st_mtime_ns == made  # the other run is not made again
    for model in ("greedy", "ensemble"):
        record = read_json(folder / MODELS / model / "record.json")
        assert list(record["skipped"]) == ["000"]
        assert "the loss is nan in epoch 1 of 2" in record["skipped"]["000"]
        assert "000" not in record["ingredients"]
    assert "the loss is nan" in read_json(folder / MODELS / "000/record.json")["failure"]
    table = (folder / "results/table3.csv").read_text()
    assert "Best individual model" in table
    assert "Second best model" not in table  # there is one run


def test_thirty_random_kills_of_jobs_and_controller_change_no_table(cluster, study, tmp_path):
    folder = copy_workflow(tmp_path)
    chance = random.Random(0)
    controller, kills = None, 0
    while kills < 30 or controller.wait(PATIENCE) != 0:
        if controller is None or controller.poll() is not None:
            snakemake(folder, "--unlock", *CONFIG)  # a killed controller leaves its lock
            controller = start(cluster, folder, "results/table3.csv", *CONFIG)
            if kills == 30:
                continue
        with suppress(subprocess.TimeoutExpired):
            controller.wait(chance.uniform(1, 8))
        running = [job for job in cluster.jobs() if job["JobState"] == "RUNNING"]
        victims = [process for job in running for process in processes_of(job, "python")]
        victim = chance.choice([controller.pid, *victims])
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            kills += 1
    for table in TABLES:
        assert (folder / "results" / table).read_bytes() == (study / "results" / table).read_bytes()
