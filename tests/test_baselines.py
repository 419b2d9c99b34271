"""Appendix L, and Tables 1, 4 and C.1 of averaged runs, at toy size by the real Snakefile; their
studies in the miniature and at the paper's scale."""

import json

import pandas as pd
import pytest

from checkouts import copy_study, copy_workflow, merged, planned, snakemake, write_config
from modelsoups.paper.claims import FAILS, HOLDS, OPEN
from modelsoups.paper.targets import list_targets
from modelsoups.study.study import Study

BASELINES = ["tableL1", "tableL2", "tableL3", "figureL1"]
AVERAGES = ["table1", "table4-low", "tableC1"]
RATE = 1.0e-3


def add_baselines(config):
    """The runs of Tables L.1 to L.3 and Figure L.1, as short as they can be, and pools of
    averages."""
    finetune = {**config["sweeps"]["tiny-grid"]["finetune"], "lr": RATE}
    del finetune["augmentation"], finetune["epochs"]
    sweep = {"backbone": "tiny", "start": "linear-probe", "recipes": [], "ensembles": []}
    teachers = [f"baselines/00{number}" for number in (0, 1, 2)]
    config["sweeps"]["baselines"] = {
        **sweep,
        "finetune": {**finetune, "epochs": 2},
        "runs": [
            {"grid": {"augmentation": ["minimal", "medium", "strong", "stochastic", "fix-aug"]}},
            {"augmentation": "stochastic", "epochs": 6},
            {"augmentation": "fix-aug", "epochs": 8},
            {"teachers": teachers, "grid": {"augmentation": ["none", "stochastic"]}},
        ],
    }
    config["sweeps"]["sharpness"] = {
        **sweep,
        "finetune": {**finetune, "augmentation": "minimal", "epochs": 1},
        "grid": {"sam": [0, 0.05], "seed": [0, 1]},
    }
    config["sweeps"]["trajectories"] = {
        **sweep,
        "finetune": {**finetune, "epochs": 2, "ema": [0.5, 0.9], "swa": 0},
        "grid": {"augmentation": ["minimal", "medium", "strong"]},
    }
    for name, average in (("low", "ema0.5"), ("high", "ema0.9")):
        model = {"sweep": "trajectories", "average": average, "match": {"augmentation": "minimal"}}
        pool = {"models": [model], "recipes": ["greedy"], "ensembles": ["greedy-ensemble"]}
        config["pools"][name] = pool
    table = {"sweep": "baselines", "learning_rates": [RATE], "seeds": [0], "epochs": 2}
    config["tableL1"] = config["tableL2"] = table
    config["tableL3"] = {"sweep": "sharpness", "lr": RATE, "rho": 0.05, "seeds": [0, 1]}
    config["figureL"] = [
        {
            "sweep": "trajectories",
            "learning_rates": [RATE],
            "schedules": ["cosine"],
            "averages": ["ema0.5", "swa"],
        }
    ]
    config["table1"] = config["tableC1"] = {"sweep": "low", "high": "high"}
    config["table4"] = [{"sweep": "low", "high": "high"}]


@pytest.fixture(scope="module")
def made(study, tmp_path_factory):
    """A copy of the finished study in which these tables and the figure have been made too."""
    folder = copy_study(study, tmp_path_factory.mktemp("baselines"))
    config = write_config(folder, "baselines.yaml", add_baselines)
    assert planned(folder, config) == {}  # what was there is as it was
    tables = [f"results/{name}.csv" for name in [*BASELINES[:3], *AVERAGES]]
    done = snakemake(folder, *tables, "results/figureL1.svg", "--configfile", config)
    assert done.returncode == 0, done.stdout
    return folder


def test_tables_of_appendix_l_have_the_papers_rows(made):
    sizes = {name: len(pd.read_csv(made / f"results/{name}.csv")) for name in BASELINES[:3]}
    assert sizes == {"tableL1": 9, "tableL2": 7, "tableL3": 5}
    mixes = pd.read_parquet(made / "results/sweeps/baselines/mixes/tableL1.parquet")
    models = mixes.groupby("row", sort=False)["models"].first()
    assert models["Individual model (stochastic aug 3x epochs)"] == "005"
    assert models["Distillation from the ensemble (stochastic aug)"] == "008"
    assert models["Soup minimal, medium, and strong aug"] == "000 001 002"


def test_figure_l1_has_every_run_soup_and_average(made):
    table = pd.read_parquet(made / "results/figureL1.parquet")
    assert len(table) == 3 * 4
    mixes = pd.read_parquet(made / "results/sweeps/trajectories/mixes/figureL1.parquet")
    assert "000-swa 001-swa 002-swa" in set(mixes["models"])


