"""Second label sets: the emoji's from Unicode's keywords."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelsoups.data.label_sets import make_label_set

CLASSES = pd.DataFrame(
    {
        "id": ["fruit", "veg", "sweet", "sport"],
        "name": ["fruit", "vegetable", "dessert or sweet", "person doing sport"],
    }
)
CONFIG = {"kind": "keywords", "dataset": "emoji-test"}


@pytest.fixture
def index(tmp_path) -> pd.DataFrame:
    """Three images, of rows 2, 0 and 1 of a file."""
    path = tmp_path / "emoji.parquet"
    keywords = [["fruit", "vegetable"], ["person", "ball"], ["person", "sport", "sweet"]]
    pq.write_table(pa.table({"keywords": keywords}), path)
    return pd.DataFrame({"file": str(path), "row": [2, 0, 1], "label": [3, 0, 1]})


def test_a_class_fits_if_the_keywords_spell_one_of_its_names(index) -> None:
    labels = make_label_set(CONFIG, index, CLASSES)
    # "sweet" alone is an alternative; "person doing sport" needs both words, "doing" is a filler;
    # the own class always fits.
    assert labels["labels"].tolist() == [[2, 3], [0, 1], [1]]


def test_unknown_kind_is_refused(index) -> None:
    with pytest.raises(
        ValueError, match="label set kind 'reaal' is unknown, allowed: keywords, real, multi"
    ):
        make_label_set({"kind": "reaal"}, index, CLASSES)


def test_keywords_are_found_in_several_files_whose_path_has_a_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOJI", str(tmp_path))
    for name, keywords in (("a", [["fruit"], None]), ("b", [["vegetable"], ["sweet"]])):
        pq.write_table(pa.table({"keywords": keywords}), tmp_path / f"{name}.parquet")
    files = [f"$EMOJI/{name}.parquet" for name in "aabb"]
    index = pd.DataFrame({"file": files, "row": [0, 1, 0, 1], "label": [3, 3, 3, 3]})
    assert make_label_set(CONFIG, index, CLASSES)["labels"].tolist() == [
        [0, 3],
        [3],
        [1, 3],
        [2, 3],
    ]


@pytest.mark.parametrize(
    ("table", "row", "message"),
    [
        ({"words": [["fruit"]]}, 0, r"no column 'keywords' of keywords; it has \['words'\]"),
        ({"keywords": ["fruit"]}, 0, "'keywords' is of type string; expected lists of words"),
        ({"keywords": [["fruit"]]}, -1, "kind keywords need images in Parquet files"),
    ],
)
def test_keywords_that_cannot_be_read_are_named_with_their_file(tmp_path, table, row, message):
    path = tmp_path / "emoji.parquet"
    pq.write_table(pa.table(table), path)
    index = pd.DataFrame({"file": str(path), "row": [row], "label": [0]})
    with pytest.raises(ValueError, match=f"emoji.parquet: .*{message}"):
        make_label_set(CONFIG, index, CLASSES)
