"""The rows of tables and markers of figures that a study's soups and ensembles have."""

from collections.abc import Iterable, Mapping
from typing import Any

from modelsoups.soups.registry import ENSEMBLES, RECIPES, Method, method_of

Configs = Mapping[str, Mapping[str, Any]]  # name -> config of a recipe, or of an ensemble


def list_methods(recipes: Configs, ensembles: Configs) -> dict[str, Method]:
    """Soup or ensemble -> its row and marker, in the order of rows.

    The rows that are entered in `soups.registry` come first, in their order there; then those whose
    options make them other ones, in the order of the config.
    """
    entered = [
        method.label
        for entries in (RECIPES, ENSEMBLES)
        for entry in entries.values()
        for _, method in entry.methods
    ]
    methods = {
        **{name: method_of(config) for name, config in recipes.items()},
        **{name: method_of(config, ensemble=True) for name, config in ensembles.items()},
    }

    def place(name: str) -> int:
        label = methods[name].label
        return entered.index(label) if label in entered else len(entered)

    return {name: methods[name] for name in sorted(methods, key=place)}


def by_label(methods: Mapping[str, Method], known: Iterable[str]) -> dict[str, list[str]]:
    """Label -> its models, in the order of rows; those not known are left out.

    Models that differ in their seed alone share a label.

    Args: methods: model -> its row. known: models that there are numbers of.
    """
    there = set(known)
    found: dict[str, list[str]] = {}
    for model, method in methods.items():
        if model in there:
            found.setdefault(method.label, []).append(model)
    return found


def looks(methods: Mapping[str, Method]) -> dict[str, Mapping[str, Any]]:
    """Label -> look of its marker."""
    return {method.label: method.look for method in methods.values()}
