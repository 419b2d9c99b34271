"""Figures of the appendices at toy size by the real Snakefile, and their studies."""

import json

import pandas as pd
import pytest

from checkouts import copy_study, copy_workflow, merged, snakemake, write_config
from modelsoups.study.study import Study

OVERLAY = ("config/config.yaml", "config/overlays/appendix.yaml")
KEYS = ["figureF1", "figure5", "figureG3", "figureH"]
FIGURES = ["figureF1", "figure5", "figureG3", "figureH1"]


def add_appendix(config):
    """One-dimensional grids of an optimizer and a learning rate, and figures of sweeps."""
    finetune = {**config["sweeps"]["tiny-grid"]["finetune"], "lr": 1.0e-3}
    config["sweeps"]["lines"] = {
        "backbone": "tiny",
        "start": "linear-probe",
        "finetune": finetune,
        "runs": [{"grid": {"lr": [1.0e-2, 1.0e-3]}}, {"optimizer": "sgd", "lr": 0.1}],
        "recipes": ["uniform", "greedy"],
        "ensembles": [],
    }
    config["figureF1"] = {
        "sweep": "lines",
        "match": {"optimizer": "adamw", "lr": 1.0e-3},
        "grids": {
            "Optimizer": [{"optimizer": "sgd", "lr": 0.1}, {"optimizer": "adamw"}],
            "Learning rate": [{"lr": 1.0e-2}, {"lr": 1.0e-3}],
        },
        "too_large": {"optimizer": "adamw", "lr": 1.0e-2},
    }
    config["figure5"] = "tiny-search"
    config["figureG3"] = {"sweep": "lines", "reference": "tiny-search"}
    config["figureH"] = ["lines"]
    config["appendix"] = KEYS


@pytest.fixture(scope="module")
def made(study, tmp_path_factory):
    """A copy of the finished study in which the appendix has been made too."""
    folder = copy_study(study, tmp_path_factory.mktemp("appendix"))
    config = write_config(folder, "appendix.yaml", add_appendix)
    done = snakemake(folder, "appendix", "--configfile", config)
    assert done.returncode == 0, done.stdout
    return folder


def sections_of(folder, name):
    """The sections of a figure's claims."""
    path = next((folder / "results").rglob(f"claims/{name}.json"))
    return [claim["section"] for claim in json.loads(path.read_text(encoding="utf-8"))["claims"]]


@pytest.mark.slow
def test_appendix_makes_the_figures_that_the_config_names(made):
    for name in FIGURES:
        for kind in ("svg", "png", "parquet"):
            assert (made / f"results/{name}.{kind}").is_file()
    assert not (made / "results/figureB2.svg").exists()


@pytest.mark.slow
def test_figure_f1_has_every_part_of_every_grid_by_domain(made):
    table = pd.read_parquet(made / "results/figureF1.parquet")
    parts = table[["grid", "first", "second"]].apply(tuple, axis=1).tolist()
    assert parts == [("Optimizer", 0, 1), ("Learning rate", 0, 1)]
    assert table["too_large"].tolist() == [False, True]
    assert set(table["best"]) <= {"000", "001", "002"}
    mixes = pd.read_parquet(made / "results/sweeps/lines/mixes/endpoints.parquet")
    ends = mixes.drop_duplicates("mix")["between"].tolist()
    assert ends == ["002 001", "000 001"]


@pytest.mark.slow
def test_what_holds_of_the_appendix_has_the_claims_of_its_figures_alone(made):
    page = pd.read_csv(made / "results/what-holds-appendix.csv")
    sections = [section for name in FIGURES for section in sections_of(made, name)]
    assert sorted(page["section"].astype(str)) == sorted(sections)
    assert not (made / "results/what-holds.csv").exists()


