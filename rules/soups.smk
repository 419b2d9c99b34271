"""Soups: recipes that average weights. Every choice is made on the held-out set."""


rule cook_soup:
    """The weights of a soup, and the record of its candidates, decisions and ingredients."""
    input:
        weights=pool_weights,
        logits=pool_held_out_logits,
        images=images_of_held_out,
        labels=labels_of_held_out,
        code=["workflow/modelsoups/soups/recipes.py", "workflow/modelsoups/soups/greedy.py"],
    output:
        weights="results/sweeps/{sweep}/models/{recipe}/weights.safetensors",
        record="results/sweeps/{sweep}/models/{recipe}/record.json",
    log:
        "results/logs/cook_soup/{sweep}-{recipe}.log",
    threads: 1
    resources:
        gpu=1,
        mem_mb=evaluation_memory,
        runtime=soup_minutes,
    params:
        names=pool_of,
        recipe=lookup(within=config, dpath="recipes/{recipe}"),
        backbone=backbone_spec,
        num_classes=NUM_CLASSES,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Cooking soup {wildcards.recipe} of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/cook_soup.py"
