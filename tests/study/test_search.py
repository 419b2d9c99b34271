from dataclasses import dataclass

import pytest

from modelsoups.study.search import (
    RunSpec,
    as_params,
    average_names,
    list_runs,
    pairs_below,
    select,
    select_all,
)
from modelsoups.study.spaces import random_search
from weight_space import RUNS

SHARED = {"batch_size": 512, "min_crop": 0.08, "warmup_steps": 500, "clip_norm": 1.0}


def test_runs_of_a_sweep_are_numbered_and_complete():
    runs = list_runs({"finetune": SHARED, "random": {"space": PAPER_RUN, "num_runs": 2, "seed": 0}})
    assert list(runs) == ["000", "001"]
    assert runs["001"].batch_size == 512
    assert (runs["000"].seed, runs["001"].seed) == (0, 1)


def test_unknown_missing_and_doubled_hyperparameters_are_named_together():
    space = {**PAPER_RUN, "momentum": 0.9, "clip_norm": 2.0}
    del space["lr"]
    with pytest.raises(
        ValueError, match=r"unknown \['momentum'\], missing \['lr'\], given twice \['clip_norm'\]"
    ):
        list_runs({"finetune": SHARED, "random": {"space": space, "num_runs": 1, "seed": 0}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0}, "lr must be positive, got 0"),
        ({"epochs": 0}, "epochs must be positive, got 0"),
        ({"label_smoothing": 1}, r"label_smoothing must be in \[0, 1\), got 1"),
        ({"mixup": -0.1}, "mixup must not be negative, got -0.1"),
        ({"warmup_steps": -1}, "warmup_steps must not be negative, got -1"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"epochs": 4.04}, "epochs must be a whole number, got 4.04; draw it by `integer`"),
        ({"epochs": True}, "epochs must be a whole number, got True"),
        ({"lr": "1e-5"}, "lr must be a number, got '1e-5'"),
        ({"min_crop": 0}, r"min_crop must be in \(0, 1\], got 0"),
        ({"batch_size": 3}, "batch_size must be even"),
        ({"sam": -0.1}, "sam must not be negative"),
        ({"sam": True}, "sam must be a number, got True"),
        ({"sam_synchronized": False}, "sam_synchronized says nothing without sam; leave it out"),
        ({"ema": 1.0}, r"ema must be decays above 0 and below 1, got \[1.0\]"),
        ({"ema": [0.9, 0]}, r"ema must be decays above 0 and below 1, got \[0.9, 0\]"),
        ({"ema": "high"}, "ema must be a number, got 'high'"),
        ({"ema": [0.9, 0.9]}, r"ema has an entry twice: \[0.9, 0.9\]"),
        ({"ema_warmup": True}, "ema_warmup says nothing without ema"),
        ({"swa": 1}, r"swa must be shares from 0 to below 1, got \[1\]"),
        ({"swa": -0.1}, "swa must be shares from 0"),
        ({"teachers": ["a/000", "a/000"]}, "teachers has an entry twice"),
        ({"teachers": 3}, "teachers must be a word, got 3"),
        ({"temperature": 2.0}, "temperature says nothing without teachers"),
        ({"teachers": "a/000", "temperature": 0}, "temperature must be positive, got"),
        (
            {"teachers": "a/000", "label_smoothing": 0.1},
            "label_smoothing and a binary loss are of lab",
        ),
        ({"teachers": "a/000", "loss": "binary"}, "set them to 0 and softmax, got 0 and binary"),
        ({"augmentation": "rand-m9"}, "'rand-m9' is none of minimal, medium, strong"),
        ({"augmentation": "rand-m9-n2-mmax"}, "'rand-m9-n2-mmax' is none of minimal, medium"),
        ({"augmentation": "fix-aug"}, "fix-aug is strong before the last epoch, .* got 1"),
        ({"optimizer": "lion"}, "optimizer 'lion' is none of adamw, adam, rmsprop, sgd, adafactor"),
        ({"schedule": "step"}, "schedule 'step' is none of cosine, constant, linear, cosine-rest"),
        ({"loss": "hinge"}, "loss 'hinge' is none of softmax, binary, likelihood"),
        ({"cutmix": -0.2}, "cutmix must not be negative, got -0.2"),
        (
            {"crop_ratio": 0.75},
            "crop_ratio must be at least 1, got 0.75; crops go from its inverse",
        ),
        ({"train_size": -1}, "train_size must not be negative, got -1"),
        ({"train_size": 288.5}, "train_size must be a whole number, got 288.5"),
        ({"freeze_head": 1}, "freeze_head must be true or false, got 1"),
        ({"evaluate_every": 1000}, r"evaluate_every must be a share in \[0, 1\], got 1000"),
    ],
)
def test_run_out_of_range_is_refused(change, message):
    spec = {**SHARED, "seed": 0, "lr": 1e-5, "weight_decay": 0.1, "epochs": 1, "mixup": 0}
    spec |= {"label_smoothing": 0, "augmentation": "minimal"}
    RunSpec(**spec)
    with pytest.raises(ValueError, match=message):
        RunSpec(**{**spec, **change})


