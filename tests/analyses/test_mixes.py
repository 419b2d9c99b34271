"""Points in weight space: plans, and the evaluation of weighted sums by a real classifier."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from modelsoups.analyses.mixes import (
    PLANS,
    Kitchen,
    Point,
    evaluate_points,
    interpolation,
    open_kitchen,
    random_pairs,
    read_sample,
    read_sets,
    select,
    select_all,
    varied,
)
from modelsoups.data.views import ViewSpec
from modelsoups.evaluation.evaluator import predict
from modelsoups.evaluation.logits import write_logits
from modelsoups.evaluation.metrics import nll
from modelsoups.weights.average import average, read_weights
from weight_space import BACKBONE, RUNS, make_model


def test_logits_are_those_of_the_data_sets_classes(files, images) -> None:
    mapped = replace(images, class_map=np.array([[2, 0], [1, 1]]))
    kitchen = Kitchen(make_model(), files, {"own": images, "mapped": mapped}, torch.device("cpu"))
    kitchen.pour({"000": 1.0})
    own = kitchen.logits("own")
    expected = np.stack([np.maximum(own[:, 2], own[:, 0]), own[:, 1]], axis=1)
    np.testing.assert_array_equal(kitchen.logits("mapped"), expected)


def test_point_is_evaluated_as_the_average_of_its_models(files, images) -> None:
    kitchen = Kitchen(make_model(), files, {"photos": images}, torch.device("cpu"), 4)
    points = [
        Point(coefficients={"000": 0.5, "001": 0.5}, about={"name": "middle"}),
        Point(coefficients={"initialization": -0.5, "002": 1.5}, about={"name": "beyond"}),
    ]
    table = evaluate_points(kitchen, points)
    for point in points:
        model = make_model()
        weights = average([files[m] for m in point.coefficients], [*point.coefficients.values()])
        model.load_state_dict(weights)
        logits = predict(model, images.images, 4, torch.device("cpu"))
        rows = table[table["name"] == point.about["name"]].set_index("metric")
        assert rows["value"]["nll"] == nll(logits, images.labels)
        assert rows["value"]["accuracy"] == (logits.argmax(1) == images.labels).mean()
        assert set(rows["dataset"]) == {"photos"} and set(rows["n"]) == {8}


def test_kitchen_opens_with_the_backbones_classifier(files, images) -> None:
    kitchen = open_kitchen(BACKBONE, 3, files, {"photos": images}, batch_size=4)
    model = make_model()
    for name in ("000", "001"):
        kitchen.pour({name: 1.0})
        model.load_state_dict(read_weights(files[name]))
        expected = predict(model, images.images, 4, torch.device("cpu"))
        np.testing.assert_allclose(kitchen.logits("photos"), expected, rtol=1e-3, atol=1e-3)


def test_head_may_have_coefficients_of_its_own(files, images) -> None:
    # With the head halved, all logits are half of what they were.
    kitchen = Kitchen(make_model(), files, {"photos": images}, torch.device("cpu"))
    kitchen.pour({"000": 1.0})
    whole = kitchen.logits("photos")
    kitchen.pour({"000": 1.0}, {"000": 0.5})
    np.testing.assert_allclose(kitchen.logits("photos"), whole / 2, rtol=1e-5, atol=1e-6)


def test_plane_has_a_grid_and_its_corners(files) -> None:
    spec = {"first": {"lr": 1e-3, "seed": 0}, "second": {"lr": 1e-2, "seed": 1}, "resolution": 3}
    points = PLANS["plane"](spec, RUNS, files)
    assert [point.about["corner"] for point in points] == [""] * 9 + ["start", "first", "second"]
    *_, start, first, second = (list(point.coefficients.values()) for point in points)
    np.testing.assert_allclose([start, first, second], np.eye(3), atol=1e-9)
    assert list(points[0].coefficients) == ["initialization", "000", "003"]
    assert all(sum(point.coefficients.values()) == pytest.approx(1) for point in points)


def test_pairs_for_angles_stay_below_a_learning_rate(files) -> None:
    spec = {"below_lr": 1e-2, "pairs": "all"}
    points = PLANS["angles"](spec, RUNS, files)
    assert [tuple(point.coefficients) for point in points] == [("000",), ("001",), ("000", "001")]
    assert points[-1].about["varied"] == "seed"
    assert 45 < points[-1].about["angle"] < 135  # independent noise in many dimensions


def test_pairs_that_differ_in_several_ways_may_be_left_out(files) -> None:
    pairs = [
        point.about["first"] + point.about["second"]
        for point in PLANS["angles"]({"below_lr": 1, "pairs": "one"}, RUNS, files)
        if len(point.coefficients) == 2
    ]
    assert pairs == ["000001", "000002", "001003", "002003"]


def test_wise_curves_start_once_and_end_at_each_model(files) -> None:
    points = PLANS["wise"]({"alphas": [0.25, 1], "soups": ["uniform"]}, RUNS, files)
    assert dict(points[0].coefficients) == {"initialization": 1}
    assert dict(points[1].coefficients) == {"initialization": 0.75, "000": 0.25}
    assert dict(points[-1].coefficients) == {"uniform": 1}
    assert len(points) == 1 + 5 * 2


def test_random_pairs_are_different_and_repeat_with_their_seed() -> None:
    names = [f"{i:03d}" for i in range(6)]
    pairs = random_pairs(names, 10, seed=1)
    assert len(set(pairs)) == 10 and all(a < b for a, b in pairs)
    assert random_pairs(names, 10, seed=1) == pairs != random_pairs(names, 10, seed=2)
    assert len(random_pairs(names, 99, seed=1)) == 15


def test_interpolation_leaves_out_what_has_no_weight() -> None:
    assert interpolation("a", "b", 0.25) == {"a": 0.75, "b": 0.25}
    assert interpolation("a", "b", 1) == {"b": 1}


def test_runs_are_found_by_their_hyper_parameters() -> None:
    assert select(RUNS, {"lr": 1e-2, "seed": 0}) == "002"
    assert select_all(RUNS, {"seed": 1}) == ["001", "003"]
    with pytest.raises(ValueError, match=r"one run with \{'lr': 0.5\}, found none"):
        select(RUNS, {"lr": 0.5})
    with pytest.raises(ValueError, match=r"found \['000', '002'\]"):
        select(RUNS, {"seed": 0})


def test_what_varies_between_two_runs() -> None:
    assert varied(RUNS["000"], RUNS["001"]) == "seed"
    assert varied(RUNS["000"], RUNS["002"]) == "lr"
    assert varied(RUNS["000"], RUNS["003"]) == "several"


def test_sample_is_the_same_of_images_labels_and_stored_logits(tmp_path) -> None:
    pixels = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1).repeat(3, axis=3)
    labels = np.arange(20) % 5
    np.save(tmp_path / "images.npy", pixels)
    np.save(tmp_path / "labels.npy", labels)
    logits = np.arange(100, dtype=np.float32).reshape(20, 5)
    write_logits(tmp_path / "logits.parquet", logits, labels, {})
    np.save(tmp_path / "class_map.npy", np.arange(5)[:, None])
    arrays = [[tmp_path / f"{name}.npy"] for name in ("images", "labels", "class_map")]
    sampled = read_sets(["photos"], *arrays, max_images=6)["photos"]
    places = sampled.images[:, 0, 0, 0]
    assert len(places) == 6 and (np.diff(places.astype(int)) > 0).all()
    np.testing.assert_array_equal(sampled.labels, labels[places])
    np.testing.assert_array_equal(read_sample(tmp_path / "logits.parquet", 6)[:, 0], 5.0 * places)
    whole = read_sets(["photos"], *arrays)["photos"]
    assert (len(whole.labels), whole.class_map) == (20, None)


def test_images_that_training_reads_as_files_are_sampled_too(tmp_path, pixels) -> None:
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    files = [str(tmp_path / f"{number}.png") for number in range(6)]
    index = pd.DataFrame({"file": files, "row": -1, "name": files, "label": 0})
    index.to_parquet(tmp_path / "index.parquet")
    np.save(tmp_path / "labels.npy", np.arange(6))
    np.save(tmp_path / "class_map.npy", np.array([[0], [2]]))
    paths = [[tmp_path / name] for name in ("index.parquet", "labels.npy", "class_map.npy")]
    view = ViewSpec(size=10, resize=10)
    sampled = read_sets(["train"], *paths, max_images=3, view=view)["train"]
    np.testing.assert_array_equal(sampled.images, pixels[sampled.labels])
    assert sampled.class_map is not None and sampled.class_map.tolist() == [[0], [2]]
