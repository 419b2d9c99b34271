"""What a change makes anew in a finished study, and what it leaves, by the real Snakefile."""

import re
import shutil

import pandas as pd
import pytest
import yaml

from checkouts import (
    MAIN,
    MODELS,
    ROOT,
    cook_only,
    copy_study,
    planned,
    snakemake,
    write_config,
)

SHIFT = {
    "role": "shift",
    "path": "resources/emoji/emoji.parquet",
    "where": {"style": ["openmoji"]},
    "num_images": 1344,
    "label": "subgroup",
    "group": "style",
}
DRAWN = {"figure1", "figureL3", "table3"}  # what `MAIN` asks for reads every set
SCORED = {"score_sweep", "collect_correct"}


def changed(folder, change):
    """What a change of the config plans."""
    return planned(folder, write_config(folder, "changed.yaml", change))


def test_new_shift_set_is_listed_decoded_and_evaluated_and_nothing_is_chosen_anew(finished):
    jobs = changed(finished, lambda config: config["datasets"].update(openmoji=SHIFT))
    num_models = 1 + 2 + 3  # start, runs, soups
    assert jobs == {
        **{"index_dataset": 1, "describe_dataset": 1, "decode_view": 1},
        "evaluate_reported": num_models,
        "average_ensemble": 2,
        **dict.fromkeys([*SCORED, "figure1", "table3"], 1),
    }


def test_sets_that_were_there_are_kept_as_they_are(finished, tmp_path):
    folder = copy_study(finished, tmp_path)
    config = write_config(
        folder, "more.yaml", lambda config: config["datasets"].update(openmoji=SHIFT)
    )
    logits = folder / MODELS / "000/logits/tiny-noto.parquet"
    before = logits.read_bytes()
    done = snakemake(folder, *MAIN, "--configfile", config)
    assert done.returncode == 0, done.stdout
    assert logits.read_bytes() == before
    log = (folder / "results/logs/evaluate_reported/tiny-search-000.log").read_text()
    assert "tiny-noto is kept" in log
    assert "openmoji_accuracy" in pd.read_csv(folder / "results/table3.csv")
    assert planned(folder, config) == {}


def test_data_set_whose_folder_changed_is_listed_anew_by_the_command_of_the_page(study, tmp_path):
    page = " ".join((ROOT / "config/README.md").read_text(encoding="utf-8").split())
    assert "`snakemake all --forcerun results/data/<dataset>/index.parquet`" in page
    folder = copy_study(study, tmp_path)
    jobs = planned(folder, targets=(*MAIN, "--forcerun", "results/data/tiny-noto/index.parquet"))
    assert (jobs["index_dataset"], jobs["decode_view"], jobs["evaluate_reported"]) == (1, 1, 6)
    assert not jobs.keys() & {"finetune_run", "cook_soup", "evaluate_held_out"}
    shutil.rmtree(folder / "results/data/tiny-noto")
    assert planned(folder) == {}  # as the page says


def test_shift_set_that_is_taken_out_leaves_every_evaluation(finished):
    jobs = changed(finished, lambda config: config["datasets"].pop("tiny-noto"))
    assert jobs.keys() <= SCORED | DRAWN | {"average_ensemble"}
    assert "evaluate_reported" not in jobs


def test_order_of_shift_sets_evaluates_nothing(finished):
    def reorder(config):
        config["datasets"]["tiny-noto"] = config["datasets"].pop("tiny-noto")

    assert changed(finished, reorder).keys() <= SCORED | DRAWN


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["evaluation"].update(batch_size=32),
        lambda config: config["evaluation"].update(images_per_second=7, memory_gb=9),
        lambda config: config["datasets"]["tiny-train"].update(counterpart="ImageNet"),
        lambda config: config["sweeps"]["tiny-search"].update(compute={"save_minutes": 1}),
        lambda config: config.update(max_hours=3),
    ],
    ids=["batch size", "speed", "counterpart", "compute", "hours"],
)
def test_speed_and_prose_make_nothing_anew(finished, change):
    assert changed(finished, change) == {}


def test_count_that_is_checked_is_counted_and_nothing_else(finished):
    def check(config):
        config["datasets"]["tiny-train"]["num_classes"] = 48

    assert changed(finished, check).keys() <= {"describe_dataset"}


def test_name_of_a_class_trains_nothing(finished):
    def rename(config):
        config["classes"] = "classes.csv"

    text = (finished / "resources/emoji/classes.csv").read_text(encoding="utf-8")
    (finished / "classes.csv").write_text(text.replace(",", ",the "), encoding="utf-8")
    assert changed(finished, rename) == {}


def test_other_probe_trains_the_runs_anew(finished):
    jobs = changed(finished, lambda config: config["linear_probe"].update(l2=[1.0e-3]))
    assert jobs["fit_linear_probe"] == 1
    assert jobs["finetune_run"] == 2


