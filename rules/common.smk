"""Shared look-ups: the checked config, the runs of every sweep, and paths."""

import os
from dataclasses import asdict
from pathlib import Path

from snakemake.exceptions import WorkflowError

from modelsoups.study.config import (
    STARTS,
    check_config,
    expand_sweeps,
    has_zero_shot,
    list_points,
    named_sweeps,
    with_role,
)

HOME = Path(workflow.basedir)
MANY_IMAGES = 5_000  # from here on a data set is worth more than one thread
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
    # Where the user's data are: the environment's word counts, then the config's.
    os.environ.update({**config.get("folders", {}), **os.environ})
    RUNS = expand_sweeps(config)
except ValueError as error:
    raise WorkflowError(str(error)) from None

FINETUNED = [name for name, sweep in config["sweeps"].items() if "kind" not in sweep]
CHECKPOINTS = {  # sweep -> model -> its file
    name: RUNS[name] for name in config["sweeps"] if name not in FINETUNED
}
RUNS.update(
    {
        name: {run: spec for run, spec in models.items() if run != "initialization"}
        for name, models in CHECKPOINTS.items()
    }
)
NO_SWEEP = "(?!)"  # matches nothing
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
    pretraining="|".join(config.get("pretraining", [])) or "none",
    label_set="|".join(config.get("label_sets", {"none": None})),
    points="[a-z-]+",
    run=r"\d{3}",
    recipe="|".join(config["recipes"]),
    ensemble="|".join(config["ensembles"]),
    start="|".join(["initialization", *STARTS]),
    model="|".join(["initialization", *STARTS, r"\d{3}", *config["recipes"]]),


def backbone_of(wildcards):
    """Name of the backbone that the wildcards' sweep fine-tunes."""
    return config["sweeps"][wildcards.sweep]["backbone"]


def backbone_config(wildcards):
    """The config of the backbone of the wildcards."""
    backbone = getattr(wildcards, "backbone", None) or backbone_of(wildcards)
    return config["backbones"][backbone]


def view_of(wildcards):
    """Name of the view that the backbone of the wildcards reads."""
    return backbone_config(wildcards)["view"]


def view_spec(wildcards):
    """The fields of ViewSpec for the view that the backbone of the wildcards reads."""
    return config["views"][view_of(wildcards)]


def size_of_view(wildcards):
    """Side in pixels of the images that the backbone of the wildcards reads."""
    return view_spec(wildcards)["size"]


def backbone_spec(wildcards):
    """The fields of BackboneSpec for the backbone of the wildcards."""
    return fields_of_backbone(backbone_config(wildcards))


def fields_of_backbone(entry):
    """The fields of BackboneSpec in an entry of the config's backbones."""
    return {key: value for key, value in entry.items() if key != "view"}


def weights_of_backbone(wildcards):
    """The weights file of the wildcards' backbone, if the config names one by its path."""
    weights = backbone_config(wildcards)["weights"]
    return [weights] if "/" in weights else []


def pool_of(wildcards):
    """Names of the models that the sweep's recipes and ensembles choose from."""
    return pool_of_sweep(wildcards.sweep)


def pool_of_sweep(sweep):
    """Names of the models that a sweep's recipes and ensembles choose from."""
    with_start = config["sweeps"][sweep].get("pool_initialization")
    return ["initialization"] * bool(with_start) + list(RUNS[sweep])


def start_models(sweep):
    """The initialisation of a sweep, if it has one."""
    has_one = sweep in FINETUNED or "initialization" in CHECKPOINTS[sweep]
    return ["initialization"] * has_one


def checkpoint_spec(wildcards):
    """The fields of CheckpointSpec for the model `{imported}` of a sweep of checkpoints."""
    return asdict(CHECKPOINTS[wildcards.sweep][wildcards.imported])


def checkpoint_kind(wildcards):
    """The kind of the model `{imported}`."""
    return "initialization" if wildcards.imported == "initialization" else "run"


def checkpoint_records(wildcards):
    """The records of all models of a sweep of checkpoints."""
    return expand(
        rules.import_checkpoint.output.record,
        sweep=wildcards.sweep,
        imported=CHECKPOINTS[wildcards.sweep],
    )


def kinds_of(sweep):
    """Name -> kind of every model and ensemble of a sweep that is scored."""
    return {
        **dict.fromkeys(start_models(sweep), "initialization"),
        **dict.fromkeys(config["sweeps"][sweep].get("other_starts", []), "start"),
        **dict.fromkeys(RUNS[sweep], "run"),
        **dict.fromkeys(config["recipes"], "soup"),
        **dict.fromkeys(config["ensembles"], "ensemble"),
    }


def dataset_spec(wildcards):
    """The fields of DatasetSpec for the data set of the wildcards."""
    return {
        key: value
        for key, value in config["datasets"][wildcards.dataset].items()
        if key not in ("training_input", "trim_border")
    }


def file_of_dataset(wildcards):
    """The data set's file, if it is a single one in a fixed place; others are not watched."""
    spec = config["datasets"][wildcards.dataset]
    single = "layout" not in spec and not set("$*") & set(spec["path"])
    return [spec["path"]] if single else []


