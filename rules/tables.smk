"""The paper's tables."""


localrules:
    table3,


rule table3:
    """Table 3: accuracy of every method, in distribution and on the shifts, with intervals."""
    input:
        scores=f"results/sweeps/{config['table3']}/scores.parquet",
        code=["workflow/modelsoups/tables.py", "workflow/modelsoups/statistics.py"],
    output:
        csv=report(
            "results/table3.csv",
            caption="../workflow/report/table3.rst",
            category="Section 3.3: model soups",
        ),
        markdown="results/table3.md",
    log:
        "results/logs/table3.log",
    params:
        study=config["study"],
        roles=ROLES,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Making Table 3"
    script:
        "../workflow/scripts/table3.py"
