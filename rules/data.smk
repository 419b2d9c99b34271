"""Data sets: which images belong to one, and all of them decoded once per view.

No code is an input here nor in heads.smk: fine-tuning starts from these files, and an edit to the
code must not throw away trained models.
"""


rule index_dataset:
    """The images of a data set, one row each, their labels and its classes."""
    input:
        images=dataset_file,
        data=staged_data,
    output:
        index=INDEX,
        labels=LABELS,
        class_map=CLASS_MAP,
    log:
        "results/logs/index_dataset/{dataset}.log",
    conda:
        "../envs/modelsoups.yaml"
    resources:
        mem_mb=index_memory,
        runtime=index_minutes,
    params:
        spec=dataset_spec,
        class_ids=dataset_classes,
    message:
        "Listing the images of {wildcards.dataset}"
    script:
        "../workflow/scripts/index_dataset.py"


rule describe_dataset:
    """The record of a data set, once its images and classes have been counted."""
    input:
        index=INDEX,
    output:
        record=DATASET_RECORD,
    log:
        "results/logs/describe_dataset/{dataset}.log",
    localrule: True
    conda:
        "../envs/modelsoups.yaml"
    params:
        spec=dataset_spec,
        counts=dataset_counts,
        class_ids=dataset_classes,
    message:
        "Counting the images of {wildcards.dataset}"
    script:
        "../workflow/scripts/describe_dataset.py"


rule decode_view:
    """All images of a data set at one evaluation transform, as a memory-mapped uint8 array."""
    input:
        index=INDEX,
        record=ancient(DATASET_RECORD),
        data=staged_data,
        model=view_file,
    output:
        images=IMAGES,
    log:
        "results/logs/decode_view/{dataset}-{view}.log",
    conda:
        "../envs/modelsoups.yaml"
    threads: decode_threads
    resources:
        mem_mb=decode_memory,
        runtime=decode_minutes,
    params:
        view=view_of,
        column=image_column,
    message:
        "Decoding {wildcards.dataset} at {wildcards.view}"
    script:
        "../workflow/scripts/decode_view.py"


rule check_images:
    """The index of a training set, once every image of it has been decoded: training reads files."""
    input:
        index=INDEX,
        record=ancient(DATASET_RECORD),
        data=staged_data,
    output:
        index=CHECKED,
    log:
        "results/logs/check_images/{dataset}.log",
    conda:
        "../envs/modelsoups.yaml"
    threads: decode_threads
    resources:
        mem_mb=decode_memory,
        runtime=decode_minutes,
    params:
        column=image_column,
    message:
        "Reading every image of {wildcards.dataset} once"
    script:
        "../workflow/scripts/check_images.py"


rule resize_images:
    """A training set as small JPEGs in one file, quicker to decode than the original ones."""
    input:
        index=INDEX,
        record=ancient(DATASET_RECORD),
        data=staged_data,
    output:
        images="results/data/{dataset}/resized/images.arrow",
        index=RESIZED,
    log:
        "results/logs/resize_images/{dataset}.log",
    conda:
        "../envs/modelsoups.yaml"
    threads: decode_threads
    resources:
        mem_mb=decode_memory,
        runtime=decode_minutes,
    params:
        resize=CONFIG.get("resize", {}),
        column=image_column,
    message:
        "Resizing the images of {wildcards.dataset}"
    script:
        "../workflow/scripts/resize_images.py"


rule tokenize_view:
    """All texts of a data set as the numbers of their tokens, a memory-mapped int32 array."""
    input:
        index=INDEX,
        record=ancient(DATASET_RECORD),
        data=staged_data,
        classes=asked_classes,
    output:
        tokens=TOKENS,
    log:
        "results/logs/tokenize_view/{dataset}-{view}.log",
    conda:
        "../envs/modelsoups.yaml"
    resources:
        mem_mb=decode_memory,
        runtime=index_minutes,
    params:
        view=lookup(within=CONFIG, dpath="views/{view}"),
        columns=text_columns,
    message:
        "Tokenising {wildcards.dataset} at {wildcards.view}"
    script:
        "../workflow/scripts/tokenize_view.py"
