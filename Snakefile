"""Make and study model soups: the paper's tables and figures from a config (see README.md)."""

from snakemake.utils import min_version

min_version("9.20")  # earlier ones misread `runtime` in a profile


if not workflow.overwrite_configfiles:  # a study given by --configfile stands alone

    configfile: "config/config.yaml"


report: "workflow/report/study.rst"


include: "rules/common.smk"
include: "rules/paths.smk"
include: "rules/compute.smk"
include: "rules/lookups.smk"
include: "rules/collect.smk"
include: "rules/miniature.smk"
include: "rules/data.smk"
include: "rules/heads.smk"
include: "rules/finetune.smk"
include: "rules/checkpoints.smk"
include: "rules/hub.smk"
include: "rules/own.smk"
include: "rules/evaluate.smk"
include: "rules/soups.smk"
include: "rules/ensembles.smk"
include: "rules/scores.smk"
include: "rules/analyses.smk"
include: "rules/paper.smk"
include: "rules/replicates.smk"


rule all:
    """Every table and figure of the study; if it has none, the scores of every sweep and pool."""
    default_target: True
    input:
        everything(),
