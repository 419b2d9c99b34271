"""A soup of models made elsewhere: what they are, whether they fit together, and the soup itself."""

SOUP = CONFIG.get("soup", {})
AS_GIVEN = {"given": given_models()} if adapters() else {}


localrules:
    soup,
    check_accuracy,
    diagnosis_of_soup,


rule merge_adapter:
    """A whole model: an adapter of PEFT merged into the model that it was trained on."""
    input:
        files=adapter_files,
        code=code("merge_adapter"),
    output:
        folder=directory(MERGED),
    log:
        "results/logs/merge_adapter/{adapter}.log",
    wildcard_constraints:
        adapter=one_of(adapters()),
    conda:
        "../envs/modelsoups.yaml"
    resources:
        mem_mb=config_memory,
    params:
        adapter=adapter_folder,
        base=SOUP.get("base"),
        classes=class_ids(HELD_OUT) if SOUP else [],
    message:
        "Merging the adapter {wildcards.adapter}"
    script:
        "../workflow/scripts/merge_adapter.py"


rule describe_model:
    """What the models are and how they see images, found out from the first of them."""
    input:
        files=first_own_files,
        module=module_of_own,
        code=code("describe_model"),
    output:
        spec=MODEL,
    log:
        "results/logs/describe_model.log",
    conda:
        "../envs/modelsoups.yaml"
    params:
        model=first_own_model,
        request=own_request,
        classes=class_ids(HELD_OUT) if SOUP else [],
        part=SOUP.get("part"),
    message:
        "Finding out what the models are"
    script:
        "../workflow/scripts/describe_model.py"


rule check_ingredients:
    """All models, once they have proved to be of one architecture, head and order of classes.

    It comes first. Imports do not wait for it: all of them would be made anew with a new model.
    """
    input:
        files=own_files,
        spec=MODEL,
        code=code("check_ingredients"),
    output:
        table=INGREDIENTS,
    log:
        "results/logs/check_ingredients.log",
    priority: 10
    conda:
        "../envs/modelsoups.yaml"
    params:
        **AS_GIVEN,
        models=own_models(),
        part=SOUP.get("part"),
        prefix=SOUP.get("prefix"),
        seen_alike=not {"preprocessing", "evaluate"}.isdisjoint(SOUP),
    message:
        "Checking that the models fit together"
    script:
        "../workflow/scripts/check_ingredients.py"


rule import_own:
    """The weights of a model made elsewhere under the names of the study, and where they are from."""
    input:
        files=imported_files,
        merged=merged_adapter,
        spec=MODEL,
        code=code("import_own"),
    output:
        weights=of(WEIGHTS, model="{imported}"),
        record=of(RECORD, model="{imported}"),
    log:
        "results/logs/import_own/{sweep}-{imported}.log",
    wildcard_constraints:
        sweep=OWN if SOUP else NONE,
        imported=one_of(own_models()),
    conda:
        "../envs/modelsoups.yaml"
    resources:
        mem_mb=config_memory,
    params:
        checkpoint=checkpoint_spec,
        kind=kind_of_checkpoint,
        part=SOUP.get("part"),
        prefix=SOUP.get("prefix"),
    message:
        "Importing {wildcards.imported}"
    script:
        "../workflow/scripts/import_own.py"


rule evaluate_own:
    """What a function of the user's own gives each example with a model: its scores on one set."""
    input:
        weights=WEIGHTS,
        spec=MODEL,
        data=files_of_own,
        code=code("evaluate_own") + metric_files([EVALUATE] if EVALUATE else []),
    output:
        logits=LOGITS,
    log:
        "results/logs/evaluate_own/{sweep}-{model}-{dataset}.log",
    benchmark:
        of(BENCHMARK, rule="evaluate_own", job="{sweep}-{model}-{dataset}")
    wildcard_constraints:
        sweep=OWN if EVALUATE else NONE,
    conda:
        "../envs/modelsoups.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=evaluation_memory,
        runtime=held_out_minutes,
    params:
        evaluate=EVALUATE,
        given=given_to_own,
    message:
        "Scoring {wildcards.model} on {wildcards.dataset} by your function"
    script:
        "../workflow/scripts/evaluate_own.py"


rule check_accuracy:
    """The accuracy of models beside what the config says that it is; they must agree."""
    input:
        logits=said_logits,
        code=code("check_accuracy"),
    output:
        table=ACCURACIES,
    log:
        "results/logs/check_accuracy.log",
    conda:
        "../envs/modelsoups.yaml"
    params:
        said=SOUP.get("accuracy", {}),
    message:
        "Comparing accuracies with those that are known"
    script:
        "../workflow/scripts/check_accuracy.py"


rule export_soup:
    """The soup in the form that the models came in, with a card."""
    input:
        files=own_files,
        spec=MODEL,
        weights=own_soup(WEIGHTS),
        record=own_soup(RECORD),
        scores=of(SCORES, sweep=OWN),
        records=own_records,
        code=code("export_soup"),
    output:
        folder=directory("results/soup/model"),
        report="results/soup/report.html",
    log:
        "results/logs/export_soup.log",
    conda:
        "../envs/modelsoups.yaml"
    resources:
        mem_mb=config_memory,
    params:
        **AS_GIVEN,
        models=own_models(),
        part=SOUP.get("part"),
        prefix=SOUP.get("prefix"),
        roles=STUDY.roles,
        base_model=SOUP.get("base_model"),
    message:
        "Writing the soup in the form that the models came in"
    script:
        "../workflow/scripts/export_soup.py"


rule diagnosis_of_soup:
    """Why the soup is no better than the best of the models, beside it."""
    input:
        **{
            kind: of(f"{SWEEP}/diagnosis.{kind}", sweep=OWN)
            for kind in ("html", "csv", "svg")
            if SOUP
        },
    output:
        html="results/soup/diagnosis.html",
        csv="results/soup/diagnosis.csv",
        svg="results/soup/diagnosis.svg",
    log:
        "results/logs/diagnosis_of_soup.log",
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Putting the diagnosis beside the soup"
    shell:
        "cp {input} results/soup 2> {log}"


rule soup:
    """A soup of models made elsewhere: the section `soup` of the config says of which."""
    input:
        soup_files_of_own,
