"""What tables and figures are made from: label sets, paired results, points in weight space."""


rule make_label_set:
    """The second labels of a test set's images: all classes that may be called right."""
    input:
        index=index_of_label_set,
        classes=config["classes"],
        code=[
            "workflow/modelsoups/data/label_sets.py",
            "workflow/modelsoups/data/imagenet_labels.py",
        ],
    output:
        labels="results/label-sets/{label_set}.parquet",
        record="results/label-sets/{label_set}.json",
    log:
        "results/logs/make_label_set/{label_set}.log",
    params:
        spec=lookup(within=config, dpath="label_sets/{label_set}"),
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Making label set {wildcards.label_set}"
    script:
        "../workflow/scripts/make_label_set.py"


rule collect_correct:
    """Whether each model of a sweep is right on each image; paired tests read it."""
    input:
        logits=scored_logits,
        label_sets=label_set_files,
        code="workflow/modelsoups/evaluation/paired.py",
    output:
        correct="results/sweeps/{sweep}/correct.parquet",
    log:
        "results/logs/collect_correct/{sweep}.log",
    params:
        models=paired_models,
        datasets=EVALUATION_SETS,
        label_sets=LABEL_SETS,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Collecting what the models of sweep {wildcards.sweep} have right"
    script:
        "../workflow/scripts/collect_correct.py"


rule evaluate_points:
    """Loss, error and ECE of many points in a sweep's weight space, evaluated in one job."""
    input:
        weights=points_weights,
        images=points_images,
        labels=points_labels,
        class_maps=points_class_maps,
        code=["workflow/modelsoups/analyses/mixes.py", "workflow/modelsoups/weights/geometry.py"],
    output:
        points="results/sweeps/{sweep}/points/{points}.parquet",
    log:
        "results/logs/evaluate_points/{sweep}-{points}.log",
    threads: 1
    resources:
        gpu=1,
        mem_mb=evaluation_memory,
        runtime=points_minutes,
    params:
        spec=points_spec,
        models=points_models,
        runs=run_table,
        datasets=points_sets,
        view=view_spec,
        column=config["datasets"][TRAIN].get("image", "image"),
        backbone=backbone_spec,
        num_classes=NUM_CLASSES,
        batch_size=config["evaluation"]["batch_size"],
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Evaluating the points {wildcards.points} of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/evaluate_points.py"


rule study_seeds:
    """Soups and ensembles of 1..k runs that differ in their seed, with and without calibration."""
    input:
        weights=run_weights,
        logits=run_logits,
        images=evaluation_images,
        labels=expand("results/data/{dataset}/labels.npy", dataset=EVALUATION_SETS),
        class_maps=expand(
            "results/data/{dataset}/class_map.npy", dataset=EVALUATION_SETS
        ),
        code=[
            "workflow/modelsoups/analyses/seeds.py",
            "workflow/modelsoups/analyses/mixes.py",
            "workflow/modelsoups/evaluation/calibration.py",
        ],
    output:
        seeds="results/sweeps/{sweep}/seeds.parquet",
    log:
        "results/logs/study_seeds/{sweep}.log",
    threads: 1
    resources:
        gpu=1,
        mem_mb=evaluation_memory,
        runtime=seeds_minutes,
    params:
        match=seeds_match,
        runs=run_table,
        datasets=EVALUATION_SETS,
        roles=ROLES,
        held_out=HELD_OUT,
        backbone=backbone_spec,
        num_classes=NUM_CLASSES,
        batch_size=config["evaluation"]["batch_size"],
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Making soups of the seeds of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/study_seeds.py"


rule grow_soups:
    """Every recipe on the first k runs of random orders, for every k."""
    input:
        weights=run_weights,
        logits=run_logits,
        images=evaluation_images,
        labels=expand("results/data/{dataset}/labels.npy", dataset=EVALUATION_SETS),
        class_maps=expand(
            "results/data/{dataset}/class_map.npy", dataset=EVALUATION_SETS
        ),
        code=["workflow/modelsoups/analyses/growth.py", "workflow/modelsoups/analyses/mixes.py"],
    output:
        growth="results/sweeps/{sweep}/growth.parquet",
    log:
        "results/logs/grow_soups/{sweep}.log",
    threads: 1
    resources:
        gpu=1,
        mem_mb=evaluation_memory,
        runtime=growth_minutes,
    params:
        orders=config.get("figureB1", {}),
        names=run_names,
        datasets=EVALUATION_SETS,
        held_out=HELD_OUT,
        backbone=backbone_spec,
        num_classes=NUM_CLASSES,
        batch_size=config["evaluation"]["batch_size"],
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Growing the pool of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/grow_soups.py"


rule approximate_pairs:
    """The loss difference of soup and ensemble of pairs, true and by the paper's approximation."""
    input:
        weights=start_and_run_weights,
        logits=start_and_run_logits,
        images=reported_images,
        labels=reported_labels,
        class_maps=reported_class_maps,
        code="workflow/modelsoups/analyses/approximation.py",
    output:
        approximation="results/sweeps/{sweep}/approximation.parquet",
    log:
        "results/logs/approximate_pairs/{sweep}.log",
    threads: 1
    resources:
        gpu=1,
        mem_mb=evaluation_memory,
        runtime=approximation_minutes,
    params:
        spec=config.get("figureK1", {}),
        models=start_and_runs,
        runs=run_table,
        datasets=REPORTED_SETS,
        backbone=backbone_spec,
        num_classes=NUM_CLASSES,
        batch_size=config["evaluation"]["batch_size"],
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Approximating the loss differences of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/approximate_pairs.py"