def make_run(**changes):
    spec = {**SHARED, "seed": 0, "lr": 1e-5, "weight_decay": 0.1, "epochs": 1, "mixup": 0}
    return RunSpec(**{**spec, "label_smoothing": 0, "augmentation": "minimal", **changes})


def test_what_is_off_is_left_out_of_params():
    """A method that is added later, with a default that is off, changes no finished run."""

    @dataclass(frozen=True, kw_only=True)
    class LaterSpec(RunSpec):
        later: float = 0.0

    known = as_params(make_run())
    assert as_params(LaterSpec(**known)) == known
    assert as_params(LaterSpec(**known, later=0.05)) == {**known, "later": 0.05}
    first = {"seed", "lr", "weight_decay", "epochs", "mixup", "label_smoothing", "augmentation"}
    assert known.keys() == first | SHARED.keys()


def test_entry_of_a_list_may_stand_alone():
    assert make_run(ema=0.5, swa=[0, 0.7]).ema == (0.5,)
    assert as_params(make_run(ema=0.5, swa=[0, 0.7]))["ema"] == [0.5]
    runs = {"000": make_run(ema=[0.5]), "001": make_run(ema=[0.5, 0.9]), "002": make_run()}
    assert select(runs, {"ema": 0.5}) == select(runs, {"ema": [0.5]}) == "000"
    assert select(runs, {"ema": [0.5, 0.9]}) == "001"


def test_averages_are_named_by_their_decay_or_share():
    names = average_names(make_run(ema=[0.9, 0.9999999], swa=[0, 0.7]))
    assert names == ["ema0.9", "ema0.9999999", "swa", "swa0.7"]
    assert average_names(make_run()) == []


def test_every_method_is_off_if_it_is_not_named():
    """Params of runs are those that they had before there were methods."""
    needed = {"seed", *SHARED, *PAPER_RUN}
    assert as_params(make_run()).keys() == needed
    off = {"optimizer": "adamw", "schedule": "cosine", "loss": "softmax", "cutmix": 0.0}
    off |= {"crop_ratio": 4 / 3, "train_size": 0, "freeze_head": False, "evaluate_every": 0.0}
    assert as_params(make_run(**off)) == as_params(make_run())
    assert as_params(make_run(cutmix=0.2)) == {**as_params(make_run()), "cutmix": 0.2}


ALIGN = {  # the twelve runs of Appendix J.2.2
    "finetune": {
        **SHARED, "weight_decay": 0.1, "epochs": 25, "label_smoothing": 0,
        "min_crop": 0.05, "augmentation": "crop", "mixup": 0, "lr": 5e-6,
    },
    "runs": [
        {"grid": {"lr": [1e-6, 2e-6, 5e-6, 1e-5, 2e-5]}},
        {"mixup": 0.5},
        {"augmentation": "strong", "grid": {"mixup": [0, 0.5]}},
        {
            "min_crop": 0.9,
            "crop_ratio": 1.05,
            "grid": {"augmentation": ["crop", "strong"], "mixup": [0, 0.5]},
        },
    ],
}  # fmt: skip


