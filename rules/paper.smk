"""The paper's tables and figures, and what holds of its claims. A rule each, under its name.

What a table or figure reads, how it is made and what its caption says stands in its module:
workflow/modelsoups/paper/<name>.py.
"""

for name, target in targets_of_kind("figure").items():

    rule:
        name:
            name
        input:
            **needed(target),
            code=result_code("make_figure", target),
            style=source(str(PACKAGE / "paper/style.mplstyle")),
        output:
            svg=report(
                f"results/{name}.svg",
                caption=caption_of(name),
                category=target.result.category,
                labels={"result": target.title},
            ),
            png=f"results/{name}.png",
            table=f"results/{name}.parquet",
            claims=of(CLAIMS, name=name),
            caption=of(CAPTION, name=name),
        log:
            f"results/logs/{name}.log",
        localrule: True
        conda:
            "../envs/modelsoups.yaml"
        params:
            result=target.result.name,
            spec=target.spec,
            about=about_study(sweeps_named(target)),
        message:
            f"Drawing {target.title}"
        script:
            "../workflow/scripts/make_figure.py"


for name, target in targets_of_kind("table").items():

    rule:
        name:
            name
        input:
            **needed(target),
            code=result_code("make_table", target),
        output:
            csv=f"results/{name}.csv",
            markdown=f"results/{name}.md",
            html=report(
                f"results/{name}.html",
                caption=caption_of(name),
                category=target.result.category,
                labels={"result": target.title},
            ),
            claims=of(CLAIMS, name=name),
            caption=of(CAPTION, name=name),
        log:
            f"results/logs/{name}.log",
        localrule: True
        conda:
            "../envs/modelsoups.yaml"
        params:
            result=target.result.name,
            spec=target.spec,
            about=about_study(sweeps_named(target)),
        message:
            f"Making {target.title}"
        script:
            "../workflow/scripts/make_table.py"


for name, target in targets_of_kind("claims").items():

    rule:
        name:
            name
        input:
            **needed(target),
            code=result_code("make_claims", target),
        output:
            claims=of(CLAIMS, name=name),
        log:
            f"results/logs/{name}.log",
        localrule: True
        conda:
            "../envs/modelsoups.yaml"
        params:
            result=target.result.name,
            spec=target.spec,
            about=about_study(sweeps_named(target)),
        message:
            f"Judging the claims of {target.title}"
        script:
            "../workflow/scripts/make_claims.py"


for name, target in TARGETS.items():
    # For `--list-rules`; another workflow may have imported the rules under other names.
    rule_name = workflow.modifier.modify_rulename(name)
    workflow.get_rule(rule_name).docstring = target.result.about


for name, page, title, targets in (
    ("what_holds", "what-holds", "What holds here", list(TARGETS)),
    (
        "what_holds_appendix",
        "what-holds-appendix",
        "What holds of the appendix",
        of_appendix(),
    ),
    (
        "what_holds_replicates",
        "what-holds-replicates",
        "What holds over draws",
        claims_over_draws(),
    ),
):

    rule:
        """The paper's claims, of all, of the appendix or over draws: numbers and verdicts here."""
        name:
            name
        input:
            claims=expand(CLAIMS, name=targets),
            code=code("what_holds"),
        output:
            csv=f"results/{page}.csv",
            markdown=f"results/{page}.md",
            html=report(
                f"results/{page}.html",
                caption="../workflow/report/what-holds.rst",
                category="0. What holds here",
                labels={"result": title},
            ),
        log:
            f"results/logs/{name}.log",
        localrule: True
        conda:
            "../envs/modelsoups.yaml"
        params:
            study=CONFIG["study"],
        message:
            "Comparing the paper's claims with this study"
        script:
            "../workflow/scripts/what_holds.py"


rule sum_up_time:
    """Where the time of the study went: jobs, hours and memory of each rule that is measured."""
    input:
        scores=expand(SCORES, sweep=STUDY.pools),
        claims=expand(CLAIMS, name=TARGETS),
        code=code("sum_up_time"),
    output:
        csv="results/time.csv",
        markdown="results/time.md",
        html=report(
            "results/time.html",
            caption="../workflow/report/time.rst",
            category="Runs",
            labels={"result": "Where the time went", "sweep": "all"},
        ),
    log:
        "results/logs/sum_up_time.log",
    localrule: True
    conda:
        "../envs/modelsoups.yaml"
    params:
        study=CONFIG["study"],
    message:
        "Summing up where the time went"
    script:
        "../workflow/scripts/sum_up_time.py"


rule list_hyperparameters:
    """The runs of a sweep with their hyper-parameters and accuracies, for the report."""
    input:
        runs=RUNS,
        correct=CORRECT,
        code=code("list_hyperparameters"),
    output:
        html=report(
            f"{SWEEP}/runs.html",
            caption="../workflow/report/runs.rst",
            category="Runs",
            labels={"result": "Hyper-parameters", "sweep": "{sweep}"},
        ),
    log:
        "results/logs/list_hyperparameters/{sweep}.log",
    localrule: True
    conda:
        "../envs/modelsoups.yaml"
    params:
        study=CONFIG["study"],
    message:
        "Listing the hyper-parameters of {wildcards.sweep}"
    script:
        "../workflow/scripts/list_hyperparameters.py"


rule draw_curves:
    """The training curves of a sweep's runs."""
    input:
        records=run_records,
        code=code("draw_curves"),
        style=source(str(PACKAGE / "paper/style.mplstyle")),
    output:
        svg=report(
            f"{SWEEP}/curves.svg",
            caption="../workflow/report/curves.rst",
            category="Runs",
            labels={"result": "Training curves", "sweep": "{sweep}"},
        ),
        png=f"{SWEEP}/curves.png",
        table=f"{SWEEP}/curves.parquet",
    log:
        "results/logs/draw_curves/{sweep}.log",
    wildcard_constraints:
        sweep=one_of(STUDY.runs),
    localrule: True
    conda:
        "../envs/modelsoups.yaml"
    params:
        study=CONFIG["study"],
        runs=run_names,
    message:
        "Drawing the training curves of {wildcards.sweep}"
    script:
        "../workflow/scripts/draw_curves.py"
