"""A soup of a study goes to the Hugging Face hub, and another study takes it from there."""

import os

import pytest

from checkouts import MODELS, cook_only, copy_study, snakemake, write_config
from hub_server import COMMIT, hub
from modelsoups.base.files import read_json
from modelsoups.evaluation.logits import read_logits

PUSHED = "hub={repo: someone/soup, model: tiny-search/uniform, results: [table3]}"


def take_from_hub(config):
    """The test study with a sweep of the one model that is on the hub."""
    cook_only(config, uniform={"kind": "uniform"})
    files = "hf://someone/soup/model.safetensors"
    config["sweeps"]["pushed"] = {"kind": "checkpoints", "backbone": "tiny", "files": files}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """An environment in which huggingface_hub has neither cache nor token."""
    for name in [name for name in os.environ if name.startswith("HF_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setenv("FRESH", "1")  # the hub's library reads these when it is imported
    return monkeypatch


def test_pushed_soup_is_a_checkpoint_of_another_study(study, tmp_path, settings):
    folder = copy_study(study, tmp_path / "study")
    chosen = ("push", "--configfile", "config/test.yaml", "--config", PUSHED)
    done = snakemake(folder, *chosen)
    assert done.returncode != 0
    assert "pushing to the hub takes a token of yours" in done.stdout
    with hub() as server:
        settings.setenv("HF_ENDPOINT", server.address)
        settings.setenv("HF_TOKEN", server.token)
        done = snakemake(folder, *chosen)
        assert done.returncode == 0, done.stdout
        files = server.files["someone/soup"]
        soup = folder / MODELS / "uniform"
        assert files["model.safetensors"] == (soup / "weights.safetensors").read_bytes()
        assert {*files} >= {"README.md", "record.json", "results/table3.csv"}

        config = write_config(folder, "taken.yaml", take_from_hub)
        logits = "results/sweeps/pushed/models/000/logits/tiny-held-out.parquet"
        done = snakemake(folder, logits, "--configfile", config)
        assert done.returncode == 0, done.stdout
    record = read_json(folder / "hub/someone/soup/main/model.safetensors.json")
    assert record["commit"] == COMMIT
    before = read_logits(soup / "logits/tiny-held-out.parquet")
    assert (read_logits(folder / logits).logits == before.logits).all()


def test_push_names_what_there_is(study, tmp_path, settings):
    settings.setenv("HF_TOKEN", "hf_secret")
    folder = copy_study(study, tmp_path / "study")
    for wanted, message in (
        ("{repo: a/b, model: tiny-search/gredy}", "there are tiny-search/uniform, tiny-search/"),
        ("{repo: a/b, model: tiny-search/greedy, results: [table33]}", "hub.results: table33"),
    ):
        chosen = ("--configfile", "config/test.yaml", "--config", f"hub={wanted}")
        done = snakemake(folder, "push", "-n", *chosen)
        assert done.returncode != 0
        assert message in done.stdout