def test_blocks_of_runs_are_numbered_through_and_override_what_is_shared():
    runs = list_runs(ALIGN)
    assert list(runs) == [f"{number:03d}" for number in range(12)]
    assert [run.lr for run in runs.values()] == [1e-6, 2e-6, 5e-6, 1e-5, 2e-5] + 7 * [5e-6]
    found = [(run.min_crop, run.augmentation, run.mixup) for run in runs.values()]
    assert found[4:] == [
        (0.05, "crop", 0),
        (0.05, "crop", 0.5),
        (0.05, "strong", 0),
        (0.05, "strong", 0.5),
        *[(0.9, policy, mixup) for policy in ("crop", "strong") for mixup in (0, 0.5)],
    ]
    assert [run.crop_ratio for run in runs.values()] == 8 * [4 / 3] + 4 * [1.05]


def test_block_that_is_added_at_the_end_keeps_the_runs_there_are():
    search = {"random": {"space": {"lr": {"log_uniform": [1e-6, 1e-4]}}, "num_runs": 3, "seed": 0}}
    longer = list_runs({**ALIGN, "runs": [*ALIGN["runs"], search, {"seed": 7}]})
    assert len(longer) == 16
    assert {name: longer[name] for name in list(longer)[:12]} == list_runs(ALIGN)
    drawn = random_search(**search["random"])
    assert [longer[name].lr for name in ("012", "013", "014")] == [run["lr"] for run in drawn]
    assert [longer[name].seed for name in ("012", "013", "014", "015")] == [0, 1, 2, 7]


def test_one_block_has_the_runs_of_its_search_alone():
    alone = {"random": {"space": PAPER_RUN, "num_runs": 4, "seed": 3}}
    assert list_runs({"finetune": SHARED, "runs": [alone]}) == list_runs(
        {"finetune": SHARED, **alone}
    )


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"momentum": 0.9}, r"runs\[4\]: hyper-parameters: unknown \['momentum'\]"),
        ({"lr": 1e-5, "grid": {"lr": [1e-6]}}, r"runs\[4\]: .* given twice \['lr'\]"),
        ({"cutmix": -1}, r"runs\[4\]: run: cutmix must not be negative"),
        ({"lr": 1e-5}, r"runs\[4\]: .* is run 003 already; remove it, or give it another seed"),
    ],
)
def test_problem_of_a_block_is_told_with_its_place(block, message):
    with pytest.raises(ValueError, match=message):
        list_runs({**ALIGN, "runs": [*ALIGN["runs"], block]})


def test_runs_are_selected_by_their_hyper_parameters():
    runs = {"000": make_run(), "001": make_run(seed=1), "002": make_run(lr=1e-4)}
    assert select_all(runs, {"lr": 1e-5}) == ["000", "001"]
    assert select_all(runs, {}) == ["000", "001", "002"]
    assert select(runs, {"lr": 1e-4}) == "002"
    with pytest.raises(ValueError, match=r"expected one run with {'lr': 1e-05}, found \['000', "):
        select(runs, {"lr": 1e-5})
    with pytest.raises(ValueError, match="expected one run with {'seed': 7}, found none"):
        select(runs, {"seed": 7})


def test_pairs_below_a_learning_rate_say_what_varies_between_the_two():
    chosen, pairs = pairs_below(RUNS, 1, "all")
    assert chosen == list(RUNS) and len(pairs) == 6
    assert (pairs["000", "001"], pairs["000", "002"]) == ("seed", "lr")
    assert pairs["000", "003"] == "several"
    assert ("000", "003") not in pairs_below(RUNS, 1, "one")[1]
    assert pairs_below(RUNS, 1e-2, "all") == (["000", "001"], {("000", "001"): "seed"})


def test_more_than_a_thousand_runs_have_names_of_their_own():
    grid = {"seed": list(range(1001)), **{name: [value] for name, value in PAPER_RUN.items()}}
    runs = list_runs({"finetune": SHARED, "grid": grid})
    assert list(runs)[-2:] == ["999", "1000"]


PAPER_RUN = {
    "lr": 1e-5,
    "weight_decay": 0.1,
    "epochs": 4,
    "label_smoothing": 0,
    "mixup": 0,
    "augmentation": "minimal",
}
