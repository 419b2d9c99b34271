"""How what ships in resources/ was made: the emoji, tasks of text from WordNet, and IconCLIP, which
was pre-trained on open icons and their names. For maintainers: no study asks for it.
"""


rule build_emoji:
    """The emoji benchmark, drawn from the npm packages of its styles (resources/emoji/README.md)."""
    input:
        sources=shipped("resources/emoji/sources.csv"),
        styles=shipped("resources/emoji/styles.csv"),
        fxemoji=shipped("resources/emoji/fxemoji.csv"),
        code=code("build_emoji"),
    output:
        emoji="results/resources/emoji/emoji.parquet",
        classes="results/resources/emoji/classes.csv",
        packages=directory("results/resources/emoji/npm"),
    log:
        "results/logs/build_emoji.log",
    conda:
        "../envs/modelsoups.yaml"
    threads: 2
    message:
        "Drawing the emoji benchmark"
    script:
        "../workflow/scripts/build_emoji.py"


rule build_wordnet:
    """Tasks of text classification from WordNet 3.0 (resources/wordnet/README.md)."""
    input:
        sources=shipped("resources/wordnet/sources.csv"),
        code=code("build_wordnet"),
    output:
        folder=directory("results/resources/wordnet"),
    log:
        "results/logs/build_wordnet.log",
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Making tasks of text from WordNet"
    script:
        "../workflow/scripts/build_wordnet.py"


rule halve_iconclip:
    """IconCLIP's weights in half precision (resources/iconclip/README.md)."""
    input:
        weights="results/pretraining/iconclip/weights.safetensors",
    output:
        weights="results/resources/iconclip/weights.safetensors",
    log:
        "results/logs/halve_iconclip.log",
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Halving the precision of IconCLIP"
    script:
        "../workflow/scripts/halve_iconclip.py"


rule draw_icons:
    """Drawings of open icons and what they show; no emoji, and nothing that looks like one."""
    input:
        sources=shipped("resources/iconclip/sources.csv"),
        emoji=shipped("resources/emoji/emoji.parquet"),
    output:
        packages=directory("results/pretraining/icons/npm"),
        drawings="results/pretraining/icons/drawings.npy",
        icons="results/pretraining/icons/icons.parquet",
    log:
        "results/logs/draw_icons.log",
    conda:
        "../envs/modelsoups.yaml"
    threads: 2
    resources:
        mem_mb=12000,
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
    conda:
        "../envs/modelsoups.yaml"
    threads: 2
    resources:
        gpu=1,
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
    conda:
        "../envs/modelsoups.yaml"
    resources:
        gpu=1,
        runtime=24 * 60,
    params:
        spec=pretraining_spec,
        start=pretraining_start,
    message:
        "Pre-training {wildcards.pretraining}"
    script:
        "../workflow/scripts/pretrain.py"
