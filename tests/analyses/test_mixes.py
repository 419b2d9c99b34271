"""Mixes: plans, and the evaluation of weighted sums by a real classifier."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from modelsoups.analyses.mixes import (
    PLANS,
    Mix,
    Mixer,
    evaluate_mixes,
    interpolation,
    open_sets,
    plan_mixes,
    random_pairs,
)
from modelsoups.data.views import ViewSpec
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.evaluation.metrics import nll
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import write_run
from weight_space import RUNS, Killed, interrupted, make_evaluator, resumed

MIXES = [
    Mix(coefficients={"000": 0.5, "001": 0.5}, about={"name": "middle"}),
    Mix(coefficients={"initialization": -0.5, "002": 1.5}, about={"name": "beyond"}),
]


def test_logits_are_those_of_the_data_sets_classes(files, photos) -> None:
    mapped = replace(photos, class_map=np.array([[2, 0], [1, 1]]))
    mixer = Mixer(make_evaluator(), files)
    own = mixer.logits(photos, {"000": 1.0})
    expected = np.stack([np.maximum(own[:, 2], own[:, 0]), own[:, 1]], axis=1)
    np.testing.assert_array_equal(mixer.logits(mapped, {"000": 1.0}), expected)


def test_mix_is_evaluated_as_the_average_of_its_models(files, photos) -> None:
    table = evaluate_mixes(Mixer(make_evaluator(), files), [photos], MIXES)
    assert table["mix"].drop_duplicates().tolist() == [0, 1]
    evaluator = make_evaluator()
    for mix in MIXES:
        evaluator.pour(average([files[m] for m in mix.coefficients], [*mix.coefficients.values()]))
        logits = evaluator.outputs(photos.examples)
        rows = table[table["name"] == mix.about["name"]].set_index("metric")
        assert rows["value"]["nll"] == nll(logits, photos.labels)
        assert rows["value"]["accuracy"] == (logits.argmax(1) == photos.labels).mean()
        assert set(rows["dataset"]) == {"photos"} and set(rows["n"]) == {8}


def test_metrics_are_those_the_figures_show(files, photos) -> None:
    table = evaluate_mixes(Mixer(make_evaluator(), files), [photos], MIXES[:1])
    assert table["metric"].tolist() == ["accuracy", "nll", "ece"]


@pytest.mark.parametrize("num_parts", range(4))
def test_after_a_kill_the_finished_mixes_are_not_evaluated_again(
    files, photos, holdout, tmp_path, num_parts
) -> None:
    sets, path = [photos, holdout], tmp_path / "rows"
    whole = evaluate_mixes(Mixer(make_evaluator(), files), sets, MIXES)
    with pytest.raises(Killed):
        evaluate_mixes(Mixer(make_evaluator(), files), sets, MIXES, interrupted(path, num_parts))
    mixer = CountingMixer(make_evaluator(), files)
    table = evaluate_mixes(mixer, sets, MIXES, resumed(path))
    pd.testing.assert_frame_equal(table, whole, check_exact=True)
    assert mixer.num_passes == 4 - num_parts


class CountingMixer(Mixer):
    """Counts the passes over a data set."""

    num_passes = 0

    def logits(self, *args):
        self.num_passes += 1
        return super().logits(*args)


class CountingEvaluator(Evaluator):
    """Counts the weights poured."""

    num_poured = 0

    def pour(self, *args):
        self.num_poured += 1
        super().pour(*args)


def test_mix_of_several_data_sets_is_summed_once(files, photos, holdout) -> None:
    evaluator = CountingEvaluator(make_evaluator().model, batch_size=4)
    evaluate_mixes(Mixer(evaluator, files), [photos, holdout], MIXES)
    assert evaluator.num_poured == len(MIXES)


def test_mix_without_finite_logits_is_an_error_that_names_its_models(files, photos) -> None:
    mixer = Mixer(make_evaluator(), files)
    with pytest.raises(ValueError, match="the mix of 000, 001: 8 of 8 examples of photos have out"):
        mixer.logits(photos, {"000": 1e30, "001": 1.0})


def test_head_may_have_coefficients_of_its_own(files, photos) -> None:
    # With the head halved, all logits are half of what they were.
    mixer = Mixer(make_evaluator(), files)
    whole = mixer.logits(photos, {"000": 1.0})
    half = mixer.logits(photos, {"000": 1.0}, {"000": 0.5})
    np.testing.assert_allclose(half, whole / 2, rtol=1e-5, atol=1e-6)


def test_head_of_another_name_is_an_error(photos) -> None:
    evaluator = Evaluator(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)))
    with pytest.raises(ValueError, match=r"tensors named head\.\*, found 2 others, the last 1\.bi"):
        Mixer(evaluator, {}).logits(photos, {"000": 1.0}, {"000": 0.5})


def test_plane_has_a_grid_its_corners_and_the_middle_of_the_runs(files) -> None:
    spec = {"first": {"lr": 1e-3, "seed": 0}, "second": {"lr": 1e-2, "seed": 1}, "resolution": 3}
    mixes = PLANS["plane"](spec, RUNS, files)
    named = ["start", "first", "second", "middle"]
    assert [mix.about["corner"] for mix in mixes] == [""] * 9 + named
    *_, start, first, second, middle = (list(mix.coefficients.values()) for mix in mixes)
    np.testing.assert_allclose([start, first, second], np.eye(3), atol=1e-9)
    np.testing.assert_allclose(middle, [0, 0.5, 0.5], atol=1e-9)
    assert list(mixes[0].coefficients) == ["initialization", "000", "003"]
    assert all(sum(mix.coefficients.values()) == pytest.approx(1) for mix in mixes)


def test_pairs_for_angles_stay_below_a_learning_rate(files) -> None:
    spec = {"below_lr": 1e-2, "pairs": "all"}
    mixes = PLANS["angles"](spec, RUNS, files)
    assert [tuple(mix.coefficients) for mix in mixes] == [("000",), ("001",), ("000", "001")]
    assert mixes[-1].about["varied"] == "seed"
    assert 45 < mixes[-1].about["angle"] < 135  # independent noise in many dimensions


def test_pairs_that_differ_in_several_ways_may_be_left_out(files) -> None:
    pairs = [
        mix.about["first"] + mix.about["second"]
        for mix in PLANS["angles"]({"below_lr": 1, "pairs": "one"}, RUNS, files)
        if len(mix.coefficients) == 2
    ]
    assert pairs == ["000001", "000002", "001003", "002003"]


def test_ends_of_every_part_of_a_grid_are_averaged(files) -> None:
    same = [{"lr": 1e-3, "seed": 0}, {"lr": 1e-3, "seed": 1}, {"lr": 1e-2, "seed": 0}]
    plan = {"grids": {"one": same, "two": same[1:]}}
    mixes = PLANS["endpoints"](plan, RUNS, files)
    assert [dict(mix.coefficients) for mix in mixes] == [
        {"000": 0.5, "001": 0.5},
        {"000": 0.5, "002": 0.5},
        {"001": 0.5, "002": 0.5},
        {"001": 0.5, "002": 0.5},
    ]
    about = [tuple(mix.about.values()) for mix in mixes]
    assert about[1:] == [
        ("one", 0, 2, "000 001 002"),
        ("one", 1, 2, "001 002"),
        ("two", 0, 1, "001 002"),
    ]


def test_a_run_that_failed_ends_no_part_and_is_not_between(files) -> None:
    plan = {"grids": {"one": [{"lr": 1e-3, "seed": 0}, {"seed": 1, "lr": 1e-3}, {"lr": 1e-2}]}}
    runs = {name: run for name, run in RUNS.items() if name in ("000", "002")}
    [mix] = PLANS["endpoints"](plan, runs, files)
    assert mix.about == {"grid": "one", "first": 0, "second": 2, "between": "000 002"}


def test_wise_curves_start_once_and_end_at_each_model(files) -> None:
    soup = {"uniform": files["000"]}
    mixes = PLANS["wise"]({"alphas": [0.25, 1], "soups": ["uniform"]}, RUNS, {**files, **soup})
    assert dict(mixes[0].coefficients) == {"initialization": 1}
    assert dict(mixes[1].coefficients) == {"initialization": 0.75, "000": 0.25}
    assert dict(mixes[-1].coefficients) == {"uniform": 1}
    assert len(mixes) == 1 + 5 * 2


def test_groups_are_means_of_their_runs_and_one_that_failed_is_left_out(files) -> None:
    first, second, lost = {"lr": 1e-3, "seed": 0}, {"lr": 1e-2, "seed": 1}, {"lr": 1e-2, "seed": 0}
    groups = [
        {"about": {"row": "soup"}, "members": [first, second]},
        {"about": {"row": "ensemble"}, "members": [first, second], "ensemble": True},
        {"about": {"row": "average"}, "members": [first], "average": "swa"},
        {"about": {"row": "lost"}, "members": [first, lost]},
    ]
    kept = {name: run for name, run in RUNS.items() if name != "002"}
    mixes = PLANS["groups"]({"groups": groups}, kept, files)
    assert [mix.about["row"] for mix in mixes] == ["soup", "ensemble", "average"]
    assert [dict(mix.coefficients) for mix in mixes[1:]] == [
        {"000": 0.5, "003": 0.5},
        {"000-swa": 1},
    ]
    assert mixes[0].about["models"] == "000 003"
    assert [mix.ensemble for mix in mixes] == [False, True, False]


def test_ensemble_of_a_group_is_the_mean_of_its_models_logits(files, photos) -> None:
    mixer = Mixer(make_evaluator(), files)
    both = {"000": 0.5, "001": 0.5}
    table = evaluate_mixes(mixer, [photos], [Mix(coefficients=both, ensemble=True)])
    mean = (mixer.logits(photos, {"000": 1.0}) + mixer.logits(photos, {"001": 1.0})) / 2
    assert table.set_index("metric")["value"]["nll"] == pytest.approx(nll(mean, photos.labels))
    assert not np.allclose(mean, mixer.logits(photos, both), atol=1e-4)


WISE = {"kind": "wise", "alphas": [1], "soups": []}


@pytest.mark.parametrize(
    ("plan", "models"),
    [
        (WISE, ["initialization", "000", "001", "003"]),
        ({"kind": "pairs", "num_pairs": 9, "seed": 0}, ["000", "001", "003"]),
        ({"kind": "angles", "below_lr": 1, "pairs": "all"}, ["000", "001", "003"]),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_runs_that_failed_and_were_skipped_are_in_no_mix(files, tmp_path, plan, models) -> None:
    failed = tmp_path / "weights.safetensors"
    write_run(failed, {}, failure="loss is NaN")
    mixes = plan_mixes(plan, RUNS, {**files, "002": failed})
    assert list(dict.fromkeys(model for mix in mixes for model in mix.coefficients)) == models


def test_plans_from_the_initialisation_need_one(files) -> None:
    runs = {name: path for name, path in files.items() if name != "initialization"}
    with pytest.raises(ValueError, match="wise: expected the model that the runs start from"):
        plan_mixes(WISE, RUNS, runs)
    assert plan_mixes({"kind": "pairs", "num_pairs": 2, "seed": 0}, RUNS, runs)


@pytest.mark.parametrize(
    ("runs", "below_lr"), [(["000", "001"], 1e-9), (["000"], 1), (["001", "002"], 1)]
)
def test_plan_without_a_mix_of_two_runs_is_an_error(files, runs, below_lr) -> None:
    plan = {"kind": "angles", "below_lr": below_lr, "pairs": "one"}
    with pytest.raises(ValueError, match=f"angles: found none among {len(runs)} runs with hyper"):
        plan_mixes(plan, {name: RUNS[name] for name in runs}, files)


def test_random_pairs_are_different_and_repeat_with_their_seed() -> None:
    names = [f"{i:03d}" for i in range(6)]
    pairs = random_pairs(names, 10, seed=1)
    assert len(set(pairs)) == 10 and all(a < b for a, b in pairs)
    assert random_pairs(names, 10, seed=1) == pairs != random_pairs(names, 10, seed=2)
    assert len(random_pairs(names, 99, seed=1)) == 15


def test_interpolation_leaves_out_what_has_no_weight() -> None:
    assert interpolation("a", "b", 0.25) == {"a": 0.75, "b": 0.25}
    assert interpolation("a", "b", 1) == {"b": 1}


def test_sample_is_the_same_of_images_and_labels(tmp_path) -> None:
    pixels = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1).repeat(3, axis=3)
    labels = np.arange(20) % 5
    np.save(tmp_path / "images.npy", pixels)
    np.save(tmp_path / "labels.npy", labels)
    np.save(tmp_path / "class_map.npy", np.arange(5)[:, None])
    files = {"photos": [tmp_path / f"{name}.npy" for name in ("images", "labels", "class_map")]}
    [sampled] = open_sets(files, max_examples=6)
    chosen = sampled.examples.batch(np.arange(6))[:, 0, 0, 0].numpy()
    assert len(sampled.examples) == 6 and (np.diff(chosen.astype(int)) > 0).all()
    np.testing.assert_array_equal(sampled.labels, labels[chosen])
    [whole] = open_sets(files)
    assert len(whole.labels) == 20


def test_images_that_training_reads_as_files_are_sampled_too(tmp_path, pixels) -> None:
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    files = [str(tmp_path / f"{number}.png") for number in range(6)]
    index = pd.DataFrame({"file": files, "row": -1, "name": files, "label": 0})
    index.to_parquet(tmp_path / "index.parquet")
    np.save(tmp_path / "labels.npy", np.arange(6))
    np.save(tmp_path / "class_map.npy", np.array([[0], [2]]))
    names = ("index.parquet", "labels.npy", "class_map.npy")
    paths = {"train": [tmp_path / name for name in names]}
    [sampled] = open_sets(paths, max_examples=3, view=ViewSpec(size=10, resize=10))
    read = sampled.examples.batch(np.arange(3)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(read, pixels[sampled.labels])
    assert sampled.class_map is not None and sampled.class_map.tolist() == [[0], [2]]
