"""Shared look-ups: the checked config, the runs of every sweep, and paths."""

import os
from dataclasses import asdict
from pathlib import Path

from snakemake.exceptions import WorkflowError

from modelsoups.study import (
    check_config,
    expand_sweeps,
    list_points,
    named_sweeps,
    with_role,
)

HOME = Path(workflow.basedir)
os.environ.update(
    # An environment made by `--sdm conda` has the libraries but not this package.
    PYTHONPATH=str(HOME / "workflow"),
    # Freed memory stays with the process, in large pages: without page faults a training step on a
    # CPU is some percent faster (benchmarks/training_speed.py). glibc reads these at a start.
    MALLOC_MMAP_THRESHOLD_=str(2**30),
    MALLOC_TRIM_THRESHOLD_=str(2**32),
    GLIBC_TUNABLES="glibc.malloc.hugetlb=1",
)

try:
    check_config(config, HOME / "workflow/schemas/config.schema.yaml")
    RUNS = expand_sweeps(config)
except ValueError as error:
    raise WorkflowError(str(error)) from None

[TRAIN] = with_role(config["datasets"], "train")
[HELD_OUT] = with_role(config["datasets"], "held_out")
EVALUATION_SETS = with_role(config["datasets"], "held_out", "test", "shift")
ROLES = {name: spec["role"] for name, spec in config["datasets"].items()}
NUM_CLASSES = sum(1 for line in open(config["classes"])) - 1


wildcard_constraints:
    sweep="|".join(config["sweeps"]),
    dataset="|".join(config["datasets"]),
    view="|".join(config["views"]),
    backbone="|".join(config["backbones"]),
    label_set="|".join(config.get("label_sets", {"none": None})),
    points="[a-z-]+",
    run=r"\d{3}",
    recipe="|".join(config["recipes"]),
    ensemble="|".join(config["ensembles"]),
    model="|".join(["initialization", r"\d{3}", *config["recipes"]]),


def backbone_of(wildcards):
    """Name of the backbone that the wildcards' sweep fine-tunes."""
    return config["sweeps"][wildcards.sweep]["backbone"]


def view_of(wildcards):
    """Name of the view that the backbone of the wildcards reads."""
    backbone = getattr(wildcards, "backbone", None) or backbone_of(wildcards)
    return config["backbones"][backbone]["view"]


def backbone_spec(wildcards):
    """The fields of BackboneSpec for the backbone of the wildcards."""
    backbone = getattr(wildcards, "backbone", None) or backbone_of(wildcards)
    return {
        key: value
        for key, value in config["backbones"][backbone].items()
        if key != "view"
    }


def pool_of(wildcards):
    """Names of the models that the sweep's recipes and ensembles choose from."""
    first = (
        ["initialization"]
        if config["sweeps"][wildcards.sweep].get("pool_initialization")
        else []
    )
    return first + list(RUNS[wildcards.sweep])


def kinds_of(sweep):
    """Name -> kind of every model and ensemble of a sweep that is scored."""
    return {
        "initialization": "initialization",
        **dict.fromkeys(RUNS[sweep], "run"),
        **dict.fromkeys(config["recipes"], "soup"),
        **dict.fromkeys(config["ensembles"], "ensemble"),
    }


def arrays_of(wildcards, dataset):
    """Paths `images` and `labels` of a data set in the view that the wildcards' backbone reads."""
    folder = f"results/data/{dataset}/{view_of(wildcards)}"
    return {"images": f"{folder}/images.npy", "labels": f"{folder}/labels.npy"}


def images_of_train(wildcards):
    """The training images in the view of the wildcards' backbone."""
    return arrays_of(wildcards, TRAIN)["images"]


def labels_of_train(wildcards):
    """The training labels."""
    return arrays_of(wildcards, TRAIN)["labels"]


def images_of_held_out(wildcards):
    """The held-out images in the view of the wildcards' backbone."""
    return arrays_of(wildcards, HELD_OUT)["images"]


def labels_of_held_out(wildcards):
    """The held-out labels."""
    return arrays_of(wildcards, HELD_OUT)["labels"]


