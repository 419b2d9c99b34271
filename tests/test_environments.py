"""The three places that name versions agree, and carry no address of a package index."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def normalise(requirement: str) -> str:
    """Name of a requirement, spelled as in the lock."""
    return re.split(r"[><=; ]", requirement)[0].lower().replace("_", "-")


def locked() -> dict[str, str]:
    """Package -> version that the lock gives Python 3.11."""
    pins = re.findall(r"^([a-z0-9.-]+)==([^ ]+)(?: ; (.*))? \\$", LOCK, re.MULTILINE)
    return {name: version for name, version, marker in pins if ">= '3.12'" not in marker}


def conda() -> dict[str, str]:
    """Package -> version in the conda environment."""
    environment = yaml.safe_load((ROOT / "envs/modelsoups.yaml").read_text())
    [pip] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    return dict(requirement.split("==") for requirement in pip)


def test_conda_environment_has_the_locks_versions():
    assert conda() == {name: locked()[name] for name in conda()}


def test_conda_environment_has_every_dependency_that_scripts_import():
    needed = PROJECT["dependencies"] + EXTRAS["workflow"]
    dependencies = {normalise(requirement) for requirement in needed}
    assert conda().keys() == {name for name in dependencies if not name.startswith("snakemake")}


def test_lock_has_every_dependency_hashed_and_no_address():
    wanted = PROJECT["dependencies"] + EXTRAS["workflow"] + EXTRAS["dev"]
    assert {normalise(requirement) for requirement in wanted} <= locked().keys()
    assert LOCK.count("--hash=sha256:") > len(locked())
    assert "://" not in LOCK


def test_every_rule_that_runs_something_names_the_environment():
    for path in (ROOT / "rules").glob("*.smk"):
        rules = path.read_text()
        named = re.findall(r'conda:\s+"../envs/modelsoups.yaml"', rules)
        assert rules.count("script:") + rules.count("shell:") == len(named), path
