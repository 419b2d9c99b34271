"""What follows from a config: roles, models, pools."""

import pytest

from modelsoups.study.study import Study, identity, name_in

FINETUNE = {
    "batch_size": 4,
    "min_crop": 0.5,
    "warmup_steps": 1,
    "clip_norm": 1.0,
    "weight_decay": 0.1,
    "epochs": 1,
    "label_smoothing": 0,
    "mixup": 0,
}
SWEEP = {"backbone": "tower", "start": "linear-probe", "finetune": FINETUNE}


def make_study(**changes):
    grid = {"lr": [1e-3, 1e-2], "augmentation": ["minimal", "medium"]}
    return Study(
        {
            "datasets": {
                "sketches": {"role": "shift"},
                "photos": {"role": "test"},
                "learn": {"role": "train"},
                "choose": {"role": "held_out"},
                "toys": {"role": "shift"},
            },
            "backbones": {"tower": {"library": "timm"}, "other": {"library": "timm"}},
            "sweeps": {
                "grid": {**SWEEP, "grid": grid, "other_starts": ["zero-shot"]},
                "seeds": {
                    **SWEEP,
                    "finetune": {**FINETUNE, "lr": 1e-3, "augmentation": "minimal"},
                    "grid": {"seed": [0, 1]},
                    "pool_initialization": True,
                },
                "zero": {
                    **SWEEP,
                    "start": "zero-shot",
                    "finetune": {**FINETUNE, "lr": 1e-3, "augmentation": "minimal"},
                    "grid": {"seed": [0]},
                },
                "given": {
                    "kind": "checkpoints",
                    "backbone": "tower",
                    "files": "m_{0..2}.pt",
                    "initialization": "m_1.pt",
                },
            },
            "pools": {
                "both": {"models": ["seeds", {"sweep": "grid", "match": {"lr": 1e-3}}]},
                "mixed": {"models": ["both/greedy", "zero/000", "grid/zero-shot"]},
                "three-lines": {
                    "models": [
                        {"sweep": "grid", "match": {"augmentation": "minimal", "lr": 1e-3}},
                        {"sweep": "grid", "match": {"augmentation": "medium", "lr": 1e-3}},
                        "seeds/001",
                    ],
                    "recipes": ["uniform"],
                    "ensembles": [],
                },
            },
            "recipes": {"uniform": {"kind": "uniform"}, "greedy": {"kind": "greedy"}},
            "ensembles": {"ensemble": {"kind": "uniform"}},
            **changes,
        }
    )


def test_sets_are_ordered_by_role_and_then_as_written():
    study = make_study()
    assert (study.train_of("grid"), study.held_out_of("grid")) == ("learn", "choose")
    assert study.reported_of("grid") == ["photos", "sketches", "toys"]
    assert study.evaluated_of("both") == ["choose", "photos", "sketches", "toys"]
    assert study.sets_of(["grid", "both"]) == study.roles


def test_study_without_training_has_no_training_set():
    assert make_study(datasets={"choose": {"role": "held_out"}}).train_of("given") is None


def test_sweep_and_pool_may_name_sets_of_their_own():
    study = make_study()
    study.config["datasets"].update(
        {"birds": {"role": "train"}, "few-birds": {"role": "held_out"}, "more": {"role": "test"}}
    )
    own = {"train": "birds", "held_out": "few-birds", "reported": ["more", "toys"]}
    study.config["sweeps"]["grid"].update(own)
    study.config["pools"]["other-choice"] = {"models": ["grid"], "held_out": "choose"}
    study.config["pools"]["alike"] = {"models": ["grid/000"]}
    assert study.train_of("grid") == "birds"
    assert (
        study.evaluated_of("grid") == study.evaluated_of("alike") == ["few-birds", "more", "toys"]
    )
    assert study.evaluated_of("other-choice") == ["choose", "more", "toys"]
    assert list(study.sets_of(["grid"])) == ["toys", "birds", "few-birds", "more"]  # as written
    assert study.train_of("seeds") == "learn"


def test_sweeps_of_two_training_sets_start_at_other_weights():
    study = make_study()
    study.config["datasets"]["birds"] = {"role": "train"}
    study.config["sweeps"]["seeds"]["train"] = "birds"
    assert study.initialization_of("both") is None


def test_classes_and_prompts_are_the_data_sets_own_or_the_studys():
    study = make_study(classes="all.csv")
    study.config["datasets"]["photos"]["classes"] = "few.csv"
    assert study.said_of("photos", "classes") == "few.csv"
    assert study.said_of("toys", "classes") == study.said_of(None, "classes") == "all.csv"
    assert study.said_of("photos", "prompts") is None


def test_pool_of_a_sweep_is_its_runs_and_if_asked_for_its_initialization():
    study = make_study()
    assert study.pool_of("grid") == ["000", "001", "002", "003"]
    assert study.pool_of("seeds") == ["initialization", "000", "001"]
    assert study.pool_of("given") == ["000", "002"]


def test_pool_takes_sweeps_runs_by_hyper_parameters_and_models_of_other_pools():
    study = make_study()
    assert study.pool_of("both") == [
        "seeds/initialization",
        "seeds/000",
        "seeds/001",
        "grid/000",
        "grid/001",
    ]
    assert study.pool_of("mixed") == ["both/greedy", "zero/000", "grid/zero-shot"]
    assert study.pool_of("three-lines") == ["grid/000", "grid/001", "seeds/001"]


