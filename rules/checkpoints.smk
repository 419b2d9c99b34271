"""Sweeps whose models exist already: the paper's released checkpoints, or one's own."""


localrules:
    list_checkpoints,


rule import_checkpoint:
    """The weights of an existing checkpoint, downloaded if need be, and where they are from."""
    input:
        file=local_checkpoint,
    output:
        weights=of(WEIGHTS, model="{imported}"),
        record=of(RECORD, model="{imported}"),
    log:
        "results/logs/import_checkpoint/{sweep}-{imported}.log",
    wildcard_constraints:
        sweep=one_of([name for name in STUDY.checkpoints if name not in SOUPED]),
        imported=one_of([INITIALIZATION, RUN, *NAMED]),
    conda:
        "../envs/modelsoups.yaml"
    resources:
        mem_mb=config_memory,
    params:
        checkpoint=checkpoint_spec,
        kind=kind_of_checkpoint,
        backbone=backbone_spec,
        num_classes=num_classes,
    message:
        "Importing {wildcards.imported} of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/import_checkpoint.py"


rule list_checkpoints:
    """The checkpoints of a sweep, one row each: file, hashes, and which is the same as another."""
    input:
        records=checkpoint_records,
    output:
        runs=RUNS,
    log:
        "results/logs/list_checkpoints/{sweep}.log",
    wildcard_constraints:
        sweep=one_of(STUDY.checkpoints),
    conda:
        "../envs/modelsoups.yaml"
    message:
        "Listing the checkpoints of sweep {wildcards.sweep}"
    script:
        "../workflow/scripts/list_checkpoints.py"
