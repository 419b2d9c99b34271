"""Checkouts of the workflow in temporary folders, for tests that run the real Snakefile."""

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
MODELS = "results/sweeps/tiny-search/models"


def copy_workflow(folder: Path) -> Path:
    """A checkout in `folder`, with the resources linked."""
    for name in ("rules", "workflow", "config", "envs", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "resources").symlink_to(ROOT / "resources")
    (folder / "slurm").symlink_to("config/profiles/slurm")
    return folder


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run snakemake in a checkout; its two streams are returned as one text, `stdout`."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def write_config(folder: Path, name: str, change) -> str:
    """The test study with a change, as a config file of that name."""
    config = yaml.safe_load((ROOT / "config/test.yaml").read_text())
    change(config)
    (folder / name).write_text(yaml.safe_dump(config, sort_keys=False))
    return name
