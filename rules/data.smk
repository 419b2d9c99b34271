"""Data sets: which images belong to one, and all of them decoded once per view."""


localrules:
    index_dataset,


rule index_dataset:
    """The images of a data set, one row each: file, row, label, group; counts are checked."""
    input:
        images=lookup(within=config, dpath="datasets/{dataset}/path"),
        classes=config["classes"],
    output:
        index="results/data/{dataset}/index.parquet",
    log:
        "results/logs/index_dataset/{dataset}.log",
    params:
        spec=lookup(within=config, dpath="datasets/{dataset}"),
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Listing the images of {wildcards.dataset}"
    script:
        "../workflow/scripts/index_dataset.py"


rule decode_view:
    """All images of a data set at one evaluation transform, as memory-mapped uint8 arrays."""
    input:
        index=rules.index_dataset.output.index,
    output:
        images="results/data/{dataset}/{view}/images.npy",
        labels="results/data/{dataset}/{view}/labels.npy",
    log:
        "results/logs/decode_view/{dataset}-{view}.log",
    threads: 1
    params:
        view=lookup(within=config, dpath="views/{view}"),
        column=lookup(within=config, dpath="datasets/{dataset}/image", default="image"),
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Decoding {wildcards.dataset} at {wildcards.view}"
    script:
        "../workflow/scripts/decode_view.py"
