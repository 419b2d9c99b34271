"""Ensembles of stored logits: laws, and a greedy choice worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from modelsoups.evaluation.logits import read_logits, write_logits
from modelsoups.soups.ensembles import (
    average_ensemble,
    choose_ensemble,
    greedy,
    group_files,
    mean_logits,
    mean_of,
    uniform,
)
from modelsoups.soups.registry import GreedyEnsembleSpec, UniformEnsembleSpec

LABELS = np.array([0, 0, 0, 0])
GREEDY = GreedyEnsembleSpec()

# Two classes, four images of class 0; a margin is the logit of class 0 less that of class 1, and an
# image is right if the sum of margins is above 0 (at 0 too: of equal logits the first counts).
MARGINS = {
    "a": [+1, +1, +1, -3],  # 3/4 alone: first
    "b": [+1, +1, -3, -1],  # 2/4 alone; with a: +2 +2 -2 -4 = 2/4: rejected
    "c": [-1, -1, -1, +4],  # 1/4 alone; with a: 0 0 0 +1 = 4/4: kept
    "d": [+9, -1, -1, -1],  # 1/4 alone, as c but later: before c; with a: +10 0 0 -4 = 3/4: a tie
}


def write_margins(path: Path, margins: list[int], dataset: str = "holdout") -> Path:
    """A file of logits (margin, 0)."""
    logits = np.stack([np.array(margins, float), np.zeros(len(margins))], axis=1)
    write_logits(path, logits, LABELS[: len(margins)], {"dataset": dataset})
    return path


def tried(spec: GreedyEnsembleSpec, files: dict[str, Path]) -> list[tuple[str, float, float, str]]:
    """Each candidate's name, accuracy alone, score of the ensemble with it and decision."""
    return [
        (c["name"], c["held_out_accuracy"], c["score"], c["decision"]) for c in greedy(spec, files)
    ]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The candidates' logits."""
    return {name: write_margins(tmp_path / name, margins) for name, margins in MARGINS.items()}


def test_greedy_keeps_what_raises_held_out_accuracy(files: dict[str, Path]) -> None:
    assert tried(GREEDY, files) == [
        ("a", 0.75, 0.75, "kept"),
        ("b", 0.5, 0.5, "rejected"),
        ("d", 0.25, 0.75, "rejected"),
        ("c", 0.25, 1.0, "kept"),
    ]


def test_greedy_keeps_ties_if_told(files: dict[str, Path]) -> None:
    # c with a and d: +9 -1 -1 0 = 2/4.
    assert tried(GreedyEnsembleSpec(accept_ties=True), files) == [
        ("a", 0.75, 0.75, "kept"),
        ("b", 0.5, 0.5, "rejected"),
        ("d", 0.25, 0.75, "kept"),
        ("c", 0.25, 0.5, "rejected"),
    ]


def test_greedy_is_never_below_the_best_candidate(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 60)
    for name in "abcdefgh":
        write_logits(tmp_path / name, rng.standard_normal((60, 5)), labels, {})
    candidates = tried(GREEDY, {name: tmp_path / name for name in "abcdefgh"})
    kept = {name: score for name, _, score, decision in candidates if decision == "kept"}
    scores = list(kept.values())
    assert len(scores) > 2
    assert scores == sorted(set(scores))
    assert scores[0] == max(alone for _, alone, _, _ in candidates)
    logits, _ = mean_logits([tmp_path / name for name in kept])
    assert (logits.argmax(1) == labels).mean() == scores[-1]


def test_greedy_in_random_order_keeps_the_first_whatever_it_is(files: dict[str, Path]) -> None:
    orders = {}
    for seed in range(6):
        candidates = tried(GreedyEnsembleSpec(order="random", seed=seed), files)
        orders[seed] = [name for name, *_ in candidates]
        assert sorted(orders[seed]) == ["a", "b", "c", "d"]
        assert candidates[0][3] == "kept"
    assert len({order[0] for order in orders.values()}) > 1
    again = tried(GreedyEnsembleSpec(order="random", seed=5), files)
    assert [name for name, *_ in again] == orders[5]


def test_mean_is_of_raw_logits(files: dict[str, Path]) -> None:
    logits, labels = mean_logits([files["a"], files["c"]])
    np.testing.assert_array_equal(logits, [[0, 0], [0, 0], [0, 0], [0.5, 0]])
    np.testing.assert_array_equal(labels, LABELS)
    assert logits.dtype == np.float64


