"""The sweep: one fine-tuning job per run. The package's modules are no inputs here on purpose:
an edit to the code must not throw away trained models."""


localrules:
    list_runs,


rule list_runs:
    """The runs of a sweep: one row each, with every hyper-parameter and the seed."""
    output:
        runs=RUNS,
    log:
        "results/logs/list_runs/{sweep}.log",
    wildcard_constraints:
        sweep=one_of(STUDY.runs),
    conda:
        "../envs/modelsoups.yaml"
    params:
        runs=run_table,
    message:
        "Listing the runs of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/list_runs.py"


rule finetune_run:
    """The weights of one run, and the record of how they were made. If it is made again of the same
    (`update` leaves it what is there), nothing is trained."""
    input:
        unpack(selection_set),
        start=of(WEIGHTS, model=INITIALIZATION),
        images=training_images,
        labels=of(LABELS, dataset=TRAIN),
    output:
        weights=update(of(WEIGHTS, model="{run}")),
        record=update(of(RECORD, model="{run}")),
    log:
        FINETUNE_LOG,
    benchmark:
        of(BENCHMARK, rule="finetune_run", job="{sweep}-{run}")
    wildcard_constraints:
        sweep=one_of(STUDY.runs),
    conda:
        "../envs/modelsoups.yaml"
    threads: training_threads
    resources:
        gpu=compute_of("gpus"),
        nodes=1,
        mem_mb=training_memory,
        runtime=training_minutes,
        accumulate=compute_of("accumulate"),
        save_minutes=compute_of("save_minutes"),
        save_epochs=compute_of("save_epochs"),
        on_failure=on_failure_of,
        batch_size=EVALUATION["batch_size"],
    params:
        **fixed_precision(),
        run=run_spec,
        backbone=backbone_spec,
        size=size_of_view,
    message:
        "Fine-tuning run {wildcards.run} of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/finetune_run.py"
