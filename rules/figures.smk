"""The paper's figures."""


localrules:
    figure1,


rule figure1:
    """Figure 1: the runs of the sweep and their soups, in distribution and on the shifts."""
    input:
        scores=f"results/sweeps/{config['figure1']}/scores.parquet",
        code="workflow/modelsoups/figures.py",
        style="workflow/modelsoups/style.mplstyle",
    output:
        svg=report(
            "results/figure1.svg",
            caption="../workflow/report/figure1.rst",
            category="Section 3.3: model soups",
        ),
        png="results/figure1.png",
    log:
        "results/logs/figure1.log",
    params:
        study=config["study"],
        roles=ROLES,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Drawing Figure 1"
    script:
        "../workflow/scripts/figure1.py"
