"""Where fine-tuning starts: a zero-shot head, or a linear probe on the training set's features."""


localrules:
    make_initialization,


rule make_zero_shot_head:
    """The class prompts' embeddings by the backbone's text tower, times its temperature."""
    input:
        classes=classes_file,
        prompts=prompts_file,
        backbone=weights_of_backbone,
    output:
        head=of(HEAD, start="zero-shot"),
        record=of(HEAD, start="zero-shot").replace(".safetensors", ".json"),
    log:
        "results/logs/make_zero_shot_head/{backbone}-{train}.log",
    conda:
        "../envs/modelsoups.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        backbone=backbone_spec,
    message:
        "Embedding the class prompts of {wildcards.train} with {wildcards.backbone}"
    script:
        "../workflow/scripts/make_zero_shot_head.py"


rule extract_features:
    """L2-normalised features of the pre-trained backbone, one row an image."""
    input:
        images=featured_images,
        backbone=weights_of_backbone,
    output:
        features=FEATURES,
    log:
        "results/logs/extract_features/{backbone}-{dataset}.log",
    priority: 1  # it needs several cores at once, which in the midst of runs are not free
    conda:
        "../envs/modelsoups.yaml"
    threads: probe_threads
    resources:
        gpu=1,
        mem_mb=config_memory,
        runtime=feature_minutes,
        batch_size=EVALUATION["batch_size"],
    params:
        backbone=backbone_spec,
        view=view_spec,
        column=image_column,
    message:
        "Computing the features of {wildcards.backbone} on {wildcards.dataset}"
    script:
        "../workflow/scripts/extract_features.py"


rule fit_linear_probe:
    """A linear head on the frozen features; the held-out set chose its regularisation."""
    input:
        unpack(probe_files),
        start=zero_shot_head,
    output:
        head=HEAD,
        record=HEAD.replace(".safetensors", ".json"),
    log:
        "results/logs/fit_linear_probe/{backbone}-{start}-{train}.log",
    wildcard_constraints:
        start=one_of(PROBES),
    priority: 1
    conda:
        "../envs/modelsoups.yaml"
    threads: 2
    resources:
        gpu=1,
        mem_mb=config_memory,
        runtime=probe_minutes,
    params:
        spec=CONFIG.get("linear_probe"),
        num_classes=num_probe_classes,
    message:
        "Fitting a {wildcards.start} on {wildcards.backbone} to {wildcards.train}"
    script:
        "../workflow/scripts/fit_linear_probe.py"


rule make_initialization:
    """The model that a sweep's runs start from, or one with another start: backbone and head."""
    input:
        head=head_of,
        backbone=weights_of_backbone,
    output:
        weights=of(WEIGHTS, model="{start}"),
        record=of(RECORD, model="{start}"),
    log:
        "results/logs/make_initialization/{sweep}-{start}.log",
    wildcard_constraints:
        sweep=one_of(STUDY.runs),
    conda:
        "../envs/modelsoups.yaml"
    params:
        backbone=backbone_spec,
        view=view_spec,
        head=start_of,
        kind=kind_of_start,
    message:
        "Writing the model {wildcards.start} of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/make_initialization.py"