def probe_images(wildcards):
    """The images that a linear probe is fitted on and chosen on."""
    return [images_of_train(wildcards), images_of_held_out(wildcards)]


def evaluation_images(wildcards):
    """The images of every evaluation set, in the order of EVALUATION_SETS."""
    return [arrays_of(wildcards, dataset)["images"] for dataset in EVALUATION_SETS]


def evaluation_labels(wildcards):
    """The labels of every evaluation set, in the order of EVALUATION_SETS."""
    return [arrays_of(wildcards, dataset)["labels"] for dataset in EVALUATION_SETS]


def head_of(wildcards):
    """The head file that the wildcards' sweep starts from."""
    start = config["sweeps"][wildcards.sweep]["start"]
    return f"results/heads/{backbone_of(wildcards)}-{start}-{TRAIN}.safetensors"


def run_spec(wildcards):
    """Every hyper-parameter of the run of the wildcards."""
    return asdict(RUNS[wildcards.sweep][wildcards.run])


def run_table(wildcards):
    """Every run of the wildcards' sweep with its hyper-parameters."""
    return {name: asdict(spec) for name, spec in RUNS[wildcards.sweep].items()}


def pool_weights(wildcards):
    """The weights of the pool's models, in its order."""
    return expand(
        rules.finetune_run.output.weights, sweep=wildcards.sweep, run=pool_of(wildcards)
    )


def pool_logits(wildcards):
    """The pool's logits on every evaluation set, data set by data set, the held-out set first."""
    return logits_of(wildcards.sweep, pool_of(wildcards), EVALUATION_SETS)


def pool_held_out_logits(wildcards):
    """The pool's logits on the held-out set, in the pool's order."""
    return logits_of(wildcards.sweep, pool_of(wildcards), [HELD_OUT])


def scored_logits(wildcards):
    """The logits of everything in a sweep on every evaluation set, data set by data set."""
    return logits_of(wildcards.sweep, kinds_of(wildcards.sweep), EVALUATION_SETS)


def scored_models(wildcards):
    """The model of each file of `scored_logits`."""
    return list(kinds_of(wildcards.sweep)) * len(EVALUATION_SETS)


def scored_kinds(wildcards):
    """The kind of the model of each file of `scored_logits`."""
    return list(kinds_of(wildcards.sweep).values()) * len(EVALUATION_SETS)


def scored_datasets(wildcards):
    """The data set of each file of `scored_logits`."""
    return [dataset for dataset in EVALUATION_SETS for _ in kinds_of(wildcards.sweep)]


def logits_of(sweep, models, datasets):
    """Files of logits, data set by data set and within one model by model."""
    return [
        f"results/sweeps/{sweep}/models/{model}/logits/{dataset}.parquet"
        for dataset in datasets
        for model in models
    ]


# What the analyses read.

LABEL_SETS = config.get("label_sets", {})
POINTS = list_points(config)
REPORTED_SETS = with_role(config["datasets"], "test", "shift")


def label_set_files(wildcards):
    """The label sets, in the order of the config."""
    return [f"results/label-sets/{name}.parquet" for name in LABEL_SETS]


def index_of_label_set(wildcards):
    """The index of the data set that the label set of the wildcards is for."""
    return f"results/data/{LABEL_SETS[wildcards.label_set]['dataset']}/index.parquet"


def paired_models(wildcards):
    """Everything in a sweep that is scored."""
    return list(kinds_of(wildcards.sweep))


def points_spec(wildcards):
    """The plan of the wildcards' points."""
    return POINTS[wildcards.sweep][wildcards.points]


def points_models(wildcards):
    """The models that points may be made of: the start, all runs, and a plan's soups."""
    soups = points_spec(wildcards).get("soups", [])
    return ["initialization", *RUNS[wildcards.sweep], *soups]


def points_weights(wildcards):
    """The weights of `points_models`."""
    return weights_of(wildcards.sweep, points_models(wildcards))


def points_sets(wildcards):
    """The data sets that points are evaluated on; planes have the training set too."""
    return [TRAIN] * (points_spec(wildcards)["kind"] == "plane") + REPORTED_SETS