def test_tables_of_averages_have_the_soups_of_the_low_pool_and_runs_of_both(made):
    table = pd.read_csv(made / "results/table4-low.csv")
    models = set(table.loc[table["method"].str.startswith("Best model on held out"), "model"])
    assert models <= {"trajectories/000-ema0.5", "trajectories/000-ema0.9"}
    assert "keywords" in set(table["dataset"])
    assert "keywords" not in set(pd.read_csv(made / "results/table1.csv")["dataset"])


def test_claims_of_all_of_them_are_judged(made):
    for name in [*BASELINES, *AVERAGES]:
        text = (made / f"results/claims/{name}.json").read_text(encoding="utf-8")
        claims = json.loads(text)["claims"]
        assert claims and {claim["verdict"] for claim in claims} <= {HOLDS, FAILS, OPEN}


OVERLAYS = ("appendix-l", "large-models")
SCALED = {  # studies at the paper's scale -> what they make
    "appendix-l": ["tableL1", "tableL2", "tableL3", "figureL1", "figureL2"],
    "vit-g": ["table1", "table4-vit-g"],
    "basic": ["tableC1"],
}


@pytest.mark.parametrize("name", SCALED)
def test_study_at_the_papers_scale_makes_these(name):
    assert list(list_targets(merged(f"config/{name}.yaml"))) == SCALED[name]


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlay_dry_runs_and_leaves_the_miniatures_runs_as_they_are(tmp_path, name):
    folder = copy_workflow(tmp_path)
    paths = ("config/config.yaml", f"config/overlays/{name}.yaml")
    done = snakemake(folder, "-n", "-q", "--configfile", *paths)
    assert done.returncode == 0, done.stdout
    main, both = Study(merged(paths[0])).runs, Study(merged(*paths)).runs
    assert main.items() <= both.items()


def test_numbers_of_the_papers_vit_g_are_its_own():
    """Numbers of J.2.3."""
    study = Study(merged("config/vit-g.yaml"))
    assert "stand-in for ViT-G/14" in study.config["study"]  # which every table names
    runs = [run for sweep in study.runs.values() for run in sweep.values()]
    assert len(runs) == 58
    assert {run.optimizer for run in runs} == {"adafactor"}
    assert {run.lr for run in runs} == {3e-5, 5e-5}
    assert {run.schedule for run in runs} == {"constant", "cosine"}
    assert {run.loss for run in runs} == {"softmax", "binary"}
    assert {run.min_crop for run in runs} == {0.05, 0.7, 0.9, 1.0}
    assert {run.ema for run in runs} == {(0.999, 0.9999999)}
    assert {run.epochs for run in runs} == {4, 8}
    sharp = [(run.sam_synchronized, run.cutmix) for run in runs if run.sam]
    assert sorted(sharp) == [(False, 0.0), (False, 0.0), (True, 0.0), (True, 0.2)]


def test_numbers_of_the_papers_basic_are_its_own():
    """Numbers of Appendix C."""
    runs = list(Study(merged("config/basic.yaml")).runs["basic"].values())
    assert len(runs) == 20
    assert {(run.lr, run.batch_size, run.epochs) for run in runs} == {
        (1e-5, 64, 8),
        (2e-5, 64, 8),
    }
    low, high = runs[0].ema
    assert (low, high) == (pytest.approx(0.999 ** (1 / 8)), pytest.approx(0.9999999 ** (1 / 8)))
    assert abs(high - 0.9999999 ** (1 / 8)) < 1e-12


def test_miniature_has_as_many_runs_as_it_says():
    study = Study(merged("config/config.yaml", "config/overlays/large-models.yaml"))
    assert [len(study.pools[name]) for name in ("vit-g", "vit-g-high")] == [16, 16]
    assert [len(study.pools[name]) for name in ("basic-low", "basic-high")] == [20, 20]


@pytest.mark.parametrize(
    "paths",
    [("config/config.yaml", "config/overlays/appendix-l.yaml"), ("config/appendix-l.yaml",)],
)
def test_teachers_are_the_three_augmentations_of_their_students_rate_and_seed(paths):
    runs = Study(merged(*paths)).runs["baselines"]
    students = [run for run in runs.values() if run.teachers]
    assert students
    for student in students:
        teachers = [runs[name.removeprefix("baselines/")] for name in student.teachers]
        found = [(each.augmentation, each.lr, each.seed) for each in teachers]
        rate = (student.lr, student.seed)
        assert found == [(each, *rate) for each in ("minimal", "medium", "strong")]
