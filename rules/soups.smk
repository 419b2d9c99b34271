"""Soups: recipes that average weights. Every choice is made on the held-out set."""


rule cook_soup:
    """The weights of a soup, and the record of its candidates, decisions and ingredients."""
    input:
        unpack(held_out_files),
        weights=pool_weights,
        logits=pool_held_out_logits,
        initialization=initialization_weights,
        code=recipe_code,
    output:
        weights=of(WEIGHTS, model="{recipe}"),
        record=of(RECORD, model="{recipe}"),
    log:
        "results/logs/cook_soup/{sweep}-{recipe}.log",
    conda:
        "../envs/modelsoups.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=pool_memory,
        runtime=soup_minutes,
        batch_size=EVALUATION["batch_size"],
    params:
        names=pool_names,
        recipe=recipe_spec,
        backbone=backbone_spec,
        num_classes=len(CLASS_IDS),
    message:
        "Cooking soup {wildcards.recipe} of {wildcards.sweep}"
    script:
        "../workflow/scripts/cook_soup.py"