def test_model_that_two_entries_of_a_pool_name_is_there_once():
    study = make_study(pools={"twice": {"models": ["grid/000", "grid"]}})
    assert study.pool_of("twice") == ["grid/000", "grid/001", "grid/002", "grid/003"]


def test_recipe_of_another_is_given_its_soup_and_others_the_pool():
    study = make_study(
        recipes={"greedy": {"kind": "greedy"}, "near": {"kind": "interpolated", "of": "greedy"}}
    )
    assert study.candidates_of("grid", "near") == ["grid/greedy"]
    assert study.candidates_of("mixed", "near") == ["mixed/greedy"]
    assert study.candidates_of("mixed", "greedy") == study.pools["mixed"]


def test_pool_has_an_initialization_if_all_its_models_have_the_same():
    study = make_study()
    assert study.initialization_of("grid") == "grid/initialization"
    assert study.initialization_of("given") == "given/initialization"
    assert study.initialization_of("both") == "seeds/initialization"  # one backbone, one start
    assert study.initialization_of("mixed") is None  # from two starts


def test_everything_of_a_sweep_is_scored_under_its_kind():
    assert make_study().kinds_of("grid") == {
        "initialization": "initialization",
        "zero-shot": "start",
        **dict.fromkeys(["000", "001", "002", "003"], "run"),
        "uniform": "soup",
        "greedy": "soup",
        "ensemble": "ensemble",
    }


def test_everything_of_a_pool_is_scored_under_its_kind():
    assert make_study().kinds_of("mixed") == {
        "both/greedy": "soup",
        "zero/000": "run",
        "grid/zero-shot": "start",
        "uniform": "soup",
        "greedy": "soup",
        "ensemble": "ensemble",
    }
    assert make_study().kinds_of("three-lines") == {
        "grid/initialization": "initialization",
        "grid/000": "run",
        "grid/001": "run",
        "seeds/001": "run",
        "uniform": "soup",
    }


def test_sweep_without_an_initialization_has_none_scored():
    sweeps = {"given": {"kind": "checkpoints", "backbone": "tower", "files": "m_{0..1}.pt"}}
    study = make_study(sweeps=sweeps, pools={})
    assert study.initialization_of("given") is None
    assert list(study.kinds_of("given")) == ["000", "001", "uniform", "greedy", "ensemble"]


def test_models_name_is_short_in_its_own_sweep():
    assert name_in("grid", "grid/003") == "003"
    assert name_in("both", "grid/003") == "grid/003"
    assert identity("grid", "003") == "grid/003"
    assert identity("both", "grid/003") == "grid/003"


def averaged(**changes):
    """A study with a sweep of two runs that each leave two averages."""
    finetune = {**FINETUNE, "augmentation": "minimal", "ema": [0.99], "swa": 0}
    sweep = {**SWEEP, "finetune": finetune, "grid": {"lr": [1e-3, 1e-2]}}
    sweeps = {"plain": {**SWEEP, "grid": GRID}, "averaged": sweep}
    return make_study(sweeps=sweeps, **{"pools": {}, **changes})


GRID = {"lr": [1e-3], "augmentation": ["minimal"]}


def test_averages_are_models_of_their_sweep_that_its_own_recipes_do_not_choose_from():
    study = averaged()
    assert study.averages_of("averaged") == ["ema0.99", "swa"]
    names = ["000-ema0.99", "000-swa", "001-ema0.99", "001-swa"]
    assert study.averaged_of("averaged") == names
    assert study.models_with_weights("averaged") == [
        *("initialization", "000", "001"),
        *names,
        *("uniform", "greedy"),
    ]
    assert study.pool_of("averaged") == ["000", "001"]
    assert study.kinds_of("averaged") == {
        "initialization": "initialization",
        **{"000": "run", "001": "run"},
        **dict.fromkeys(names, "average"),
        **{"uniform": "soup", "greedy": "soup", "ensemble": "ensemble"},
    }


def test_sweep_without_averages_has_the_models_that_it_had():
    study = averaged()
    assert study.averaged_of("plain") == []
    assert study.sweeps_by_averages == {(): ["plain"], ("ema0.99", "swa"): ["averaged"]}
    assert "average" not in study.kinds_of("plain").values()


def test_pool_takes_an_average_of_all_runs_or_of_those_that_match_as_runs():
    study = averaged(
        pools={
            "low": {"models": [{"sweep": "averaged", "average": "ema0.99"}]},
            "one": {
                "models": [
                    {"sweep": "averaged", "average": "swa", "match": {"lr": 1e-2}},
                    "averaged/000-ema0.99",
                    "plain",
                ]
            },
        }
    )
    assert study.pool_of("low") == ["averaged/000-ema0.99", "averaged/001-ema0.99"]
    assert study.pool_of("one") == ["averaged/001-swa", "averaged/000-ema0.99", "plain/000"]
    assert list(study.kinds_of("low").values()) == [
        *("initialization", "run", "run", "soup", "soup", "ensemble")
    ]
    assert study.initialization_of("one") == "averaged/initialization"


def test_average_that_the_runs_do_not_have_is_refused():
    pools = {"low": {"models": [{"sweep": "averaged", "average": "ema0.9"}]}}
    with pytest.raises(ValueError, match="have no average 'ema0.9'; they have ema0.99, swa"):
        averaged(pools=pools).pools  # noqa: B018


def test_pools_in_a_circle_are_refused():
    pools = {"a": {"models": ["b"]}, "b": {"models": ["a/uniform"]}}
    with pytest.raises(ValueError, match="in a circle"):
        make_study(pools=pools).pools  # noqa: B018