def test_start_that_is_made_again_and_is_equal_trains_nothing(study, tmp_path):
    """All above a run is made again; the runs end in a moment, with the files that were there."""
    folder = copy_study(study, tmp_path)
    before = {path: path.read_bytes() for path in (folder / MODELS).glob("00?/[!.]*.*")}
    assert len(before) == 4
    forced = ("--forcerun", "fit_linear_probe", "--until", "finetune_run")
    done = snakemake(folder, *MAIN, *forced, "--configfile", "config/test.yaml")
    assert done.returncode == 0, done.stdout
    assert re.search(r"finetune_run +2", done.stdout)
    assert {path: path.read_bytes() for path in before} == before
    for log in (folder / "results/logs/finetune_run").glob("tiny-search-*.log"):
        assert "kept, nothing" in log.read_text()
        assert "epoch 1" not in log.read_text()


def touch_code(finished, module):
    path = finished / "workflow/modelsoups" / module
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("module", "rules", "spared"),
    [
        ("soups/greedy.py", {"cook_soup": 1, "evaluate_held_out": 1}, {"choose_ensemble": 0}),
        ("soups/selection.py", {"cook_soup": 1, "choose_ensemble": 2}, {}),
        ("soups/learned.py", {"cook_soup": 1}, {"choose_ensemble": 0}),
        ("soups/rejection.py", {"cook_soup": 1}, {"choose_ensemble": 0}),
        ("weights/average.py", {"cook_soup": 3}, {}),
        ("evaluation/evaluator.py", {"evaluate_held_out": 6, "evaluate_reported": 6}, {}),
        ("evaluation/scores.py", {"score_sweep": 1, "table3": 1}, {"evaluate_reported": 0}),
        ("evaluation/statistics.py", {"table3": 1}, {"evaluate_reported": 0, "cook_soup": 0}),
        ("paper/table3.py", {"table3": 1}, {"figure1": 0, "score_sweep": 0}),
        ("paper/figure1.py", {"figure1": 1}, {"table3": 0}),
        ("training/loop.py", {}, {"finetune_run": 0}),
        ("models/heads.py", {}, {"fit_linear_probe": 0}),
    ],
)
def test_edit_of_a_module_makes_anew_what_runs_it(study, tmp_path, module, rules, spared):
    folder = copy_study(study, tmp_path)
    touch_code(folder, module)
    jobs = planned(folder)
    assert {rule: jobs.get(rule) for rule in rules} == rules
    assert {rule: jobs.get(rule, 0) for rule in spared} == spared
    assert "finetune_run" not in jobs
    assert "fit_linear_probe" not in jobs


def test_new_hyper_parameter_that_is_off_trains_nothing(finished, tmp_path):
    folder = copy_study(finished, tmp_path)
    search = folder / "workflow/modelsoups/study/search.py"
    text = search.read_text(encoding="utf-8")
    field = '    clip_norm: float = described("Gradients are scaled down to this norm")\n'
    assert field in text
    search.write_text(
        text.replace(field, f'{field}    later: float = described("Off", default=0.0)\n'),
        encoding="utf-8",
    )
    jobs = planned(folder)
    assert "finetune_run" not in jobs
    assert "list_runs" not in jobs


def test_figures_that_match_other_runs_of_one_sweep_have_tables_of_their_own(finished):
    def match(config):
        config["figureG4"] = [{"sweep": "tiny-grid", "match": {"lr": 1.0e-2}}]

    targets = ("results/figureB2.svg", "results/figureG4.svg")
    config = write_config(finished, "match.yaml", match)
    assert planned(finished, config, targets=targets)["study_seeds"] == 2
    assert planned(finished, targets=targets)["study_seeds"] == 1  # the same match: shared


def test_study_of_other_names_and_without_shift_sets_is_planned_whole(finished):
    """Recipes by other names, no greedy soup, no ensemble, no shift set, no analyses."""

    def rename(config):
        cook_only(config, mean={"kind": "uniform"})
        config["ensembles"] = {}
        config["datasets"] = {
            name: spec for name, spec in config["datasets"].items() if spec["role"] != "shift"
        }
        for key in [key for key in config if key.startswith("figure") and key != "figure1"]:
            del config[key]

    jobs = planned(finished, write_config(finished, "other.yaml", rename), ("all",))
    assert jobs["what_holds"] == 1


def test_pool_over_sweeps_is_cooked_and_scored(study, tmp_path):
    """A soup of two sweeps, and one of runs chosen by a hyper-parameter: three lines of config."""

    def mix(config):
        config["pools"]["both"] = {
            "models": ["tiny-search", {"sweep": "tiny-grid", "match": {"lr": 1.0e-3}}],
            "recipes": ["uniform", "greedy"],
        }
        config["table3"] = "both"

    folder = copy_study(study, tmp_path)
    config = write_config(folder, "pool.yaml", mix)
    done = snakemake(folder, "results/table3.csv", "--configfile", config)
    assert done.returncode == 0, done.stdout
    record = yaml.safe_load((folder / "results/sweeps/both/models/greedy/record.json").read_text())
    assert [candidate["name"] for candidate in record["candidates"]] and {
        candidate["name"] for candidate in record["candidates"]
    } == {
        "tiny-search/initialization",
        "tiny-search/000",
        "tiny-search/001",
        "tiny-grid/000",
        "tiny-grid/001",
    }
    table = pd.read_csv(folder / "results/table3.csv").set_index("method")
    assert table.models["Uniform soup"] == "uniform"
    assert "/" in table.models["Best individual model"]
