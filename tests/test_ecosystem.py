"""The workflow as others find and use it: catalog, linter, import from a repository, package."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from zipfile import ZipFile

import pytest
import yaml

import modelsoups
from checkouts import ROOT, copy_workflow, planned, snakemake

SNAKEDEPLOY = "snakedeploy==0.17.1"
ADDRESS = "https://github.com/someone/modelsoups"
TAG = "v0"
# Runs Snakemake as where it alone is installed: none of this project's other dependencies can be
# imported, nor the package as it is installed for tests.
SNAKEMAKE_ALONE = """
import sys
from snakemake.cli import main

def refused(name):
    return name.partition(".")[0] in {refused}

class Refuse:
    def find_spec(name, path=None, target=None):
        if refused(name):
            raise ModuleNotFoundError(f"{{name}} is not in Snakemake's environment", name=name)

for name in [*filter(refused, sys.modules)]:  # a plugin has imported them
    del sys.modules[name]
sys.meta_path = [Refuse, *(each for each in sys.meta_path if "editable" not in repr(each).lower())]
sys.path = [each for each in sys.path if each != {package!r}]
main({arguments!r})
"""


def snakemake_alone(folder, *arguments):
    """Run snakemake in a folder as where nothing but Snakemake is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split("[><=]", each)[0].replace("-", "_") for each in project["dependencies"]}
    come_with_it = {"snakemake", "snakemake_executor_plugin_slurm", "jsonschema", "pyyaml"}
    imported = {"open_clip_torch": "open_clip", "pillow": "PIL", "scikit_learn": "sklearn"}
    refused = {imported.get(name, name) for name in names - come_with_it}
    program = SNAKEMAKE_ALONE.format(
        refused=refused, package=str(ROOT / "workflow"), arguments=list(arguments)
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of the workflow on disk, which git takes for one on GitHub, and its address."""
    folder = copy_workflow(tmp_path / "repository")
    (folder / "resources").unlink()
    shutil.copytree(ROOT / "resources", folder / "resources")
    shutil.copy(ROOT / "LICENSE", folder)
    settings = {"GIT_CONFIG_GLOBAL": "/dev/null", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    settings |= {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{folder}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    author = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "all"], ["tag", TAG]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return ADDRESS


def deploy(folder, repository):
    """Have snakedeploy deploy the workflow into a folder, for the test study."""
    uvx = [sys.executable, "-m", "uv", "tool", "run", "--from", SNAKEDEPLOY, "snakedeploy"]
    if subprocess.run([*uvx, "--version"], capture_output=True).returncode:
        pytest.skip(f"{SNAKEDEPLOY} cannot be installed here")
    folder.mkdir()
    command = [*uvx, "deploy-workflow", repository, ".", "--tag", TAG]
    subprocess.run(command, cwd=folder, check=True)
    snakefile = folder / "workflow/Snakefile"
    text = snakefile.read_text("utf-8")
    assert text.count("config/config.yaml") == 1
    snakefile.write_text(text.replace("config/config.yaml", "config/test.yaml"), "utf-8")
    return folder


def test_workflow_of_the_catalog_plans_what_the_users_does(tmp_path):
    folder = copy_workflow(tmp_path)
    jobs = planned(folder, targets=("all",))
    assert jobs == planned(folder, targets=("all", "--snakefile", "workflow/Snakefile"))
    assert jobs["finetune_run"] == 6


def test_linter_has_nothing_to_say_where_snakemake_alone_is_installed(tmp_path):
    folder = copy_workflow(tmp_path)
    for arguments in ((), ("--snakefile", "workflow/Snakefile")):
        done = snakemake_alone(folder, "--lint", *arguments)
        assert done.returncode == 0, done.stdout
        assert "good condition" in done.stdout


def test_formatter_has_nothing_to_change_by_its_defaults():
    command = ["snakefmt", "--check", "Snakefile", "workflow/Snakefile", "rules"]
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_catalog_is_told_what_the_workflow_can_do():
    settings = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert settings.keys() == {"mandatory-flags", "software-stack-deployment", "report"}
    software = settings["software-stack-deployment"]
    rules = "".join(path.read_text() for path in [*(ROOT / "rules").rglob("*.smk")])
    assert software["conda"] == ("conda:" in rules)
    assert software["apptainer"] == ("container:" in rules + (ROOT / "Snakefile").read_text())
    assert settings["report"] == ("report(" in rules)
    assert (ROOT / "config/README.md").exists()  # the catalog shows it


def test_page_on_reuse_shows_the_snakefile_that_is_tested():
    module = ast.parse((ROOT / "tests/test_module.py").read_text("utf-8"))
    [tested] = [
        node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "SNAKEFILE"
    ]
    shown = re.search(r"```python\n(.*?)```", (ROOT / "docs/reuse.md").read_text("utf-8"), re.S)[1]
    assert shown.strip() == tested.format(root="/path/to/modelsoups").strip()


def test_page_on_reuse_shows_the_command_that_is_tested():
    page = (ROOT / "docs/reuse.md").read_text("utf-8")
    assert "snakedeploy deploy-workflow REPOSITORY . --tag TAG\n" in page


def test_workflow_deployed_from_a_repository_plans_and_runs(repository, tmp_path):
    folder = deploy(tmp_path / "deployed", repository)
    done = snakemake(folder, "--dry-run", "all")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^finetune_run +6$", done.stdout, re.MULTILINE)
    record = "results/data/tiny-test/record.json"
    done = snakemake(folder, record)
    assert done.returncode == 0, done.stdout
    assert (folder / record).exists()
    assert [path.name for path in (folder / ".snakemake/modelsoups").iterdir()] == [TAG]


def test_version_is_said_alike():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"]
    [latest, *_] = re.findall(r"^## (\d\S*) - ", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"] == {
        "version": {"attr": "modelsoups.__version__"}
    }
    assert cited == latest == modelsoups.__version__


def test_citation_and_readme_name_the_same_authors():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["preferred-citation"]
    authors = " and ".join(
        f"{each['family-names']}, {each['given-names']}" for each in cited["authors"]
    )
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert f"author = {{{authors}}}" in readme
    assert f"title = {{{cited['title']}}}" in readme


def test_wheel_has_the_whole_package(tmp_path):
    for name in ("workflow/modelsoups", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, tmp_path / "source" / name)
    build = [sys.executable, "-m", "uv", "build", "--wheel", "--no-build-isolation", "--offline"]
    subprocess.run([*build, "--out-dir", tmp_path], cwd=tmp_path / "source", check=True)
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.name == f"modelsoups-{modelsoups.__version__}-py3-none-any.whl"
    package = ROOT / "workflow/modelsoups"
    files = {
        str(path.relative_to(package.parent))
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert "modelsoups/paper/style.mplstyle" in files
    assert files == {
        name for name in ZipFile(wheel).namelist() if not name.startswith("modelsoups-")
    }
