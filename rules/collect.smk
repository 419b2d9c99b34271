"""Named stopping points on the way to `all`."""


localrules:
    all_runs,
    all_soups,


rule all_runs:
    """Every run of every sweep, fine-tuned and evaluated."""
    input:
        [
            f"results/sweeps/{sweep}/models/{run}/logits/{dataset}.parquet"
            for sweep in config["sweeps"]
            for run in RUNS[sweep]
            for dataset in EVALUATION_SETS
        ],


rule all_soups:
    """The scores of every sweep: its runs, soups and ensembles on every evaluation set."""
    input:
        expand("results/sweeps/{sweep}/scores.parquet", sweep=config["sweeps"]),
