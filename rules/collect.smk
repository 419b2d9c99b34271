"""Named stopping points on the way to `all`."""


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
        evaluation=plan_datasets,
        decoded=plan_arrays,
        sweeps=plan_sweeps,
        backbone_of={
            name: sweep["backbone"] for name, sweep in config["sweeps"].items()
        },
        backbones=plan_backbones,
        logits_dtype=config["evaluation"].get("logits_dtype", "float32"),
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Planning the study"
    script:
        "../workflow/scripts/plan.py"
