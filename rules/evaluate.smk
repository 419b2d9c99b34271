"""Evaluation: a model's logits, one row an image. Choices see the held-out set's and no others."""


rule evaluate_held_out:
    """Logits, predictions and labels of a model on the held-out set."""
    input:
        unpack(held_out_set),
        weights=WEIGHTS,
    output:
        logits=[of(LOGITS, dataset="{held_out}")],
    log:
        "results/logs/evaluate_held_out/{sweep}-{model}-{held_out}.log",
    benchmark:
        of(BENCHMARK, rule="evaluate_held_out", job="{sweep}-{model}-{held_out}")
    wildcard_constraints:
        sweep=one_of(SEEN),
    conda:
        "../envs/modelsoups.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=evaluation_memory,
        runtime=held_out_minutes,
        batch_size=EVALUATION["batch_size"],
    params:
        backbone=backbone_spec,
        precision=EVALUATION["precision"],
        logits_dtype=EVALUATION.get("logits_dtype", "float32"),
        code=code_digest("evaluate_model"),
    message:
        "Evaluating {wildcards.model} of sweep {wildcards.sweep} on the held-out set"
    script:
        "../workflow/scripts/evaluate_model.py"


for name, datasets, sweeps in grouped("evaluate_reported", STUDY.reported_of):

    rule:
        """Logits, predictions and labels of a model on the test set and the shift sets, in one job.

        A set that is new is evaluated; the others are kept.
        """
        name:
            name
        input:
            unpack(reported_sets),
            weights=WEIGHTS,
        output:
            logits=left(expand(LOGITS, dataset=datasets, allow_missing=True)),
        log:
            "results/logs/evaluate_reported/{sweep}-{model}.log",
        benchmark:
            of(BENCHMARK, rule="evaluate_reported", job="{sweep}-{model}")
        wildcard_constraints:
            sweep=sweeps,
        conda:
            "../envs/modelsoups.yaml"
        threads: 1
        resources:
            gpu=1,
            mem_mb=evaluation_memory,
            runtime=evaluation_minutes,
            batch_size=EVALUATION["batch_size"],
        params:
            backbone=backbone_spec,
            precision=EVALUATION["precision"],
            logits_dtype=EVALUATION.get("logits_dtype", "float32"),
            code=code_digest("evaluate_model"),
        message:
            "Evaluating {wildcards.model} of sweep {wildcards.sweep}"
        script:
            "../workflow/scripts/evaluate_model.py"
