"""The real Snakefile makes replicates, each a study in a folder of its own, and pools them."""

import json

import pandas as pd
import pytest

from checkouts import cook_only, copy_workflow, snakemake, write_config

FOLDS = {"0": 147, "1": 164, "2": 152, "3": 117, "4": 135}  # of fxemoji


@pytest.fixture(scope="module")
def replicated(tmp_path_factory):
    """A checkout with two replicates of the test study."""
    folder = copy_workflow(tmp_path_factory.mktemp("replicates"))

    def shorten(config):
        cook_only(config, uniform={"kind": "uniform"}, greedy={"kind": "greedy"})
        config["ensembles"] = {"ensemble": {"kind": "uniform"}}
        config["sweeps"]["tiny-search"]["random"]["space"]["epochs"] = 1
        keys = ("figure", "table", "what", "label", "paper")
        for key in [key for key in config if key.startswith(keys)]:
            del config[key]
        config["sweeps"] = {"tiny-search": config["sweeps"]["tiny-search"]}
        where = {"style": ["fxemoji"]}
        config["replicates"] = {"sweep": "tiny-search", "column": "fold", "where": where}
        config["replicates"] |= {"folds": FOLDS, "count": 2}
        config["replicates"]["results"] = {"table4": ["tiny-search"]}

    name = write_config(folder, "study.yaml", shorten)
    targets = "results/replicates.csv", "results/what-holds-replicates.html"
    done = snakemake(folder, "--cores", "2", *targets, "--configfile", name)
    assert done.returncode == 0, done.stdout
    return folder


def test_table_is_pooled_over_draws(replicated):
    table = pd.read_csv(replicated / "results/replicates.csv").set_index("method")
    assert {"Best individual model", "Uniform soup", "Greedy soup", "Ensemble"} <= set(table.index)
    assert (table.replicates == 2).all()
    draws = pd.read_parquet(replicated / "results/replicates.parquet")
    uniform = draws[(draws.method == "Uniform soup") & (draws.domain == "in_distribution")]
    assert uniform.n.tolist() == [FOLDS["4"], FOLDS["3"]]
    found = table.loc["Uniform soup", "in_distribution_difference"]
    assert found == pytest.approx(uniform.difference.mean())
    for suffix in ("md", "html", "svg", "png"):
        assert (replicated / f"results/replicates.{suffix}").stat().st_size


def test_claims_of_other_tables_are_pooled_beside_those_of_table_3(replicated):
    page = pd.read_csv(replicated / "results/what-holds-replicates.csv").set_index("claim")
    assert "The greedy soup beats the best run in distribution" in page.index
    of_table_4 = "The greedy soup beats even the run that is best on the test images "
    pooled = page.loc[f"{of_table_4}(in distribution)"]
    numbers = [
        next(
            claim["value"]
            for claim in json.loads(path.read_text())["claims"]
            if claim["claim"] == pooled.name
        )
        for path in replicated.glob("results/replicates/*/claims/table4-tiny-search.json")
    ]
    assert len(numbers) == 2 and pooled["value"] == pytest.approx(sum(numbers) / 2)


def test_each_replicate_has_a_folder_of_its_own_and_the_study_nothing_else(replicated):
    made = {path.name for path in (replicated / "results").iterdir() if path.is_dir()}
    assert made == {"replicates", "logs", "claims"}
    assert {path.name for path in (replicated / "results/replicates").iterdir()} == {"1", "2"}
    model = "sweeps/tiny-search/models/000/weights.safetensors"
    first, second = ((replicated / f"results/replicates/{n}" / model) for n in (1, 2))
    assert first.read_bytes() != second.read_bytes()
