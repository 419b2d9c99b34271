"""The workflow as others find and use it: catalog, linter, import from a repository, package."""

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
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
    assert not software["apptainer"]  # an image has to be made and named first
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


def run_lines(job):
    """The commands of a job of the workflow on GitHub, for each value of its matrix."""
    for step in job["steps"]:
        assert ("run" in step) != ("uses" in step), step
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])
            continue
        matrix = job.get("strategy", {}).get("matrix", {"": [""]})
        for name, values in matrix.items():
            for value in values:
                yield shlex.split(step["run"].replace(f"${{{{ matrix.{name} }}}}", value))


def check_command(words):
    """Fail unless a command names files, targets and rules that there are."""
    program, *rest = words
    program = program.removeprefix(".venv/bin/")
    named = [word for word in rest if "/" in word or Path(word).suffix in (".yaml", ".txt")]
    missing = [word for word in named if not word.startswith(("results/", ".venv/"))]
    assert all((ROOT / word).exists() for word in missing), words
    if program == "make":
        makefile = (ROOT / "Makefile").read_text("utf-8")
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in rest), words
    elif program == "snakemake":
        rules = "".join(
            path.read_text() for path in [*ROOT.glob("rules/*.smk"), ROOT / "Snakefile"]
        )
        if rest[0] == "all":
            assert "rule all:" in rules
    elif program == "docker":
        assert rest[0] in ("build", "run")
        if rest[0] == "run":
            check_command(rest[rest.index("modelsoups:cpu") + 1 :])
    else:
        assert program in ("pip", "snakefmt", "mkdocs", "uv", "pytest"), words


def test_commands_of_the_workflow_on_github_exist():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    commands = [command for job in jobs.values() for command in run_lines(job)]
    for command in commands:
        check_command(command)
    assert ["make", "lint"] in commands
    assert ["make", "test"] in commands  # as .ci/run does


def test_every_config_is_planned_on_github():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    configs = {str(path.relative_to(ROOT)) for path in (ROOT / "config").glob("*.yaml")}
    configs -= {"config/own.yaml"}  # a template: the models and data are the user's
    assert set(jobs["workflow"]["strategy"]["matrix"]["config"]) == configs


def test_containers_copy_what_there_is():
    docker = (ROOT / "Dockerfile").read_text("utf-8")
    kept = (ROOT / ".dockerignore").read_text("utf-8")
    copied = [
        source for line in re.findall(r"^COPY (.*)$", docker, re.M) for source in line.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source == "." or f"!{source.split('/')[0]}\n" in kept, source
    for name in re.findall(r"^!(.*)$", kept, re.M):
        assert (ROOT / name).exists(), name
    recipe = (ROOT / "envs/modelsoups.def").read_text("utf-8")
    [files] = re.findall(r"^%files\n((?: +.*\n)+)", recipe, re.M)
    for line in files.splitlines():
        assert (ROOT / line.split()[0]).exists(), line


def test_containers_start_from_one_python():
    image = re.search(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.M)[1]
    assert f"From: {image}\n" in (ROOT / "envs/modelsoups.def").read_text("utf-8")
    assert "python=3.11" in (ROOT / "envs/modelsoups.yaml").read_text("utf-8")
    assert image.startswith("python:3.11-")


@pytest.mark.skipif(shutil.which("apptainer") is not None, reason="it would be run")
def test_image_of_a_config_is_asked_of_apptainer_where_that_is_wanted(tmp_path):
    folder = copy_workflow(tmp_path)
    chosen = ("--configfile", "config/test.yaml", "--config", "container=modelsoups.sif")
    done = snakemake(folder, "-n", "results/table3.csv", *chosen, "--sdm", "apptainer")
    assert done.returncode != 0
    assert "apptainer" in done.stdout
    assert snakemake(folder, "-n", "results/table3.csv", *chosen).returncode == 0


def test_environment_without_gpus_is_the_lock_less_torch_and_nvidias_libraries(tmp_path):
    python3 = tmp_path / "path/python3"  # stands for `python3 -m venv FOLDER`
    python3.parent.mkdir()
    python3.write_text(f'#!/bin/sh\nmkdir -p "$3/bin"; cp "{tmp_path}/pip" "$3/bin/python"\n')
    (tmp_path / "pip").write_text('#!/bin/sh\necho "$@" >> calls\n')
    for path in (python3, tmp_path / "pip"):
        path.chmod(0o755)
    environment = {"PATH": f"{python3.parent}:/usr/bin:/bin"}
    command = [ROOT / "envs/install.sh", "cpu", str(tmp_path)]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    lock, rest = (ROOT / "requirements.lock").read_text(), (tmp_path / "cpu.lock").read_text()
    pinned, kept = (set(re.findall(r"^([a-z0-9-]+==[\d.]+)", text, re.M)) for text in (lock, rest))
    left = {each for each in pinned - kept if not each.startswith(("cuda-", "nvidia-"))}
    assert {each.partition("==")[0] for each in left} == {"torch", "torchvision", "triton"}
    assert not {each for each in kept if each.startswith(("cuda-", "nvidia-"))}
    first, *_, last = (tmp_path / "calls").read_text().splitlines()
    assert "--require-hashes" in first
    assert "--torch-backend cpu" in last
    assert last.split()[-2:] == sorted(each for each in left if "triton" not in each)


def pages():
    """Every page of documentation that is written for people to read."""
    top = [ROOT / name for name in ("README.md", "CHANGELOG.md", "config/README.md")]
    return [*top, *(ROOT / "docs").glob("*.md"), *(ROOT / "resources").glob("*/README.md")]


def test_links_of_pages_lead_to_files():
    for page in pages():
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.relative_to(ROOT)}: {link}"


def test_every_page_is_in_the_contents_of_the_site():
    text = (ROOT / "mkdocs.yml").read_text("utf-8").replace("!ENV", "")
    nav = {page for entry in yaml.safe_load(text)["nav"] for page in entry.values()}
    assert nav == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_links_out_of_the_site_lead_to_the_repository_or_become_words():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs/hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    text = "see [the rules](../rules/data.smk) and [here](cluster.md)"
    config = SimpleNamespace(repo_url="https://example.org/a/b")
    assert hooks.on_page_markdown(text, config=config) == (
        "see [the rules](https://example.org/a/b/blob/main/rules/data.smk) and [here](cluster.md)"
    )
    config = SimpleNamespace(repo_url="")
    assert hooks.on_page_markdown(text, config=config) == "see the rules and [here](cluster.md)"


def test_site_is_built_without_a_warning(tmp_path):
    uvx = [sys.executable, "-m", "uv", "tool", "run", "--with-requirements", "envs/site.txt"]
    if subprocess.run([*uvx, "mkdocs", "--version"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip("what envs/site.txt names cannot be installed here")
    build = [*uvx, "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "batch_size" in (tmp_path / "config/index.html").read_text("utf-8")
    assert "average" in (tmp_path / "api/index.html").read_text("utf-8")
