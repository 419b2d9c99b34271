"""Evaluation: one job per model covers the held-out set, the test set and the shift sets."""


rule evaluate_model:
    """Logits, predictions and labels of a model, one Parquet a data set and one row an image."""
    input:
        weights="results/sweeps/{sweep}/models/{model}/weights.safetensors",
        images=evaluation_images,
        labels=expand("results/data/{dataset}/labels.npy", dataset=EVALUATION_SETS),
        class_maps=expand(
            "results/data/{dataset}/class_map.npy", dataset=EVALUATION_SETS
        ),
    output:
        logits=expand(
            "results/sweeps/{sweep}/models/{model}/logits/{dataset}.parquet",
            dataset=EVALUATION_SETS,
            allow_missing=True,
        ),
    log:
        "results/logs/evaluate_model/{sweep}-{model}.log",
    threads: 1
    resources:
        gpu=1,
        mem_mb=evaluation_memory,
        runtime=evaluation_minutes,
    params:
        backbone=backbone_spec,
        datasets=EVALUATION_SETS,
        batch_size=config["evaluation"]["batch_size"],
        logits_dtype=config["evaluation"].get("logits_dtype", "float32"),
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Evaluating {wildcards.model} of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/evaluate_model.py"


rule score_sweep:
    """Every metric of every model of a sweep on every evaluation set, as a tidy table."""
    input:
        logits=scored_logits,
        runs="results/sweeps/{sweep}/runs.csv",
        code="workflow/modelsoups/evaluation/scores.py",
    output:
        scores="results/sweeps/{sweep}/scores.parquet",
    log:
        "results/logs/score_sweep/{sweep}.log",
    params:
        models=scored_models,
        kinds=scored_kinds,
        datasets=scored_datasets,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Scoring sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/score_sweep.py"