@pytest.mark.slow
def test_claims_of_the_appendix_are_judged(made):
    sections = {name: sections_of(made, name) for name in FIGURES}
    assert sections["figureF1"] == ["F"] * 4
    assert sections["figure5"] == ["3.3.1"] * 3
    assert sections["figureG3"] == ["G"] * 4
    assert sections["figureH1"][0] == "H"


@pytest.mark.slow
def test_appendix_of_the_miniature_dry_runs(tmp_path):
    folder = copy_workflow(tmp_path)
    done = snakemake(folder, "appendix", "-n", "-q", "--configfile", *OVERLAY)
    assert done.returncode == 0, done.stdout


def test_overlay_of_the_appendix_leaves_the_miniatures_runs_as_they_are():
    main, both = (Study(merged(*paths)).runs for paths in (OVERLAY[:1], OVERLAY))
    assert both.items() >= main.items()
    assert list(both["twenty-seeds"].values())[:5] == list(both["seeds"].values())
    assert len(both["twenty-seeds"]) == 20
    assert both["supervised-search"] == both["random-search"]


@pytest.mark.parametrize("paths", [OVERLAY, ("config/align.yaml",)])
def test_align_has_twelve_settings_around_one(paths):
    """J.2.2: 5 learning rates, and 7 combinations of crop, RandAugment and mixup."""
    runs = list(Study(merged(*paths)).runs["align"].values())
    assert len(runs) == 12
    middle = runs[2]
    assert [run.lr / middle.lr for run in runs[:5]] == pytest.approx([0.2, 0.4, 1, 2, 4])
    others = [(run.crop_ratio, run.augmentation, run.mixup) for run in [middle, *runs[5:]]]
    assert len(set(others)) == 8 and {run.lr for run in runs[5:]} == {middle.lr}


def test_numbers_of_the_papers_align_are_its_own():
    """Numbers of J.2.2."""
    runs = list(Study(merged("config/align.yaml")).runs["align"].values())
    assert {(run.epochs, run.weight_decay, run.train_size) for run in runs} == {(25, 0.1, 289)}
    assert [run.lr for run in runs[:5]] == [1e-6, 2e-6, 5e-6, 1e-5, 2e-5]
    assert {run.mixup for run in runs} == {0, 0.5}
    assert {run.augmentation for run in runs} == {"crop", "rand-m15-n2-mmax15"}  # M = 15 in full
    assert {(run.min_crop, run.crop_ratio) for run in runs} == {(0.05, 4 / 3), (0.9, 1.05)}


def test_papers_seeds_and_one_dimensional_grids_are_its_own():
    """Appendix B: 20 seeds; G: five of each pre-training; F: SGD at 0.1, the others at 3e-5."""
    runs = Study(merged("config/imagenet.yaml")).runs
    assert [len(runs[sweep]) for sweep in ("seeds", "seeds-in22k")] == [20, 5]
    assert runs["in22k-search"] == runs["random-search"]
    rates = {(run.optimizer, run.lr) for run in runs["one-dimensional"].values()}
    assert {("sgd", 0.1), ("rmsprop", 3e-5), ("adam", 3e-5), ("adamw", 3e-5)} <= rates


@pytest.mark.parametrize("paths", [OVERLAY, ("config/imagenet.yaml",)])
def test_weight_decay_is_off_where_it_is_a_part_of_the_gradient(paths):
    runs = Study(merged(*paths)).runs["one-dimensional"].values()
    decays = {run.optimizer: run.weight_decay for run in runs}
    assert decays.pop("adamw") > 0
    assert decays == {"rmsprop": 0, "adam": 0, "sgd": 0}


def test_appendix_of_what_is_not_there_is_refused(tmp_path):
    folder = copy_workflow(tmp_path)

    def change(config):
        config["appendix"] = ["figureF1", "figure2"]

    config = write_config(folder, "wrong.yaml", change)
    done = snakemake(folder, "-n", "appendix", "--configfile", config)
    assert done.returncode != 0
    assert "appendix: 'figureF1' is no table or figure of this config; it has" in done.stdout
