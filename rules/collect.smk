"""Named stopping points on the way to `all`."""


def plan_datasets():
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


def plan_arrays():
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


def plan_backbones():
    """Backbone -> the fields of its BackboneSpec."""
    return {
        name: {key: value for key, value in backbone.items() if key != "view"}
        for name, backbone in config["backbones"].items()
    }


def plan_sweeps():
    """Sweep -> the fields of its SweepSize, number of parameters aside."""
    recipes = config["recipes"].values()
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
        }
        for sweep, runs in RUNS.items()
    }


localrules:
    all_runs,
    all_soups,
    plan,


rule all_runs:
    """Every run of every sweep, fine-tuned and evaluated."""
    input:
        [
            f"results/sweeps/{sweep}/models/{run}/logits/{dataset}.parquet"
            for sweep in config["sweeps"]
            for run in RUNS[sweep]
            for dataset in EVALUATION_SETS
        ],


rule all_soups:
    """The scores of every sweep: its runs, soups and ensembles on every evaluation set."""
    input:
        expand("results/sweeps/{sweep}/scores.parquet", sweep=config["sweeps"]),


rule plan:
    """What each sweep will take, printed: runs, images, GPU hours and disk. Nothing is computed."""
    log:
        "results/logs/plan.log",
    params:
        study=config["study"],
        images_per_second=evaluation_speed(),
        num_classes=NUM_CLASSES,
        num_training_images=config["datasets"][TRAIN]["num_images"],
        held_out=HELD_OUT,
        evaluation=plan_datasets(),
        decoded=plan_arrays(),
        sweeps=plan_sweeps(),
        backbone_of={
            name: sweep["backbone"] for name, sweep in config["sweeps"].items()
        },
        backbones=plan_backbones(),
        logits_dtype=config["evaluation"].get("logits_dtype", "float32"),
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Planning the study"
    script:
        "../workflow/scripts/plan.py"
