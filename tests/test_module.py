"""The workflow imported into another one, from a folder that has none of its files."""

import pandas as pd
import pytest

from checkouts import ROOT, cook_only, snakemake, write_config

SNAKEFILE = """
configfile: "study.yaml"


module soups:
    snakefile:
        "{root}/Snakefile"
    config:
        config


use rule * from soups as soups_*


rule report_accuracy:
    input:
        "results/table3.csv",
    output:
        "accuracy.txt",
    shell:
        "cut -d, -f 2 {{input}} > {{output}}"
"""


@pytest.fixture
def importer(tmp_path):
    """A folder with a Snakefile of its own, which imports this workflow, and a study."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(root=ROOT), encoding="utf-8")

    def shorten(config):
        for key in [key for key in config if key.startswith(("figure", "table4", "what", "label"))]:
            del config[key]
        cook_only(config, uniform={"kind": "uniform"})
        config["ensembles"] = {"ensemble": {"kind": "uniform"}}
        config["sweeps"] = {"tiny-search": config["sweeps"]["tiny-search"]}
        config["sweeps"]["tiny-search"]["random"]["space"]["epochs"] = 1

    write_config(tmp_path, "study.yaml", shorten)
    return tmp_path


def test_imported_workflow_dry_runs(importer):
    done = snakemake(importer, "--cores", "2", "--dry-run", "accuracy.txt")
    assert done.returncode == 0, done.stdout
    assert "soups_finetune_run" in done.stdout


def test_imported_workflow_runs_a_study_of_the_importers_own(importer):
    done = snakemake(importer, "--cores", "2", "accuracy.txt")
    assert done.returncode == 0, done.stdout
    table = pd.read_csv(importer / "results/table3.csv")
    assert "Uniform soup" in set(table.method)
    assert (importer / "accuracy.txt").read_text().startswith("method")
    assert not (importer / "resources").exists()
