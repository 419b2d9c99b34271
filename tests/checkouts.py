"""Checkouts of the workflow in temporary folders, for tests that run the real Snakefile."""

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from forked import snakemake

ROOT = Path(__file__).parents[1]
MAIN = ("results/table3.csv", "results/figure1.svg")
MODELS = "results/sweeps/tiny-search/models"
PATIENCE = 3600  # seconds after which what is waited for is taken to have failed; machines are busy


def copy_workflow(folder: Path) -> Path:
    """A checkout in `folder`, with the resources linked."""
    for name in ("rules", "workflow", "config", "envs", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "resources").symlink_to(ROOT / "resources")
    (folder / "slurm").symlink_to("config/profiles/slurm")
    return folder


def write_config(folder: Path, name: str, change) -> str:
    """The test study with a change, as a config file of that name."""
    config = yaml.safe_load((ROOT / "config/test.yaml").read_text(encoding="utf-8"))
    change(config)
    (folder / name).write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return name


def merged(*paths: str) -> dict[str, Any]:
    """Configs laid over one another as Snakemake does, with what their catalog describes."""
    from snakemake.utils import update_config

    from modelsoups.study.config import read_config

    config: dict[str, Any] = {}
    for path in paths:
        update_config(config, yaml.safe_load((ROOT / path).read_text(encoding="utf-8")))
    return read_config(config, lambda path: str(ROOT / path))


def cook_only(config, **recipes) -> None:
    """Give a study these recipes, in all its sweeps, and nothing that is about others."""
    config["recipes"] = recipes
    del config["pools"], config["compare_recipes"]
    for sweep in config["sweeps"].values():
        sweep.pop("recipes", None)


def begin_from(study: Path, folder: Path) -> Path:
    """A checkout that has the study's data, heads and initialisation, but none of its runs."""
    copy_workflow(folder)
    for path in ("results/data", "results/heads", f"{MODELS}/initialization"):
        shutil.copytree(study / path, folder / path)
    return folder


def copy_study(study: Path, folder: Path) -> Path:
    """A checkout that has all that a finished study made."""
    copy_workflow(folder)
    for path in ("results", ".snakemake"):
        shutil.copytree(study / path, folder / path, ignore=shutil.ignore_patterns("locks", "log"))
    return folder


def planned(
    folder: Path, config: str = "config/test.yaml", targets: tuple[str, ...] = MAIN
) -> dict[str, int]:
    """Rule -> number of jobs that a dry-run lists."""
    done = snakemake(folder, *targets, "--dry-run", "--configfile", config)
    assert done.returncode == 0, done.stdout
    table = done.stdout.partition("Job stats:")[2].partition("\ntotal")[0]
    rows = re.findall(r"^([\w-]+) +(\d+)$", table, re.MULTILINE)
    return {rule: int(count) for rule, count in rows}


def lengthen(config) -> None:
    """Three runs, and epochs enough to be met in the middle."""
    search = config["sweeps"]["tiny-search"]["random"]
    search["num_runs"], search["space"]["epochs"] = 3, 4


def diverge(config) -> None:
    """Two runs, the first with a hopeless learning rate; little is made of them."""
    sweep = config["sweeps"]["tiny-search"]
    space = sweep.pop("random")["space"]
    sweep["finetune"] |= {"weight_decay": 0.0, "label_smoothing": 0.1, "epochs": space["epochs"]}
    sweep["finetune"] |= {"mixup": 0, "augmentation": "minimal"}
    sweep["grid"] = {"lr": [1.0e30, 1.0e-3]}
    cook_only(config, greedy={"kind": "greedy"})
    config["ensembles"] = {"ensemble": {"kind": "uniform"}}
    for key in [key for key in config if key.startswith("figure") and key != "figure1"]:
        del config[key]


def processes(folder: Path, program: str, variable: str = "") -> list[int]:
    """Ids of the processes that work in a folder, run a program and have NAME=value set."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (
                (process / "cwd").readlink() == folder
                and program in (process / "cmdline").read_text()
                and (not variable or variable in (process / "environ").read_text().split("\0"))
            ):
                found.append(int(process.name))
    return found


def freeze(folder: Path, program: str, variable: str = "") -> int:
    """Stop the clock of the one process that fits; its id."""
    (process,) = processes(folder, program, variable)
    os.kill(process, signal.SIGSTOP)
    return process


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds; fail the test if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds} s in vain for {what}")
        time.sleep(0.1)
