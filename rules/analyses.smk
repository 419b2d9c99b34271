"""Analyses of a sweep: what the paper's figures and Section 4 are computed from.

Each but the timing goes on where it was when a job is tried again: it may take days.
"""


rule evaluate_mixes:
    """Loss, error and ECE of many mixes of a sweep's weights, evaluated in one job."""
    input:
        unpack(mixed_sets),
        weights=mixed_weights,
        code=code("evaluate_mixes"),
    output:
        mixes=f"{SWEEP}/mixes/{{mixes}}.parquet",
    log:
        "results/logs/evaluate_mixes/{sweep}-{mixes}.log",
    benchmark:
        of(BENCHMARK, rule="evaluate_mixes", job="{sweep}-{mixes}")
    wildcard_constraints:
        sweep=one_of(STUDY.runs),
    conda:
        "../envs/modelsoups.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=pool_memory,
        runtime=analysis_minutes("mixes/{mixes}"),
        batch_size=EVALUATION["batch_size"],
    params:
        plan=analysis_plan("mixes/{mixes}"),
        models=mixed_names,
        runs=run_table,
        datasets=mixed_datasets,
        view=view_spec,
        column=training_column,
        backbone=backbone_spec,
        precision=EVALUATION["precision"],
        num_classes=num_classes,
    message:
        "Evaluating the mixes {wildcards.mixes} of {wildcards.sweep}"
    script:
        "../workflow/scripts/evaluate_mixes.py"


rule study_seeds:
    """Soups and ensembles of 1..k runs that differ in their seed, with and without calibration."""
    input:
        unpack(evaluated_sets),
        weights=run_weights,
        logits=run_logits,
        code=code("study_seeds"),
    output:
        seeds=f"{SWEEP}/seeds/{{match}}.parquet",
    log:
        "results/logs/study_seeds/{sweep}-{match}.log",
    benchmark:
        of(BENCHMARK, rule="study_seeds", job="{sweep}-{match}")
    wildcard_constraints:
        sweep=one_of(STUDY.runs),
    conda:
        "../envs/modelsoups.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=pool_memory,
        runtime=analysis_minutes("seeds/{match}"),
        batch_size=EVALUATION["batch_size"],
    params:
        plan=analysis_plan("seeds/{match}"),
        runs=run_table,
        names=run_names,
        datasets=evaluated_of,
        held_out=held_out_of,
        backbone=backbone_spec,
        precision=EVALUATION["precision"],
        num_classes=num_classes,
    message:
        "Making soups of the seeds of {wildcards.sweep} ({wildcards.match})"
    script:
        "../workflow/scripts/study_seeds.py"


rule grow_soups:
    """The paper's methods on the first k models of random orders of a pool, for every k."""
    input:
        unpack(evaluated_sets),
        weights=pool_weights,
        logits=pool_logits,
        code=code("grow_soups"),
    output:
        growth=f"{SWEEP}/growth.parquet",
    log:
        "results/logs/grow_soups/{sweep}.log",
    benchmark:
        of(BENCHMARK, rule="grow_soups", job="{sweep}")
    conda:
        "../envs/modelsoups.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=pool_memory,
        runtime=analysis_minutes("growth"),
        batch_size=EVALUATION["batch_size"],
    params:
        orders=analysis_plan("growth"),
        names=pool_names,
        datasets=evaluated_of,
        held_out=held_out_of,
        backbone=backbone_spec,
        precision=EVALUATION["precision"],
        num_classes=num_classes,
    message:
        "Growing the pool of {wildcards.sweep}"
    script:
        "../workflow/scripts/grow_soups.py"


rule evaluate_cross:
    """Soups of all subsets of other data sets' models, with a target's zero-shot head."""
    input:
        unpack(cross_set),
        start=of(WEIGHTS, model=INITIALIZATION),
        weights=cross_weights,
        code=code("evaluate_cross"),
    output:
        cross=f"{SWEEP}/cross.parquet",
    log:
        "results/logs/evaluate_cross/{sweep}.log",
    benchmark:
        of(BENCHMARK, rule="evaluate_cross", job="{sweep}")
    wildcard_constraints:
        sweep=one_of(STUDY.runs),
    conda:
        "../envs/modelsoups.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=pool_memory,
        runtime=analysis_minutes("cross"),
        batch_size=EVALUATION["batch_size"],
    params:
        plan=analysis_plan("cross"),
        backbone=backbone_spec,
        precision=EVALUATION["precision"],
        num_classes=num_classes,
    message:
        "Evaluating soups of other data sets on the target of {wildcards.sweep}"
    script:
        "../workflow/scripts/evaluate_cross.py"


rule approximate_pairs:
    """The loss difference of soup and ensemble of pairs, true and by the paper's approximation."""
    input:
        unpack(reported_sets),
        weights=start_and_run_weights,
        logits=start_and_run_logits,
        code=code("approximate_pairs"),
    output:
        approximation=f"{SWEEP}/approximation.parquet",
    log:
        "results/logs/approximate_pairs/{sweep}.log",
    benchmark:
        of(BENCHMARK, rule="approximate_pairs", job="{sweep}")
    wildcard_constraints:
        sweep=one_of(STUDY.runs),
    conda:
        "../envs/modelsoups.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=pool_memory,
        runtime=analysis_minutes("approximation"),
        batch_size=EVALUATION["batch_size"],
    params:
        plan=analysis_plan("approximation"),
        models=start_and_runs,
        runs=run_table,
        datasets=reported_of,
        backbone=backbone_spec,
        precision=EVALUATION["precision"],
        num_classes=num_classes,
    message:
        "Approximating the loss differences of {wildcards.sweep}"
    script:
        "../workflow/scripts/approximate_pairs.py"


rule time_predictions:
    """What a prediction by the best run, each soup and each ensemble of a sweep takes, measured."""
    input:
        unpack(held_out_files),
        weights=timed_weights,
        scores=SCORES,
        ensembles=ensemble_records,
        code=code("time_predictions"),
    output:
        timing=f"{SWEEP}/timing.parquet",
    log:
        "results/logs/time_predictions/{sweep}.log",
    benchmark:
        of(BENCHMARK, rule="time_predictions", job="{sweep}")
    conda:
        "../envs/modelsoups.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=evaluation_memory,
        runtime=analysis_minutes("timing"),
        batch_size=EVALUATION["batch_size"],
    params:
        plan=analysis_plan("timing"),
        models=timed_names,
        soups=soup_names,
        ensembles=ensemble_names,
        held_out=held_out_of,
        roles=evaluated_roles,
        backbone=backbone_spec,
        precision=EVALUATION["precision"],
        num_classes=num_classes,
    message:
        "Timing predictions of {wildcards.sweep}"
    script:
        "../workflow/scripts/time_predictions.py"
