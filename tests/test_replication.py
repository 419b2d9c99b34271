"""The real Snakefile makes replicates, each a study in a folder of its own, and pools them."""

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

    name = write_config(folder, "study.yaml", shorten)
    done = snakemake(folder, "--cores", "2", "results/replicates.csv", "--configfile", name)
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


def test_each_replicate_has_a_folder_of_its_own_and_the_study_nothing_else(replicated):
    made = {path.name for path in (replicated / "results").iterdir() if path.is_dir()}
    assert made == {"replicates", "logs"}
    assert {path.name for path in (replicated / "results/replicates").iterdir()} == {"1", "2"}
    model = "sweeps/tiny-search/models/000/weights.safetensors"
    first, second = ((replicated / f"results/replicates/{n}" / model) for n in (1, 2))
    assert first.read_bytes() != second.read_bytes()
