"""Data sets: which images belong to one, and all of them decoded once per view."""


rule index_dataset:
    """The images of a data set, one row each, their labels and its classes; counts are checked."""
    input:
        images=file_of_dataset,
        classes=config["classes"],
    output:
        index="results/data/{dataset}/index.parquet",
        labels="results/data/{dataset}/labels.npy",
        class_map="results/data/{dataset}/class_map.npy",
        record="results/data/{dataset}/record.json",
    log:
        "results/logs/index_dataset/{dataset}.log",
    resources:
        mem_mb=index_memory,
        runtime=index_minutes,
    params:
        spec=dataset_spec,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Listing the images of {wildcards.dataset}"
    script:
        "../workflow/scripts/index_dataset.py"


rule decode_view:
    """All images of a data set at one evaluation transform, as a memory-mapped uint8 array."""
    input:
        index=rules.index_dataset.output.index,
    output:
        images="results/data/{dataset}/{view}/images.npy",
    log:
        "results/logs/decode_view/{dataset}-{view}.log",
    threads: decode_threads
    resources:
        mem_mb=decode_memory,
        runtime=decode_minutes,
    params:
        view=lookup(within=config, dpath="views/{view}"),
        column=lookup(within=config, dpath="datasets/{dataset}/image", default="image"),
        trim_border=lookup(
            within=config, dpath="datasets/{dataset}/trim_border", default=0
        ),
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Decoding {wildcards.dataset} at {wildcards.view}"
    script:
        "../workflow/scripts/decode_view.py"


rule check_images:
    """The index of a training set, once every image of it has been decoded: training reads files."""
    input:
        index=rules.index_dataset.output.index,
    output:
        index="results/data/{dataset}/checked/index.parquet",
    log:
        "results/logs/check_images/{dataset}.log",
    threads: decode_threads
    resources:
        mem_mb=decode_memory,
        runtime=decode_minutes,
    params:
        column=lookup(within=config, dpath="datasets/{dataset}/image", default="image"),
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Reading every image of {wildcards.dataset} once"
    script:
        "../workflow/scripts/check_images.py"


rule resize_images:
    """A training set as small JPEGs in one file, quicker to decode than the original ones."""
    input:
        index=rules.index_dataset.output.index,
    output:
        images="results/data/{dataset}/resized/images.arrow",
        index="results/data/{dataset}/resized/index.parquet",
    log:
        "results/logs/resize_images/{dataset}.log",
    threads: decode_threads
    resources:
        mem_mb=decode_memory,
        runtime=decode_minutes,
    params:
        resize=config.get("resize", {}),
        column=lookup(within=config, dpath="datasets/{dataset}/image", default="image"),
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Resizing the images of {wildcards.dataset}"
    script:
        "../workflow/scripts/resize_images.py"
