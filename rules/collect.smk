"""Named stopping points on the way to `all`, and what a study will take."""


localrules:
    all_runs,
    all_soups,
    appendix,
    check,
    plan,
    status,


rule all_runs:
    """Every run of every sweep, fine-tuned and evaluated."""
    input:
        all_logits(),


rule all_soups:
    """The scores of every sweep and pool: runs, soups and ensembles on every evaluation set."""
    input:
        expand(SCORES, sweep=STUDY.pools),


rule appendix:
    """The tables and figures that the config names under `appendix`, and what holds of their claims."""
    input:
        files_of(of_appendix()),
        ["results/what-holds-appendix.html"] * bool(of_appendix()),


rule plan:
    """What each sweep will take, and its jobs ask for, printed. Nothing is computed."""
    input:
        model=[MODEL] * bool(SOUPED),
    log:
        "results/logs/plan.log",
    conda:
        "../envs/modelsoups.yaml"
    params:
        study=CONFIG["study"],
        images_per_second=EVALUATION["images_per_second"],
        num_classes=plan_classes,
        evaluation=plan_datasets,
        decoded=plan_arrays,
        sweeps=plan_sweeps,
        runs=status_runs,
        num_reported_images=num_reported_images(),
        backbones=plan_backbones,
        jobs=plan_jobs,
        logits_dtype=EVALUATION.get("logits_dtype", "float32"),
    message:
        "Planning the study"
    script:
        "../workflow/scripts/plan.py"


rule check:
    """Whether data, models and disk are what the study takes them for, printed. Nothing is changed."""
    log:
        "results/logs/check.log",
    conda:
        "../envs/modelsoups.yaml"
    threads: 4
    params:
        datasets=checked_datasets,
        given=checked_paths,
        backbones=checked_backbones,
        checkpoints=checked_checkpoints,
        own=checked_own,
        functions=[each["function"] for each in scored_metrics()],
        models=checked_models,
        own_parameters=parameters_of_own,
        sweeps=plan_sweeps,
        evaluation=plan_datasets,
        arrays=checked_arrays,
        logits_dtype=EVALUATION.get("logits_dtype", "float32"),
    message:
        "Checking data, models and disk"
    script:
        "../workflow/scripts/check.py"


rule status:
    """How far the study is, printed: runs, epochs, images a second, hours spent and left. While it
    runs, with --nolock."""
    log:
        "results/logs/status.log",
    conda:
        "../envs/modelsoups.yaml"
    params:
        study=CONFIG["study"],
        num_images=status_sizes,
        images_per_second=status_speeds,
        runs=status_runs,
        files=status_files,
    message:
        "Looking at what is there"
    script:
        "../workflow/scripts/status.py"
