"""The checked study, and the look-ups that several rules share."""

import gc
import os
import re
import sys
import tarfile
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote

from snakemake.exceptions import WorkflowError
from snakemake.io import sourcecache_entry

# A plan is a hundred thousand small objects that stay; looking for garbage among them again and
# again takes a tenth of its time.
gc.set_threshold(200_000, 50, 1_000)


def folder_of(source):
    """The folder on this machine of a source folder of this workflow.

    Another workflow may import this one from a repository. Snakemake then reads the rules out of it
    one by one; the package and what ships are whole folders, so the repository is unpacked here,
    once a tag or commit. All its files have the time of that commit.
    """
    if not hasattr(source, "host"):  # not of a repository elsewhere
        return Path(os.path.normpath(source.get_path_or_uri(secret_free=True)))
    if source.branch is not None:
        source.fetch_if_required()
        version = source.hosted_repo.repo.commit(source.branch).hexsha
    else:
        version = source.ref  # fixed: what is unpacked needs no network
    folder = Path(".snakemake/modelsoups", quote(version, safe="")).absolute()
    if not folder.exists():
        source.fetch_if_required()
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
            archive = Path(draft, "all.tar")
            source.hosted_repo.repo.git.archive(version, output=archive)
            with tarfile.open(archive) as file:
                file.extractall(Path(draft, "all"), filter="data")
            with suppress(OSError):  # another process was first
                Path(draft, "all").rename(folder)
    return folder / source.path


HOME = folder_of(workflow.current_basedir.join(".."))
sys.path.insert(0, str(HOME / "workflow"))  # this package, not another

import modelsoups.base
from modelsoups.base.code import code_of, digest_of
from modelsoups.base.functions import file_of
from modelsoups.base.hub import why_no_push, with_paths
from modelsoups.base.paths import expanded
from modelsoups.paper.schema import complete_schema
from modelsoups.paper.targets import (
    list_analyses,
    list_names,
    list_problems,
    list_targets,
)
from modelsoups.soups.options import BY_GROUP
from modelsoups.soups.registry import (
    RECIPES,
    full_config,
    parse_recipe,
)
from modelsoups.study.classes import list_ids
from modelsoups.study.config import check_config, check_soup, read_config
from modelsoups.study.own import (
    HELD_OUT,
    MODEL,
    OWN,
    add_study,
    evaluator_of,
    recipe_of,
)
from modelsoups.study.checkpoints import watched_files
from modelsoups.study.groups import averages_in
from modelsoups.study.replicates import folds_of, list_replicates
from modelsoups.study.search import INITIALIZATION, as_params
from modelsoups.study.study import PROBES, STARTS, identity, name_in

PACKAGE = Path(modelsoups.base.__file__).parents[1]
MANY_IMAGES = 5_000  # from here on a data set is worth more than one thread
NONE = "(?!)"  # a pattern that matches nothing
RUN = r"\d{3}\d*"  # names of runs: 000 and up; models made elsewhere have names of their own

os.environ.update(
    # Jobs use the package that the workflow was read with; an environment made by `--sdm conda` has
    # the libraries alone.
    PYTHONPATH=str(PACKAGE.parent),
    # Where shipped resources are, if not in the working folder.
    MODELSOUPS_HOME=str(HOME),
    # Freed memory stays with the process, in large pages: without page faults a training step on a
    # CPU is some percent faster (benchmarks/training_speed.py). glibc reads these at a start.
    MALLOC_MMAP_THRESHOLD_=str(2**30),
    MALLOC_TRIM_THRESHOLD_=str(2**32),
    GLIBC_TUNABLES="glibc.malloc.hugetlb=1",
)


# With --default-storage-provider Snakemake copies what a job reads from there (docs/cloud.md).
STORAGE = workflow.storage_registry.default_storage_provider
if STORAGE is not None:
    stored = (workflow.storage_settings.default_storage_prefix or ".").rstrip("/")
    staged = STORAGE.object(f"{stored}/_").local_path().parent
    os.environ.update(MODELSOUPS_STAGED=str(staged.absolute()))


def source(path):
    """A file that jobs see without being copied: of this workflow, or on a disk of theirs."""
    return sourcecache_entry(path, path) if STORAGE is not None else path


def left(paths):
    """Outputs that a job finds as they were, for it to keep; in a storage it finds none."""
    return update(paths) if STORAGE is None else paths


def shipped(path):
    """A path of the config; what is not in the working folder ships with this workflow."""
    return (
        str(HOME / path) if not Path(path).exists() and (HOME / path).exists() else path
    )


def given(path):
    """A file that the config names, as an input: from the storage, if there is one, unless absolute."""
    path = path if STORAGE is not None else shipped(path)
    return source(path) if Path(path).is_absolute() else path


try:
    CONFIG = with_paths(read_config(config, shipped))
    # Where the user's data are: the environment's word counts, then the config's.
    os.environ.update({**CONFIG.get("folders", {}), **os.environ})
    schema = complete_schema(HOME / "workflow/schemas/config.schema.yaml")
    check_soup(CONFIG, schema)
    CONFIG = add_study(CONFIG, shipped)
    STUDY = check_config(
        CONFIG,
        schema,
        named=list_names,
        problems=list_problems,
    )
    CLASS_IDS = {
        name: list_ids(STUDY.said_of(name, "classes"), shipped)
        for name in CONFIG["datasets"]
    }
    TARGETS = list_targets(CONFIG)
    ANALYSES = list_analyses(CONFIG)
