"""What a result is given from a rule."""

from pathlib import Path

from modelsoups.paper.declare import give

ABOUT = {
    "study": "a toy study",
    "roles": {"photos": "test"},
    "recipes": {"mine": {"kind": "greedy"}},
    "ensembles": {"together": {"kind": "uniform"}},
}


def test_files_are_paths_and_code_and_style_none_of_them() -> None:
    inputs = [
        ("scores", "a"),
        ("planes", ["b", "c"]),
        ("none", []),
        ("code", ["d"]),
        ("style", "e"),
    ]
    given = give(inputs, {"sweep": "grid"}, ABOUT)
    assert given.files == {"scores": Path("a"), "planes": [Path("b"), Path("c")], "none": []}
    assert (given.path("scores"), given.paths("scores")) == (Path("a"), [Path("a")])
    assert given.paths("planes") == [Path("b"), Path("c")]


def test_soups_and_ensembles_have_their_rows() -> None:
    given = give([], {}, ABOUT)
    assert {name: method.label for name, method in given.methods.items()} == {
        "mine": "Greedy soup",
        "together": "Ensemble",
    }
