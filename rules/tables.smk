"""The paper's tables, the runs' table, and what holds here."""


localrules:
    table3,
    table4,
    list_hyperparameters,
    what_holds,


rule table3:
    """Table 3: accuracy of every method, with intervals and tests against the best run."""
    input:
        scores=f"results/sweeps/{config['table3']}/scores.parquet",
        correct=f"results/sweeps/{config['table3']}/correct.parquet",
        code=["workflow/modelsoups/paper/tables.py", "workflow/modelsoups/evaluation/statistics.py"],
    output:
        csv="results/table3.csv",
        markdown="results/table3.md",
        html=report(
            "results/table3.html",
            caption=caption_of("table3"),
            category="Section 3.3: model soups",
            labels={"result": "Table 3"},
        ),
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


rule table4:
    """Table 4's form for a sweep: extra label sets, every shift, marks, the oracle row."""
    input:
        scores="results/sweeps/{sweep}/scores.parquet",
        correct="results/sweeps/{sweep}/correct.parquet",
        code=["workflow/modelsoups/paper/tables.py", "workflow/modelsoups/evaluation/statistics.py"],
    output:
        csv="results/table4-{sweep}.csv",
        markdown="results/table4-{sweep}.md",
        html=report(
            "results/table4-{sweep}.html",
            caption=caption_of("table4"),
            category="Section 3.3: model soups",
            labels={"result": "Table 4, sweep {sweep}"},
        ),
    log:
        "results/logs/table4/{sweep}.log",
    params:
        study=config["study"],
        roles=ROLES,
        label_sets=LABEL_SETS,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Making Table 4 of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/table4.py"


rule list_hyperparameters:
    """The runs of a sweep with their hyper-parameters and accuracies, for the report."""
    input:
        runs="results/sweeps/{sweep}/runs.csv",
        correct="results/sweeps/{sweep}/correct.parquet",
        code="workflow/modelsoups/paper/tables.py",
    output:
        html=report(
            "results/sweeps/{sweep}/runs.html",
            caption="../workflow/report/runs.rst",
            category="Runs",
            labels={"result": "Hyper-parameters", "sweep": "{sweep}"},
        ),
    log:
        "results/logs/list_hyperparameters/{sweep}.log",
    params:
        study=config["study"],
        datasets=EVALUATION_SETS,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Listing the hyper-parameters of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/list_hyperparameters.py"


rule what_holds:
    """The paper's claims with this study's numbers and computed verdicts, and all captions."""
    input:
        **claims_files(),
        code=[
            "workflow/modelsoups/paper/claims.py",
            "workflow/modelsoups/analyses/evidence.py",
            "workflow/modelsoups/paper/captions.py",
            "workflow/modelsoups/paper/tables.py",
        ],
    output:
        csv="results/what-holds.csv",
        markdown="results/what-holds.md",
        html=report(
            "results/what-holds.html",
            caption=caption_of("what-holds"),
            category="1. What holds here",
            labels={"result": "What holds here"},
        ),
        captions=[caption_of(name) for name in captioned()],
    log:
        "results/logs/what_holds.log",
    params:
        study=config["study"],
        roles=ROLES,
        sweeps=claims_sweeps(),
        table3=config["table3"],
        what_holds=config.get("what_holds", {}),
        figure_k1=config.get("figureK1", {}),
        names=captioned(),
        described=list(claims_described()),
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Comparing the paper's claims with this study"
    script:
        "../workflow/scripts/what_holds.py"