def test_ensemble_of_copies_gives_the_same_logits(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    write_logits(tmp_path / "a", logits, LABELS, {})
    mean, _ = mean_logits([tmp_path / "a"] * 3)
    np.testing.assert_array_equal(mean.astype(np.float32), logits)


def test_candidates_of_other_images_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    files["e"] = write_margins(tmp_path / "e", [-1, -1])
    with pytest.raises(ValueError, match=r"e: expected 4 images.*found 2 images"):
        mean_logits(list(files.values()))
    with pytest.raises(ValueError, match=r"e: expected 4 images.*found 2 images"):
        greedy(GREEDY, files)


def choose_from(files: dict[str, Path], output: Path, kind: str = "greedy") -> dict:
    """The record of an ensemble chosen on `holdout`."""
    return choose_ensemble(
        {"kind": kind},
        model="greedy-ensemble",
        sweep="lite0",
        held_out="holdout",
        names=list(files),
        logits=list(files.values()),
        output=output,
    )


def test_ensemble_is_chosen_on_the_held_out_set(files: dict[str, Path], tmp_path: Path) -> None:
    record = choose_from(files, tmp_path / "out")
    made_by = {
        "model": "greedy-ensemble",
        "kind": "ensemble",
        "sweep": "lite0",
        "recipe": {"kind": "greedy", "order": "held-out", "seed": 0, "accept_ties": False},
    }
    assert json.loads(json.dumps(record)) == record
    assert {key: record[key] for key in made_by} == made_by
    assert [candidate["name"] for candidate in record["candidates"]] == ["a", "b", "d", "c"]
    assert record["ingredients"] == ["a", "c"]
    assert record["coefficients"] == [0.5, 0.5]
    assert record["held_out_accuracy"] == 1.0
    assert set(record["inputs"]) == set("abcd")
    assert len(record["inputs"]["a"]) == 64
    made = read_logits(tmp_path / "out")
    np.testing.assert_array_equal(made.logits, [[0, 0], [0, 0], [0, 0], [0.5, 0]])
    assert made.metadata == {"dataset": "holdout", **made_by, "ingredients": ["a", "c"]}


def test_other_sets_are_averaged_from_the_record_and_choose_nothing(
    files: dict[str, Path], tmp_path: Path
) -> None:
    record = choose_from(files, tmp_path / "out")
    for path in files.values():
        path.unlink()  # what was chosen stays chosen
    photos = {
        name: write_margins(tmp_path / "photos" / name, [k, -k], "photos")
        for k, name in enumerate("abcd", 1)
    }
    average_ensemble(record, {"photos": photos}, {"photos": tmp_path / "photos-out"})
    made = read_logits(tmp_path / "photos-out")
    np.testing.assert_array_equal(made.logits, [[2, 0], [-2, 0]])  # a and c: (1 + 3) / 2
    assert made.metadata["dataset"] == "photos"
    assert made.metadata["ingredients"] == ["a", "c"]


def test_an_ingredient_without_logits_on_a_set_is_named(
    files: dict[str, Path], tmp_path: Path
) -> None:
    record = choose_from(files, tmp_path / "out")
    photos = {"a": files["a"], "b": files["b"]}
    with pytest.raises(ValueError, match=r"all its ingredients on photos, found none of c; choose"):
        average_ensemble(record, {"photos": photos}, {"photos": tmp_path / "photos-out"})


def test_uniform_takes_all_candidates(files: dict[str, Path], tmp_path: Path) -> None:
    record = choose_from(files, tmp_path / "out", "uniform")
    assert record["candidates"] == uniform(UniformEnsembleSpec(), files)
    assert record["ingredients"] == ["a", "b", "c", "d"]
    assert record["coefficients"] == [0.25] * 4
    # Sums of margins: 1+1-1+9, 1+1-1-1, 1-3-1-1, -3-1+4-1 = 10, 0, -4, -1: two right.
    assert record["held_out_accuracy"] == 0.5


@pytest.mark.parametrize("dataset", ["photos", "sketches"])
def test_choosing_on_another_set_is_refused(
    files: dict[str, Path], tmp_path: Path, dataset: str
) -> None:
    write_margins(files["b"], MARGINS["b"], dataset)
    with pytest.raises(
        ValueError, match=rf"held-out set holdout, found .* b's on {dataset}; .*fla"
    ):
        choose_from(files, tmp_path / "out")


def test_mean_with_factors_is_of_the_scaled_logits() -> None:
    logits = [np.array([[1.0, 2.0]], np.float32), np.array([[3.0, -4.0]], np.float32)]
    np.testing.assert_array_equal(mean_of(logits), [[2, -1]])
    np.testing.assert_array_equal(mean_of(logits, [2, 0.5]), [[1.75, 1]])
    assert mean_of(logits).dtype == np.float64
    np.testing.assert_array_equal(logits[0], [[1, 2]])  # inputs are left alone


def test_files_are_grouped_by_dataset() -> None:
    grouped = group_files(["1", "2", "3", "4"], ["x", "y"], ["a", "b"])
    assert grouped == {"x": {"a": Path("1"), "b": Path("2")}, "y": {"a": Path("3"), "b": Path("4")}}
    with pytest.raises(ValueError, match="zip"):
        group_files(["1", "2", "3"], ["x", "y"], ["a", "b"])
