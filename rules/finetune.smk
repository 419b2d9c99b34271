"""The sweep: one fine-tuning job per run. The package's modules are no inputs here on purpose:
an edit to the code must not throw away trained models."""


localrules:
    list_runs,


rule list_runs:
    """The runs of a sweep: one row each, with every hyper-parameter and the seed."""
    output:
        runs="results/sweeps/{sweep}/runs.csv",
    log:
        "results/logs/list_runs/{sweep}.log",
    wildcard_constraints:
        sweep="|".join(FINETUNED) or NO_SWEEP,
    params:
        runs=run_table,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Listing the runs of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/list_runs.py"


rule finetune_run:
    """The weights of one run, and the record of how they were made."""
    input:
        start="results/sweeps/{sweep}/models/initialization/weights.safetensors",
        images=images_of_train,
        labels=labels_of_train,
    output:
        weights="results/sweeps/{sweep}/models/{run}/weights.safetensors",
        record="results/sweeps/{sweep}/models/{run}/record.json",
    log:
        "results/logs/finetune_run/{sweep}-{run}.log",
    wildcard_constraints:
        sweep="|".join(FINETUNED) or NO_SWEEP,
    threads: training_threads
    resources:
        gpu=gpus_of,
        nodes=1,
        mem_mb=training_memory,
        runtime=training_minutes,
        accumulate=accumulate_of,
        save_minutes=save_minutes_of,
        save_epochs=save_epochs_of,
        on_failure=on_failure_of,
    params:
        run=run_spec,
        backbone=backbone_spec,
        size=size_of_view,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Fine-tuning run {wildcards.run} of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/finetune_run.py"
