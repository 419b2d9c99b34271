"""Ensembles: averages of stored logits; no model runs. Every choice is made on the held-out set."""


rule make_ensemble:
    """The logits of an ensemble on every evaluation set, and the record of its ingredients."""
    input:
        logits=pool_logits,
        code=["workflow/modelsoups/soups/ensembles.py", "workflow/modelsoups/soups/greedy.py"],
    output:
        logits=expand(
            "results/sweeps/{sweep}/models/{ensemble}/logits/{dataset}.parquet",
            dataset=EVALUATION_SETS,
            allow_missing=True,
        ),
        record="results/sweeps/{sweep}/models/{ensemble}/record.json",
    log:
        "results/logs/make_ensemble/{sweep}-{ensemble}.log",
    params:
        ensemble=lookup(within=config, dpath="ensembles/{ensemble}"),
        names=pool_of,
        datasets=EVALUATION_SETS,
        roles=ROLES,
        logits_dtype=config["evaluation"].get("logits_dtype", "float32"),
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Making ensemble {wildcards.ensemble} of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/make_ensemble.py"