except ValueError as error:
    raise WorkflowError(str(error)) from None
if "soup" in CONFIG and STORAGE is not None:
    raise WorkflowError(
        "soup: models made elsewhere are looked at before there are jobs, so they are not read from "
        "a storage; leave out --default-storage-provider"
    )
if CONFIG.get("allow_cpu"):
    os.environ.update(MODELSOUPS_ALLOW_CPU="1")  # read by modelsoups.models.devices

if "container" in CONFIG:

    container: CONFIG["container"]


DATASETS, SWEEPS, BACKBONES = CONFIG["datasets"], CONFIG["sweeps"], CONFIG["backbones"]


def one_of(names):
    """A pattern that matches these names and no other."""
    return "|".join(names) or NONE


# Names of averages along a run's trajectory: 000-ema0.999, 000-swa and so on.
AVERAGED = [
    rf"{RUN}-{re.escape(average)}"
    for average in dict.fromkeys(sum(STUDY.sweeps_by_averages, ()))
]
SOUPED = [OWN] if "soup" in CONFIG else []  # the sweep of models made elsewhere
EVALUATE = evaluator_of(CONFIG)  # a function of the user's own that scores these models
SEEN = [name for name in STUDY.pools if not EVALUATE]  # whose examples are read here
NAMED = [run for models in STUDY.checkpoints.values() for run in models]


wildcard_constraints:
    sweep=one_of(STUDY.pools),
    dataset=one_of(DATASETS),
    view=one_of(CONFIG["views"]),
    backbone=one_of(BACKBONES),
    train=one_of(STUDY.with_role("train")),
    held_out=one_of(STUDY.with_role("held_out")),
    pretraining=one_of(CONFIG.get("pretraining", [])),
    label_set=one_of(CONFIG.get("label_sets", [])),
    run=RUN,
    recipe=one_of(CONFIG.get("recipes", [])),
    ensemble=one_of(CONFIG.get("ensembles", [])),
    start=one_of([INITIALIZATION, *STARTS]),
    model=one_of(
        [INITIALIZATION, *STARTS, RUN, *AVERAGED, *NAMED, *CONFIG.get("recipes", [])]
    ),


def class_ids(dataset):
    """Ids of the classes that a data set has labels of, in label order."""
    return CLASS_IDS[dataset]


def num_classes(wildcards):
    """Number of classes of the models of the wildcards' sweep or pool."""
    return len(class_ids(STUDY.held_out_of(wildcards.sweep)))


def train_of(wildcards):
    """The training set of the wildcards' sweep."""
    return STUDY.train_of(wildcards.sweep)


def held_out_of(wildcards):
    """The held-out set of the wildcards' sweep or pool."""
    return STUDY.held_out_of(wildcards.sweep)


def reported_of(wildcards):
    """The test set and the shift sets of the wildcards' sweep or pool."""
    return STUDY.reported_of(wildcards.sweep)


def evaluated_of(wildcards):
    """The held-out set and those."""
    return STUDY.evaluated_of(wildcards.sweep)


def code(script, *modules):
    """The package's modules that a script runs, however deep: an edit to one makes its step anew.

    Not for what fine-tuning starts from, nor for fine-tuning itself: an edit must not throw away
    trained models.
    """
    path = HOME / f"workflow/scripts/{script}.py"
    found = code_of(path, *modules, package=PACKAGE)
    return [
        source(os.path.relpath(each) if HOME == Path.cwd() else each) for each in found
    ]


def code_digest(script):
    """What these modules say, as a param: for rules with a job for each model.

    As inputs they were a quarter of the files that Snakemake looks at before it does anything.
    """
    path = HOME / f"workflow/scripts/{script}.py"
    return digest_of(code_of(path, package=PACKAGE), PACKAGE)


def module_path(name):
    """Path of the package's module in `modelsoups.room.module` or `modelsoups.room.module:function`."""
    parts = name.partition(":")[0].split(".")[1:]
    return PACKAGE.joinpath(*parts).with_suffix(".py")


def backbone_of(wildcards):
    """Config of the backbone of the wildcards: of a sweep, or the backbone itself."""
    name = getattr(wildcards, "backbone", None) or STUDY.backbone_of(wildcards.sweep)
    return BACKBONES[name]


def backbone_spec(wildcards):
    """The fields of BackboneSpec for the backbone of the wildcards."""
    return fields_of_backbone(backbone_of(wildcards))


def fields_of_backbone(entry):
    """The fields of BackboneSpec in an entry of the config's backbones."""
    return {key: value for key, value in entry.items() if key != "view"}


def view_spec(wildcards):
    """The fields of ViewSpec for the view that the backbone of the wildcards reads."""
    return CONFIG["views"][backbone_of(wildcards)["view"]]


def weights_of_backbone(wildcards):
    """The weights file of the wildcards' backbone, if the config names one by its path."""
    weights = backbone_of(wildcards)["weights"]
    return [given(weights)] if "/" in weights else []


def run_table(wildcards):
    """Every run of the wildcards' sweep with its hyper-parameters; what is off is left out."""
    runs = STUDY.runs.get(wildcards.sweep, {})
    return {name: as_params(spec) for name, spec in runs.items()}
