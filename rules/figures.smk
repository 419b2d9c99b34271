"""The paper's figures: a tidy table each, drawn as SVG and PNG. A rule a figure, under its name."""

for figure, source in FIGURES.items():

    rule:
        name:
            figure
        input:
            files=source["files"],
            logits=source.get("logits", []),
            code=[
                "workflow/modelsoups/paper/drawing.py",
                "workflow/modelsoups/analyses/evidence.py",
                "workflow/modelsoups/paper/figures.py",
            ],
            style="workflow/modelsoups/paper/style.mplstyle",
        output:
            svg=report(
                f"results/{figure}.svg",
                caption=caption_of(figure),
                category=source["category"],
                labels={"result": source["title"]},
            ),
            png=f"results/{figure}.png",
            table=f"results/{figure}.parquet",
        log:
            f"results/logs/{figure}.log",
        localrule: True
        params:
            figure=source.get("drawing", figure),
            spec=source.get("spec", {}),
            labels=source["labels"],
            models=source.get("models", []),
            datasets=REPORTED_SETS,
            roles=ROLES,
            study=config["study"],
        conda:
            "../envs/modelsoups.yaml"
        message:
            f"Drawing {source['title']}"
        script:
            "../workflow/scripts/draw_figure.py"


rule draw_curves:
    """The training curves of a sweep's runs."""
    input:
        files=run_curves,
        logits=[],
        code=["workflow/modelsoups/paper/drawing.py", "workflow/modelsoups/paper/figures.py"],
        style="workflow/modelsoups/paper/style.mplstyle",
    output:
        svg=report(
            "results/sweeps/{sweep}/curves.svg",
            caption="../workflow/report/curves.rst",
            category="Runs",
            labels={"result": "Training curves", "sweep": "{sweep}"},
        ),
        png="results/sweeps/{sweep}/curves.png",
        table="results/sweeps/{sweep}/curves.parquet",
    log:
        "results/logs/draw_curves/{sweep}.log",
    localrule: True
    params:
        figure="curves",
        spec=sweep_name,
        labels=run_names,
        models=[],
        datasets=REPORTED_SETS,
        roles=ROLES,
        study=config["study"],
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Drawing the training curves of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/draw_figure.py"
