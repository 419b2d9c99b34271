"""The workflow under `--profile slurm` on a real SLURM."""

import subprocess
import sys
from pathlib import Path

import pytest
from test_workflow import ROOT, copy_workflow, snakemake

CONFIG = ("--configfile", "config/test.yaml")


def copy_checkout(folder: Path) -> Path:
    """A checkout with the link that `--profile slurm` needs."""
    (copy_workflow(folder) / "slurm").symlink_to("config/profiles/slurm")
    return folder


def on_slurm(cluster, folder: Path, *arguments: str) -> subprocess.Popen:
    """Snakemake under the profile, started in a checkout; checks of a job's state are frequent."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "snakemake", "--profile", "slurm", *arguments),
            *("--slurm-init-seconds-before-status-checks", "1"),
            *("--max-status-checks-per-second", "2", "--latency-wait", "5"),
        ],
        cwd=folder,
        env=cluster.environment,
        stdout=open(folder / "controller.log", "a"),
        stderr=subprocess.STDOUT,
    )


def test_start(cluster, tmp_path):
    folder = copy_checkout(tmp_path)
    p = on_slurm(cluster, folder, "results/table3.csv", *CONFIG)
    print(p.wait())
    print((folder / "controller.log").read_text())
    for job in cluster.jobs():
        print(job["JobId"], job["Comment"], job["JobState"], job["TimeLimit"], job["StartTime"], job["EndTime"], job.get("TresPerJob"))
