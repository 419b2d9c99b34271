"""Makers of what ships in resources/, for maintainers: nothing else asks for these files."""


rule build_emoji:
    """The emoji benchmark, drawn from the npm packages of its styles (resources/emoji/README.md)."""
    input:
        sources="resources/emoji/sources.csv",
        styles="resources/emoji/styles.csv",
        fxemoji="resources/emoji/fxemoji.csv",
        code=["workflow/modelsoups/miniature/emoji.py", "workflow/modelsoups/miniature/iconify.py"],
    output:
        emoji="results/resources/emoji/emoji.parquet",
        classes="results/resources/emoji/classes.csv",
        packages=directory("results/resources/emoji/npm"),
    log:
        "results/logs/build_emoji.log",
    threads: 2
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Drawing the emoji benchmark"
    script:
        "../workflow/scripts/build_emoji.py"


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
