"""Sweeps whose runs exist already: the paper's released checkpoints, or one's own."""


localrules:
    import_checkpoint,
    list_checkpoints,


rule import_checkpoint:
    """The weights of an existing checkpoint, downloaded if need be, and where they are from."""
    output:
        weights="results/sweeps/{sweep}/models/{imported}/weights.safetensors",
        record="results/sweeps/{sweep}/models/{imported}/record.json",
    log:
        "results/logs/import_checkpoint/{sweep}-{imported}.log",
    wildcard_constraints:
        sweep="|".join(CHECKPOINTS) or NO_SWEEP,
        imported=r"initialization|\d{3}",
    params:
        checkpoint=checkpoint_spec,
        kind=checkpoint_kind,
        backbone=backbone_spec,
        num_classes=NUM_CLASSES,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Importing {wildcards.imported} of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/import_checkpoint.py"


rule list_checkpoints:
    """The checkpoints of a sweep, one row each: file, hashes, and which is the same as another."""
    input:
        records=checkpoint_records,
    output:
        runs="results/sweeps/{sweep}/runs.csv",
    log:
        "results/logs/list_checkpoints/{sweep}.log",
    wildcard_constraints:
        sweep="|".join(CHECKPOINTS) or NO_SWEEP,
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Listing the checkpoints of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/list_checkpoints.py"
