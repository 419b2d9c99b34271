"""The tasks of text: what ships, and how lines of WordNet become examples."""

import random
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from modelsoups.data.datasets import read_classes
from modelsoups.miniature.wordnet import (
    CLASSES,
    break_up,
    check_sources,
    drawn,
    example_pairs,
    fits,
    hypernym_pairs,
    list_classes,
    number_of,
    part_of,
    read_synsets,
)

RESOURCES = Path(__file__).parents[2] / "resources/wordnet"


# Lines of data.noun, shortened: pointers to other synsets are left out.
def line(data: str, gloss: str) -> str:
    return f"{data} | {gloss}  \n"


LINES = (
    "  1 This software and database is being provided to you, the LICENSEE, by\n"
    + line(
        "02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 001 @ 02083346 n 0000",
        "a member of the genus Canis that has been domesticated by man since prehistoric times; "
        'occurs in many breeds; "the dog barked all night"',
    )
    + line(
        "02083346 05 n 02 canine 1 canid 0 001 @ 02075296 n 0000",
        "any of various fissiped mammals with nonretractile claws and typically long muzzles",
    )
    + line(
        "02120997 05 n 02 feline 0 felid 0 001 @ 02075296 n 0000",
        "any of various lithe-bodied roundheaded fissiped mammals, many with retractile claws",
    )
    + line(
        "02075296 05 n 01 carnivore 0 000",
        'a terrestrial or aquatic flesh-eating mammal; "terrestrial carnivores have four limbs"',
    )
    + line(
        "09213565 17 n 01 Elbe 0 001 @i 09411430 n 0000",
        "a river in central Europe that arises in northwestern Czechoslovakia",
    )
)


@pytest.fixture
def synsets(tmp_path):
    (tmp_path / "data.noun").write_text(LINES, encoding="latin-1")
    return read_synsets(tmp_path / "data.noun")


def test_lines_of_a_data_file_are_read(synsets):
    assert len(synsets) == 5
    dog = synsets["02084071"]
    assert (dog.file, dog.word, dog.hypernyms) == (5, "dog", ("02083346",))
    assert dog.gloss.endswith("since prehistoric times; occurs in many breeds")
    assert dog.examples == ("the dog barked all night",)
    river = synsets["09213565"]
    assert river.is_name and not river.hypernyms and not dog.is_name


def test_pair_is_of_the_hypernym_or_of_its_sibling(synsets):
    """The dog's hypernym is the canine; the feline is the canine's sibling under the carnivore."""
    table = hypernym_pairs(synsets)
    [pair] = table.to_dict("records")
    own = number_of("hypernym", "label", "02084071") < 0.5
    assert pair["sentence1"] == synsets["02084071"].gloss
    assert pair["sentence2"] == synsets["02083346" if own else "02120997"].gloss
    assert pair["label"] == str(int(own))


def test_example_is_paired_with_the_gloss_of_its_sense_or_of_a_sister(synsets):
    sister = replace(synsets["02120997"], hypernyms=("02083346",))
    [pair] = example_pairs({**synsets, sister.offset: sister}).to_dict("records")
    own = number_of("example", "label", "02084071") < 0.5
    assert pair["sentence1"] == "the dog barked all night"
    assert pair["sentence2"] == (synsets["02084071"] if own else sister).gloss


def test_broken_phrase_differs_in_one_place():
    text = "a dog of the kind that was bred in a garden"
    outcomes = {break_up(text, random.Random(seed)) for seed in range(200)}
    assert {how for how, _ in outcomes} == {"swapped", "dropped", "agreement"}
    assert ("agreement", "a dog of the kind that were bred in a garden") in outcomes
    assert ("dropped", "a dog the kind that was bred in a garden") in outcomes
    assert ("swapped", "a dog of the kind that was bred in garden a") in outcomes
    assert text not in {broken for _, broken in outcomes}
    assert break_up("1914 1918", random.Random(0)) is None


def test_text_fits_if_it_is_whole_and_neither_short_nor_long():
    assert fits("a small house cat")
    assert not fits("a house cat") and not fits("word " * 25)
    assert not fits("a (small house cat") and not fits("a small café for cats")


def test_draw_is_by_hash_with_labels_alike_and_without_doubles():
    rows = [
        {"sentence": f"text {n}", "label": str(n % 2), "group": str(n), "word": ""}
        for n in range(200)
    ]
    table = drawn("task", [*rows, rows[0]])
    assert table.equals(drawn("task", [*rows, rows[0]][::-1]))
    assert "text 0" not in set(table.sentence)
    assert table.split.tolist() == [part_of("task", text[5:]) for text in table.sentence]
    share = (table.split == "train").mean()
    assert 0.35 < share < 0.55


def test_other_files_of_wordnet_are_told(tmp_path):
    (tmp_path / "data.noun").write_text("other")
    sources = pd.read_csv(RESOURCES / "sources.csv")
    with pytest.raises(
        ValueError, match=r"data.noun: expected SHA-256 .* install Debian's package"
    ):
        check_sources(sources, tmp_path)


@pytest.mark.parametrize("task", list(CLASSES))
def test_shipped_task_has_disjoint_splits_and_known_classes(task):
    table = pd.read_parquet(RESOURCES / f"{task}.parquet")
    classes = read_classes(RESOURCES / f"{task}.csv")
    assert classes.equals(list_classes(task))
    assert set(table.label) == set(classes["id"])
    sentences = [name for name in table if name.startswith("sentence")]
    assert not table.duplicated(sentences).any()
    sizes = table.split.value_counts()
    assert 2300 <= sizes["train"] <= 2508 and sizes["held-out"] >= 930 and sizes["test"] >= 1841
    whole = table[table["broken"] != "dropped"] if "broken" in table else table
    assert whole[sentences].map(fits).all(axis=None)
    # The hypernym, or the gloss of a sense, is in one split alone: groups are of siblings.
    if len(sentences) == 2:
        splits = table.groupby("sentence2").split.nunique()
        assert (splits > 1).mean() < 0.02  # glosses that two synsets share
