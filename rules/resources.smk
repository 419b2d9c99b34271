"""Makers of what ships in resources/, for maintainers: nothing else asks for these files."""


rule build_emoji:
    """The emoji benchmark, drawn from the npm packages of its styles (resources/emoji/README.md)."""
    input:
        sources="resources/emoji/sources.csv",
        styles="resources/emoji/styles.csv",
        fxemoji="resources/emoji/fxemoji.csv",
        code="workflow/modelsoups/emoji.py",
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
