"""Rows of soups and ensembles follow from their options, not from their names."""

from modelsoups.paper.methods import by_label, list_methods, looks

RECIPES = {
    "mine": {"kind": "greedy", "statistics": "estimate"},
    "b": {"kind": "greedy", "order": "random", "seed": 2},
    "a": {"kind": "greedy", "order": "random", "seed": 1},
    "mean": {"kind": "uniform"},
}
METHODS = list_methods(RECIPES, {"together": {"kind": "uniform"}})


def test_rows_are_in_the_order_of_the_registry_and_others_last() -> None:
    assert {name: method.label for name, method in METHODS.items()} == {
        "mean": "Uniform soup",
        "b": "Greedy soup (random order)",
        "a": "Greedy soup (random order)",
        "together": "Ensemble",
        "mine": "Greedy soup (statistics estimate)",
    }
    assert list(METHODS) == ["mean", "b", "a", "together", "mine"]


def test_models_that_differ_in_their_seed_share_a_row() -> None:
    assert by_label(METHODS, ["a", "b", "mean", "000"]) == {
        "Uniform soup": ["mean"],
        "Greedy soup (random order)": ["b", "a"],
    }


def test_looks_are_by_label() -> None:
    assert looks(METHODS)["Uniform soup"]["color"] == "tab:blue"
    assert looks(METHODS)["Greedy soup (statistics estimate)"]["facecolor"] == "none"
