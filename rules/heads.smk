"""The start of fine-tuning: a linear probe of the backbone on the training set's features."""


localrules:
    make_initialization,


rule extract_features:
    """L2-normalised features of the pre-trained backbone, one row an image."""
    input:
        images=probe_images,
    output:
        features=expand(
            "results/heads/features/{backbone}/{dataset}.npy",
            dataset=[TRAIN, HELD_OUT],
            allow_missing=True,
        ),
    log:
        "results/logs/extract_features/{backbone}.log",
    threads: 2
    resources:
        gpu=1,
        mem_mb=evaluation_memory,
        runtime=feature_minutes,
    params:
        backbone=backbone_spec,
        batch_size=config["evaluation"]["batch_size"],
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Computing the features of {wildcards.backbone}"
    script:
        "../workflow/scripts/extract_features.py"


rule fit_linear_probe:
    """A linear head on the frozen features; the held-out set chose its regularisation."""
    input:
        train=f"results/heads/features/{{backbone}}/{TRAIN}.npy",
        train_labels=labels_of_train,
        held_out=f"results/heads/features/{{backbone}}/{HELD_OUT}.npy",
        held_out_labels=labels_of_held_out,
    output:
        head=f"results/heads/{{backbone}}-linear-probe-{TRAIN}.safetensors",
        record=f"results/heads/{{backbone}}-linear-probe-{TRAIN}.json",
    log:
        "results/logs/fit_linear_probe/{backbone}.log",
    threads: 2
    resources:
        gpu=1,
        mem_mb=evaluation_memory,
        runtime=feature_minutes,
    params:
        spec=config["linear_probe"],
        num_classes=NUM_CLASSES,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Fitting a linear probe on {wildcards.backbone}"
    script:
        "../workflow/scripts/fit_linear_probe.py"


rule make_initialization:
    """The model that every run of a sweep starts from: pre-trained backbone and fitted head."""
    input:
        head=head_of,
    output:
        weights="results/sweeps/{sweep}/models/initialization/weights.safetensors",
        record="results/sweeps/{sweep}/models/initialization/record.json",
    log:
        "results/logs/make_initialization/{sweep}.log",
    params:
        backbone=backbone_spec,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Writing the initialisation of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/make_initialization.py"
