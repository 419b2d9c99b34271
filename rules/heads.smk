"""Where fine-tuning starts: a zero-shot head, or a linear probe on the training set's features."""


rule make_zero_shot_head:
    """The class prompts' embeddings by the backbone's text tower, times its temperature."""
    input:
        classes=config["classes"],
        prompts=config.get("prompts", []),
        backbone=weights_of_backbone,
    output:
        head=f"results/heads/{{backbone}}-zero-shot-{TRAIN}.safetensors",
        record=f"results/heads/{{backbone}}-zero-shot-{TRAIN}.json",
    log:
        "results/logs/make_zero_shot_head/{backbone}.log",
    threads: 1
    resources:
        gpu=1,
    params:
        backbone=backbone_spec,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Embedding the class prompts with {wildcards.backbone}"
    script:
        "../workflow/scripts/make_zero_shot_head.py"


localrules:
    make_initialization,


rule extract_features:
    """L2-normalised features of the pre-trained backbone, one row an image."""
    input:
        images=probe_images,
        backbone=weights_of_backbone,
    output:
        features=expand(
            "results/heads/features/{backbone}/{dataset}.npy",
            dataset=[TRAIN, HELD_OUT],
            allow_missing=True,
        ),
    log:
        "results/logs/extract_features/{backbone}.log",
    threads: probe_threads
    resources:
        gpu=1,
        mem_mb=evaluation_memory,
        runtime=feature_minutes,
    params:
        backbone=backbone_spec,
        view=view_spec,
        column=config["datasets"][TRAIN].get("image", "image"),
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
        start=zero_shot_head_of,
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
    """The model that every run of a sweep starts from, or one with another start: the pre-trained
    backbone and a head."""
    input:
        head=head_of,
        backbone=weights_of_backbone,
    output:
        weights="results/sweeps/{sweep}/models/{start}/weights.safetensors",
        record="results/sweeps/{sweep}/models/{start}/record.json",
    log:
        "results/logs/make_initialization/{sweep}-{start}.log",
    wildcard_constraints:
        sweep="|".join(FINETUNED) or NO_SWEEP,
    params:
        backbone=backbone_spec,
        view=view_spec,
        head=start_of,
        kind=kind_of_start,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Writing the model {wildcards.start} of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/make_initialization.py"
