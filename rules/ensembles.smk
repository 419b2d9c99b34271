"""Ensembles: averages of stored logits; no model runs. Every choice is made on the held-out set."""


rule choose_ensemble:
    """The record of an ensemble's ingredients, and its logits on the held-out set."""
    input:
        logits=pool_held_out_logits,
        code=code("choose_ensemble"),
    output:
        record=of(RECORD, model="{ensemble}"),
        logits=of(LOGITS, model="{ensemble}", dataset=STUDY.held_out),
    log:
        "results/logs/choose_ensemble/{sweep}-{ensemble}.log",
    benchmark:
        of(BENCHMARK, rule="choose_ensemble", job="{sweep}-{ensemble}")
    conda:
        "../envs/modelsoups.yaml"
    params:
        ensemble=ensemble_spec,
        names=pool_names,
        held_out=STUDY.held_out,
        logits_dtype=EVALUATION.get("logits_dtype", "float32"),
    message:
        "Choosing ensemble {wildcards.ensemble} of {wildcards.sweep}"
    script:
        "../workflow/scripts/choose_ensemble.py"


rule average_ensemble:
    """The logits of an ensemble on the test set and the shift sets."""
    input:
        record=of(RECORD, model="{ensemble}"),
        logits=pool_reported_logits,
        code=code("average_ensemble"),
    output:
        logits=expand(
            of(LOGITS, model="{ensemble}"),
            dataset=STUDY.reported or ["none"],
            allow_missing=True,
        ),
    log:
        "results/logs/average_ensemble/{sweep}-{ensemble}.log",
    benchmark:
        of(BENCHMARK, rule="average_ensemble", job="{sweep}-{ensemble}")
    conda:
        "../envs/modelsoups.yaml"
    params:
        names=pool_names,
        logits_dtype=EVALUATION.get("logits_dtype", "float32"),
    message:
        "Averaging ensemble {wildcards.ensemble} of {wildcards.sweep}"
    script:
        "../workflow/scripts/average_ensemble.py"
