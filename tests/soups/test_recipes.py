"""Cooking: files and records of a soup, and what of an interrupted one counts."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from modelsoups.evaluation.logits import read_logits, write_logits
from modelsoups.soups.recipes import cook
from modelsoups.soups.registry import RECIPES
from modelsoups.weights.checkpoints import Checkpoint, read_weights, write_weights


def hash_of(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_recipe_writes_a_soup_and_a_record_that_says_how_it_was_made(pool):
    given = pool.arguments()
    start = given["weights"][0]
    for kind in RECIPES:
        all_alike = {"coefficients": dict.fromkeys(given["names"], 1 / len(given["names"]))}
        needed = all_alike if kind == "weighted" else {}
        cook({"kind": kind, **needed}, **given, initialization=start)
        record = json.loads(given["record"].read_text())
        made_by = {key: record[key] for key in ("model", "kind", "sweep")}
        assert made_by == {"model": "soup", "kind": "soup", "sweep": "search"}
        assert record["recipe"]["kind"] == kind
        assert record["inputs"] == dict(
            zip(given["names"], map(hash_of, given["weights"]), strict=True)
        )
        assert record["chosen_on"] == {
            "files": [hash_of(path) for path in given["held_out_files"]],
            "logits": dict(zip(given["names"], map(hash_of, given["logits"]), strict=True)),
            "initialization": hash_of(start),
        }
        assert {c["name"] for c in record["candidates"]} == set(given["names"])
        assert all(0 <= c["held_out_accuracy"] <= 1 for c in record["candidates"])
        assert "torch" in record["versions"]
        given["held_out"].pour(read_weights(given["output"]), "it")
        correct = given["held_out"].logits().argmax(axis=1) == given["held_out"].labels
        assert record["held_out_accuracy"] == correct.mean()
        metadata = Checkpoint(given["output"]).metadata
        for key in ("ingredients", "coefficients", "inputs", "recipe"):
            assert json.loads(metadata[key]) == record[key]
        assert sorted(path.name for path in given["output"].parent.iterdir()) == [
            "cost.json",
            "record.json",
            "weights.safetensors",
        ]


def test_a_recipe_is_given_the_initialization_if_there_is_one(pool, monkeypatch):
    given, seen = pool.arguments(), []

    def note(spec, candidates, held_out, trace, initialization):
        seen.append(initialization)
        raise KeyboardInterrupt

    monkeypatch.setattr("modelsoups.soups.uniform.uniform", note)
    for start in (None, given["weights"][0]):
        with pytest.raises(KeyboardInterrupt):
            cook({"kind": "uniform"}, **given, initialization=start)
    assert seen == [None, given["weights"][0]]


def test_candidates_may_be_of_other_sweeps(pool):
    given = pool.arguments() | {"names": ["search/000", "grid/000", "grid/001"]}
    cook({"kind": "greedy"}, **given)
    record = json.loads(given["record"].read_text())
    assert set(record["ingredients"]) <= set(given["names"]) == record["inputs"].keys()


def test_a_soup_of_one_is_that_candidate(pool):
    given = pool.arguments()
    one = {key: given[key][:1] for key in ("names", "weights", "logits")}
    for kind in ("uniform", "greedy"):
        cook({"kind": kind}, **{**given, **one})
        found, wanted = read_weights(given["output"]), read_weights(given["weights"][0])
        assert all(found[key].equal(wanted[key]) for key in wanted)


def test_logits_of_other_labels_are_refused(pool):
    held_out = pool.held_out
    write_logits(pool.logits("000"), held_out.logits(), held_out.labels[::-1].copy(), {})
    with pytest.raises(ValueError, match=r"000.parquet: its labels are not those of the held-out"):
        cook({"kind": "uniform"}, **pool.arguments())


def interrupt(recipe, given, monkeypatch) -> None:
    """Stop before anything is written; the progress is there."""
    monkeypatch.setattr("modelsoups.soups.recipes.write_weights", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cook(recipe, **given)
    monkeypatch.undo()


def test_an_interrupted_soup_leaves_its_progress_and_no_output(pool, monkeypatch):
    given = pool.arguments()
    interrupt({"kind": "greedy"}, given, monkeypatch)
    assert [path.name for path in given["output"].parent.iterdir()] == ["soup.progress.json"]
    cook({"kind": "greedy"}, **given)
    assert not (given["output"].parent / "soup.progress.json").exists()


@pytest.mark.parametrize("recipe", [{"kind": "greedy", "order": "random"}, {"kind": "learned"}])
@pytest.mark.parametrize("other", ["images", "labels", "logits", "weights"])
def test_progress_counts_only_for_the_same_candidates_and_held_out_set(
    pool, monkeypatch, recipe, other
):
    interrupt(recipe, pool.arguments(), monkeypatch)
    random = np.random.default_rng(1)
    pixels, labels = pool.held_out.examples.pixels, pool.held_out.labels
    if other == "images":
        pool.fill(random.permutation(pixels), labels)
    elif other == "labels":
        pool.fill(pixels, random.permutation(labels))
    elif other == "logits":  # as another machine might give them
        stored = read_logits(pool.logits("000")).logits
        write_logits(pool.logits("000"), stored[:, ::-1], labels, {})
    else:
        write_weights(pool.folder / "000.safetensors", pool.states["grid-2"])
    cook(recipe, **pool.arguments())
    cook(recipe, **pool.arguments("afresh"))
    resumed, afresh = (
        json.loads((pool.folder / name / "record.json").read_text()) for name in ("soup", "afresh")
    )
    assert resumed == afresh


def test_a_pool_is_hashed_once_for_all_recipes(pool, monkeypatch):
    given = pool.arguments()
    cook({"kind": "uniform"}, **given)
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("a file is hashed again"))
    cook({"kind": "greedy"}, **given)


@pytest.mark.slow
def test_cooking_starts_without_libraries_that_it_does_not_use():
    code = (
        "import sys, modelsoups.soups.recipes, modelsoups.models.backbones\n"
        "from modelsoups.soups.registry import RECIPES, function_of\n"
        "[function_of(recipe) for recipe in RECIPES.values()]\n"
        "print([name for name in ('scipy', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
