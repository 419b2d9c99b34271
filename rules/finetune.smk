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


# Averages along a run's trajectory are outputs of its rule, so each set of them has a rule.
for number, (averages, sweeps) in enumerate(STUDY.sweeps_by_averages.items()):

    rule:
        """The weights of one run and of averages along it, with the records of how they were made.

        If it is made again of the same (`update` leaves it what is there), nothing is trained.
        """
        name:
            "finetune_run" if not averages else f"finetune_run_{number}"
        input:
            unpack(selection_set),
            unpack(teacher_weights),
            start=of(WEIGHTS, model=INITIALIZATION),
            images=training_images,
            labels=training_labels,
        output:
            weights=left(of(WEIGHTS, model="{run}")),
            record=left(of(RECORD, model="{run}")),
            averages=left([of(WEIGHTS, model=f"{{run}}-{each}") for each in averages]),
            average_records=left(
                [of(RECORD, model=f"{{run}}-{each}") for each in averages]
            ),
        log:
            FINETUNE_LOG,
        benchmark:
            of(BENCHMARK, rule="finetune_run", job="{sweep}-{run}")
        wildcard_constraints:
            sweep=one_of(sweeps),
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
            decoder=compute_of("decoder"),
            on_failure=on_failure_of,
            curves=CONFIG.get("curves", "nothing"),
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