def decode_threads(wildcards):
    """Threads that decode the data set of the wildcards."""
    return (
        16 if config["datasets"][wildcards.dataset]["num_images"] > MANY_IMAGES else 1
    )


def decodes_in_training():
    """Whether training reads encoded images, not an array."""
    return config["datasets"][TRAIN].get("training_input", "array") != "array"


def probe_threads(wildcards):
    """Threads that compute features, and decode the training images where no array has them."""
    return 16 if decodes_in_training() else 2


def images_of(wildcards, dataset):
    """The array of a data set in the view that the wildcards' backbone reads."""
    return f"results/data/{dataset}/{view_of(wildcards)}/images.npy"


def images_of_train(wildcards):
    """What training reads: a view's array, or the index of images that are decoded each time."""
    match config["datasets"][TRAIN].get("training_input", "array"):
        case "array":
            return images_of(wildcards, TRAIN)
        case "files":
            return f"results/data/{TRAIN}/checked/index.parquet"
        case "resized":
            return f"results/data/{TRAIN}/resized/index.parquet"


def labels_of_train(wildcards):
    """The training labels."""
    return f"results/data/{TRAIN}/labels.npy"


def images_of_held_out(wildcards):
    """The held-out images in the view of the wildcards' backbone."""
    return images_of(wildcards, HELD_OUT)


def labels_of_held_out(wildcards):
    """The held-out labels."""
    return f"results/data/{HELD_OUT}/labels.npy"


def pretraining_spec(wildcards):
    """The fields of PretrainingSpec for the pre-training of the wildcards."""
    spec = config["pretraining"][wildcards.pretraining]
    return {key: value for key, value in spec.items() if key != "backbone"}


def pretraining_start(wildcards):
    """The fields of BackboneSpec for where the pre-training of the wildcards starts."""
    backbone = config["pretraining"][wildcards.pretraining]["backbone"]
    return fields_of_backbone(config["backbones"][backbone])


def probe_images(wildcards):
    """The images that a linear probe is fitted on, as an array or an index, and is chosen on."""
    train = images_of_train(wildcards)
    if train.endswith(".parquet"):
        train = f"results/data/{TRAIN}/index.parquet"
    return [train, images_of_held_out(wildcards)]


def evaluation_images(wildcards):
    """The images of every evaluation set, in the order of EVALUATION_SETS."""
    return [images_of(wildcards, dataset) for dataset in EVALUATION_SETS]


def start_of(wildcards):
    """The start, zero-shot or linear-probe, that the model `{start}` of a sweep has."""
    if wildcards.start == "initialization":
        return config["sweeps"][wildcards.sweep]["start"]
    return wildcards.start


def kind_of_start(wildcards):
    """The kind of the model `{start}` of a sweep."""
    return "initialization" if wildcards.start == "initialization" else "start"


def head_of(wildcards):
    """The head file of the model `{start}` of a sweep."""
    start = start_of(wildcards)
    return f"results/heads/{backbone_of(wildcards)}-{start}-{TRAIN}.safetensors"


def zero_shot_head_of(wildcards):
    """The zero-shot head of the wildcards' backbone, if it has one: where its probe starts."""
    if not has_zero_shot(config, wildcards.backbone):
        return []
    return [f"results/heads/{wildcards.backbone}-zero-shot-{TRAIN}.safetensors"]


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


def plan_datasets(wildcards):
    """Evaluation set -> number of images and of classes."""
    return {
        dataset: {
            "num_images": config["datasets"][dataset]["num_images"],
            "num_classes": (
                config["datasets"][dataset].get("num_classes", NUM_CLASSES)
                if "class_map" in config["datasets"][dataset]
                else NUM_CLASSES
            ),
        }
        for dataset in EVALUATION_SETS
    }


def plan_arrays(wildcards):
    """Data set and view -> number of images and their side, for each array that will be made."""
    views = {backbone["view"] for backbone in config["backbones"].values()}
    return {
        f"{dataset} at {view}": (
            config["datasets"][dataset]["num_images"],
            config["views"][view]["size"],
        )
        for view in sorted(views)
        for dataset in [TRAIN] * (not decodes_in_training()) + EVALUATION_SETS
    }


def plan_backbones(wildcards):
    """Backbone -> the fields of its BackboneSpec."""
    return {
        name: {key: value for key, value in backbone.items() if key != "view"}
        for name, backbone in config["backbones"].items()
    }


def plan_sweeps(wildcards):
    """Sweep -> the fields of its SweepSize, number of parameters aside."""
    recipes = config["recipes"].values()
    passes = sum(learned_passes(recipe) for recipe in config["recipes"])
    learned = passes * config["datasets"][HELD_OUT]["num_images"]
    return {
        sweep: {
            "epochs": [getattr(run, "epochs", 0) for run in runs.values()],
            "num_weights": len(start_models(sweep))
            + len(runs)
            + len(config["recipes"]),
            "num_ensembles": len(config["ensembles"]),
            "num_greedy": sum(recipe["kind"] == "greedy" for recipe in recipes),
            "num_candidates": len(pool_of_sweep(sweep)),
            "images_per_second": compute_of_sweep(sweep)["images_per_second"],
            "other_images": learned + sum(analyses()[sweep].values()),
        }
        for sweep, runs in RUNS.items()
    }
