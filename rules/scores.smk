"""Scores: every metric of every model of a sweep or pool, and which images each has right."""

OWN_METRICS = scored_metrics()


rule score_sweep:
    """Every metric of every model of a sweep on every evaluation set, as a tidy table."""
    input:
        logits=scored_logits,
        code=code("score_sweep") + metric_files(OWN_METRICS),
    output:
        scores=SCORES,
    log:
        "results/logs/score_sweep/{sweep}.log",
    conda:
        "../envs/modelsoups.yaml"
    params:
        **({"metrics": OWN_METRICS} if OWN_METRICS else {}),
        models=scored_table("models"),
        kinds=scored_table("kinds"),
        datasets=scored_table("datasets"),
    message:
        "Scoring {wildcards.sweep}"
    script:
        "../workflow/scripts/score_sweep.py"


rule collect_correct:
    """Whether each model of a sweep is right on each image; paired tests read it."""
    input:
        logits=scored_logits,
        code=code("collect_correct"),
    output:
        correct=CORRECT,
    log:
        "results/logs/collect_correct/{sweep}.log",
    conda:
        "../envs/modelsoups.yaml"
    params:
        models=scored_names,
        datasets=evaluated_of,
    message:
        "Collecting what the models of {wildcards.sweep} have right"
    script:
        "../workflow/scripts/collect_correct.py"


rule collect_predictions:
    """What each model of a sweep predicts for each image, with its label and group."""
    input:
        logits=scored_logits,
        indexes=evaluated_indexes,
        code=code("collect_predictions"),
    output:
        predictions=PREDICTIONS,
    log:
        "results/logs/collect_predictions/{sweep}.log",
    benchmark:
        of(BENCHMARK, rule="collect_predictions", job="{sweep}")
    conda:
        "../envs/modelsoups.yaml"
    params:
        models=scored_names,
        roles=evaluated_roles,
    message:
        "Collecting what the models of {wildcards.sweep} predict"
    script:
        "../workflow/scripts/collect_predictions.py"


rule make_label_set:
    """The second labels of a test set's images: all classes that may be called right."""
    input:
        index=label_set_index,
        classes=label_set_classes,
        data=label_set_data,
        code=code("make_label_set"),
    output:
        labels=LABEL_SET,
        record=LABEL_SET.replace(".parquet", ".json"),
    log:
        "results/logs/make_label_set/{label_set}.log",
    conda:
        "../envs/modelsoups.yaml"
    params:
        spec=label_set_of,
    message:
        "Making label set {wildcards.label_set}"
    script:
        "../workflow/scripts/make_label_set.py"


rule judge_label_set:
    """Whether each model of a sweep is right on each image by a second label set."""
    input:
        logits=label_set_logits,
        labels=LABEL_SET,
        code=code("judge_label_set"),
    output:
        correct=LABEL_SET_CORRECT,
    log:
        "results/logs/judge_label_set/{sweep}-{label_set}.log",
    conda:
        "../envs/modelsoups.yaml"
    params:
        models=scored_names,
        name="{label_set}",
    message:
        "Judging the models of {wildcards.sweep} by {wildcards.label_set}"
    script:
        "../workflow/scripts/judge_label_set.py"
