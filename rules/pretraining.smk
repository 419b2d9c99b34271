"""IconCLIP: contrastive pre-training on open icons and their names (resources/iconclip/README.md).

Nothing else asks for these files.
"""


rule draw_icons:
    """Drawings of open icons and what they show; no emoji, and nothing that looks like one."""
    input:
        sources="resources/iconclip/sources.csv",
        emoji="resources/emoji/emoji.parquet",
    output:
        packages=directory("results/pretraining/icons/npm"),
        drawings="results/pretraining/icons/drawings.npy",
        icons="results/pretraining/icons/icons.parquet",
    log:
        "results/logs/draw_icons.log",
    threads: 2
    resources:
        mem_mb=12000,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Drawing open icons"
    script:
        "../workflow/scripts/draw_icons.py"


rule embed_names:
    """The text tower's embedding of every name, computed once."""
    input:
        icons=rules.draw_icons.output.icons,
    output:
        names="results/pretraining/icons/names.parquet",
    log:
        "results/logs/embed_names.log",
    threads: 2
    resources:
        gpu=1,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Embedding the icons' names"
    script:
        "../workflow/scripts/embed_names.py"


rule pretrain:
    """An image tower trained to find each drawing's name."""
    input:
        drawings=rules.draw_icons.output.drawings,
        icons=rules.draw_icons.output.icons,
        names=rules.embed_names.output.names,
    output:
        weights="results/pretraining/{pretraining}/weights.safetensors",
        record="results/pretraining/{pretraining}/record.json",
    log:
        "results/logs/pretrain/{pretraining}.log",
    resources:
        gpu=1,
        runtime=24 * 60,
    params:
        spec=pretraining_spec,
        start=pretraining_start,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Pre-training {wildcards.pretraining}"
    script:
        "../workflow/scripts/pretrain.py"