def points_images(wildcards):
    """The images of `points_sets`."""
    return [arrays_of(wildcards, name)["images"] for name in points_sets(wildcards)]


def points_labels(wildcards):
    """The labels of `points_sets`."""
    return [arrays_of(wildcards, name)["labels"] for name in points_sets(wildcards)]


def reported_images(wildcards):
    """The images of the test set and the shift sets."""
    return [arrays_of(wildcards, name)["images"] for name in REPORTED_SETS]


def reported_labels(wildcards):
    """The labels of the test set and the shift sets."""
    return [arrays_of(wildcards, name)["labels"] for name in REPORTED_SETS]


def run_names(wildcards):
    """The runs of the wildcards' sweep."""
    return list(RUNS[wildcards.sweep])


def run_weights(wildcards):
    """The weights of the runs of the wildcards' sweep."""
    return weights_of(wildcards.sweep, RUNS[wildcards.sweep])


def run_logits(wildcards):
    """The runs' logits on every evaluation set, data set by data set."""
    return logits_of(wildcards.sweep, RUNS[wildcards.sweep], EVALUATION_SETS)


def run_curves(wildcards):
    """The runs' records."""
    return expand(
        rules.finetune_run.output.record,
        sweep=wildcards.sweep,
        run=RUNS[wildcards.sweep],
    )


def seeds_match(wildcards):
    """The hyper-parameters of the runs of a sweep that differ in their seed alone."""
    asked = [config.get("figureB2", {}), *config.get("figureG4", [])]
    [match, *_] = [
        seeds.get("match", {})
        for seeds in asked
        if seeds.get("sweep") == wildcards.sweep
    ]
    return match


def start_and_runs(wildcards):
    """The initialisation and the runs of the wildcards' sweep."""
    return ["initialization", *RUNS[wildcards.sweep]]


def start_and_run_weights(wildcards):
    """The weights of `start_and_runs`."""
    return weights_of(wildcards.sweep, start_and_runs(wildcards))


def start_and_run_logits(wildcards):
    """The logits of `start_and_runs` on the test set and the shift sets, data set by data set."""
    return logits_of(wildcards.sweep, start_and_runs(wildcards), REPORTED_SETS)


def weights_of(sweep, models):
    """Files of weights, model by model."""
    return [
        f"results/sweeps/{sweep}/models/{model}/weights.safetensors" for model in models
    ]


def points_files(sweep, *names):
    """Files of evaluated points of a sweep."""
    return [f"results/sweeps/{sweep}/points/{name}.parquet" for name in names]


def plane_source(second, labels, category, title):
    """The source of a figure of two planes: seeds, and another learning rate."""
    return {
        "files": points_files(config["figure2"]["sweep"], "plane-seed", second),
        "labels": labels,
        "category": category,
        "title": title,
    }


