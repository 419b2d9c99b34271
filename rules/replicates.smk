"""Replication: the main sweep with other parts of the data and other draws, over which Table 3 is
pooled. A target of its own: each replicate is a study like this one, a module under its own folder.
"""

REPLICATES = list_replicates(CONFIG)

for number, its_config in REPLICATES.items():
    replicate = f"replicate{number}_"

    module:
        name: replicate
        snakefile:
            str(HOME / "Snakefile")
        config:
            its_config
        replace_prefix:
            {"results/": replicate_folder(number)}

    use rule * from replicate exclude all, fetch_from_hub, push, all_runs, all_soups, plan, what_holds, what_holds_appendix, what_holds_replicates, time_predictions, list_hyperparameters, draw_curves, diagnose_pool, approximate_pairs, build_emoji, build_wordnet, halve_iconclip, draw_icons, embed_names, pretrain as replicate*


if REPLICATES:

    rule replicates:
        """Table 3 pooled over replicates: differences from the best run, over draws and images."""
        input:
            scores=replicate_tables(SCORES),
            correct=replicate_tables(CORRECT),
            code=code("pool_replicates"),
            style=source(str(PACKAGE / "paper/style.mplstyle")),
        output:
            csv="results/replicates.csv",
            markdown="results/replicates.md",
            html="results/replicates.html",
            svg="results/replicates.svg",
            png="results/replicates.png",
            draws="results/replicates.parquet",
            claims=of(CLAIMS, name="replicates"),
        log:
            "results/logs/replicates.log",
        localrule: True
        conda:
            "../envs/modelsoups.yaml"
        params:
            about=about_study(),
            folds=folds_of_replicates(),
        message:
            "Pooling the replicates"
        script:
            "../workflow/scripts/pool_replicates.py"

    rule pool_claims:
        """The claims of the replicates' tables and figures, over draws and images."""
        input:
            **claims_of_replicates(),
            code=code("pool_claims"),
        output:
            claims=of(CLAIMS, name="pooled"),
        log:
            "results/logs/pool_claims.log",
        localrule: True
        conda:
            "../envs/modelsoups.yaml"
        params:
            draws=[f"draw{n}" for n in REPLICATES],
            folds=folds_of_replicates(),
        message:
            "Pooling the claims of the replicates"
        script:
            "../workflow/scripts/pool_claims.py"
