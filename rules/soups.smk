"""Soups: recipes that average weights. Every choice is made on the held-out set."""


rule cook_soup:
    """The weights of a soup, the record of its candidates and decisions, and what it took."""
    input:
        unpack(held_out_files),
        weights=candidate_weights,
        logits=candidate_logits,
        initialization=initialization_weights,
        groups=held_out_groups,
        checked=checks_of_own,
        code=recipe_code,
    output:
        weights=of(WEIGHTS, model="{recipe}"),
        record=of(RECORD, model="{recipe}"),
        cost=of(COST, model="{recipe}"),
    log:
        "results/logs/cook_soup/{sweep}-{recipe}.log",
    benchmark:
        of(BENCHMARK, rule="cook_soup", job="{sweep}-{recipe}")
    conda:
        "../envs/modelsoups.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=soup_memory,
        runtime=soup_minutes,
        batch_size=EVALUATION["batch_size"],
    params:
        **held_out_of_own(),
        names=candidate_names,
        recipe=recipe_spec,
        backbone=backbone_spec,
        precision=EVALUATION["precision"],
        num_classes=num_classes,
    message:
        "Cooking soup {wildcards.recipe} of {wildcards.sweep}"
    script:
        "../workflow/scripts/cook_soup.py"


rule diagnose_pool:
    """Why the soups of a sweep or pool are no better than its best model, with evidence."""
    input:
        unpack(held_out_files),
        weights=pool_weights,
        logits=pool_held_out_logits,
        initialization=initialization_weights,
        soups=soup_held_out_logits,
        records=soup_files(RECORD),
        code=code("diagnose_pool"),
        style=source(str(PACKAGE / "paper/style.mplstyle")),
    output:
        html=report(
            f"{SWEEP}/diagnosis.html",
            caption="../workflow/report/diagnosis.rst",
            category="Diagnosis",
            labels={"result": "Diagnosis", "sweep": "{sweep}"},
        ),
        csv=f"{SWEEP}/diagnosis.csv",
        svg=f"{SWEEP}/diagnosis.svg",
    log:
        "results/logs/diagnose_pool/{sweep}.log",
    benchmark:
        of(BENCHMARK, rule="diagnose_pool", job="{sweep}")
    conda:
        "../envs/modelsoups.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=pool_memory,
        runtime=diagnosis_minutes,
        batch_size=EVALUATION["batch_size"],
    params:
        **held_out_of_own(),
        names=pool_names,
        recipes=soup_names,
        settings=pool_settings,
        backbone=backbone_spec,
        precision=EVALUATION["precision"],
        num_classes=num_classes,
        study=CONFIG["study"],
    message:
        "Diagnosing {wildcards.sweep}"
    script:
        "../workflow/scripts/diagnose_pool.py"


rule collect_costs:
    """Time, memory and passes over the held-out set that each soup of a sweep took."""
    input:
        costs=soup_files(COST),
        records=soup_files(RECORD),
        code=code("collect_costs"),
    output:
        costs=COSTS,
    log:
        "results/logs/collect_costs/{sweep}.log",
    localrule: True
    conda:
        "../envs/modelsoups.yaml"
    params:
        models=soup_names,
    message:
        "Collecting what the soups of {wildcards.sweep} took"
    script:
        "../workflow/scripts/collect_costs.py"