def figure_sources():
    """Figure -> what it is drawn from: files, labels of each, spec, category and title."""
    intuition, soups = "Section 3.2: intuition", "Section 3.3: model soups"
    scores = f"results/sweeps/{config['figure1']}/scores.parquet"
    one = {"files": [scores], "labels": [config["figure1"]], "category": soups}
    sources = {
        "figure1": {**one, "title": "Figure 1"},
        "figureL3": {
            **one,
            "title": "Figure L.3",
            "category": "Appendix L: additional baselines",
        },
    }
    if "figure2" in config:
        sources["figure2"] = plane_source(
            "plane-smaller-lr",
            ["Same learning rate", "Smaller learning rate"],
            intuition,
            "Figure 2",
        )
        if "larger_lr" in config["figure2"]:
            sources["figureJ1"] = plane_source(
                "plane-larger-lr",
                ["Same learning rate", "Larger learning rate"],
                "Appendix J: experimental details",
                "Figure J.1",
            )
    if "figure3" in config:
        sweep = config["figure3"]["sweep"]
        sources["figure3"] = {
            "files": points_files(sweep, "angles"),
            "labels": [sweep],
            "category": intuition,
            "title": "Figure 3",
        }
    if "figure4" in config:
        sweep = config["figure4"]["sweep"]
        sources["figure4"] = {
            "files": points_files(sweep, "pairs"),
            "logits": logits_of(sweep, RUNS[sweep], REPORTED_SETS),
            "models": list(RUNS[sweep]),
            "labels": [sweep],
            "category": intuition,
            "title": "Figure 4",
        }
    if "figureB1" in config:
        sweep = config["figureB1"]["sweep"]
        sources["figureB1"] = {
            "files": [f"results/sweeps/{sweep}/growth.parquet"],
            "labels": [sweep],
            "category": "Appendix B: additional figures",
            "title": "Figure B.1",
        }
    if "figureB2" in config:
        sweep = config["figureB2"]["sweep"]
        sources["figureB2"] = {
            "files": [f"results/sweeps/{sweep}/seeds.parquet"],
            "labels": [sweep],
            "category": "Appendix B: additional figures",
            "title": "Figure B.2",
        }
    if "figureD1" in config:
        sweeps = config["figureD1"]["sweeps"]
        sources["figureD1"] = {
            "files": [path for sweep in sweeps for path in points_files(sweep, "wise")],
            "labels": sweeps,
            "category": "Appendix D: robust fine-tuning",
            "title": "Figure D.1",
        }
    if "figureG4" in config:
        sweeps = [seeds["sweep"] for seeds in config["figureG4"]]
        sources["figureG4"] = {
            "files": [f"results/sweeps/{sweep}/seeds.parquet" for sweep in sweeps],
            "labels": sweeps,
            "category": "Appendix G: other data and pre-training",
            "title": "Figure G.4",
        }
    if "figureK1" in config:
        sweep = config["figureK1"]["sweep"]
        sources["figureK1"] = {
            "files": [f"results/sweeps/{sweep}/approximation.parquet"],
            "labels": [sweep],
            "spec": config["figureK1"],
            "category": "Section 4 and Appendix K: soups and ensembles",
            "title": "Figure K.1",
        }
    return sources


FIGURES = figure_sources()


def caption_of(name):
    """Path of the caption that `what_holds` writes for a table or figure."""
    return str(Path("results/captions", f"{name}.rst").absolute())


def captioned():
    """The tables and figures that have a computed caption."""
    return ["what-holds", "table3", "table4", *FIGURES]


def sweep_name(wildcards):
    """The name of the wildcards' sweep, as a spec."""
    return {"sweep": wildcards.sweep}


def claims_sweeps():
    """The sweeps whose soups the claims are about."""
    named = [config["table3"], *config.get("what_holds", {}).values()]
    return list(dict.fromkeys(named))


def claims_described():
    """The figures that are described in numbers, without a test."""
    return [
        name
        for name in ("figure2", "figureJ1", "figureD1", "figureG4")
        if name in FIGURES
    ]


def claims_files():
    """What the claims are judged on."""
    files = {
        name: [f"results/sweeps/{sweep}/{name}.parquet" for sweep in claims_sweeps()]
        for name in ("scores", "correct")
    }
    files["described"] = [f"results/{name}.parquet" for name in claims_described()]
    for name in ("figure3", "figure4"):
        if name in FIGURES:
            files[name] = f"results/{name}.parquet"
    for name, figure in (("seeds", "figureB2"), ("approximation", "figureK1")):
        if figure in FIGURES:
            files[name] = FIGURES[figure]["files"][0]
    return files


def evidence():
    """Every table and figure of the study, with what the report shows of its sweeps."""
    figures = [f"results/{name}.{kind}" for name in FIGURES for kind in ("svg", "png")]
    tables = [f"results/table4-{sweep}.html" for sweep in config.get("table4", [])]
    shown = dict.fromkeys(sweep for _, sweep in named_sweeps(config))
    runs = [
        f"results/sweeps/{sweep}/{page}"
        for sweep in shown
        for page in ("runs.html", "curves.svg")
    ]
    return ["results/table3.csv", "results/what-holds.html", *figures, *tables, *runs]
