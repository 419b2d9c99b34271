"""Options of recipes and ensembles: fields of their specs, whose checks and JSON schema follow.

Imported while Snakemake parses: the standard library alone.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
BY_GROUP = ("worst_group_accuracy",)  # metrics that take groups of examples
LIMITS = ("minimum", "exclusiveMinimum")  # keys of JSON schema


def option(
    default: Any,
    about: str,
    *,
    own_row: bool = True,
    schema: Mapping[str, Any] | None = None,
    written: bool = True,
    **limits: float,
) -> Any:
    """A field of a spec.

    Args:
        about: what it is, for the reference of the config.
        own_row: whether recipes that differ in it are rows of their own in a table; those that
            differ in a seed are averaged, what is only speed changes nothing.
        schema: JSON schema of its value, where that does not follow from the type.
        written: whether records have it at its default too; of a later option they do not, so that
            soups made before stay as they are.
        limits: `minimum`, `exclusiveMinimum`.
    """
    about_it = {"about": about, "own_row": own_row, "schema": schema, "written": written, **limits}
    return field(default=default, metadata=about_it)


# Of modelsoups.evaluation.metrics, by what models give; those that fit a choice.
METRICS_OF = {
    "class": ("accuracy", "macro_f1", "matthews", "accuracy_f1", "worst_group_accuracy"),
    "labels": ("average_precision", "labels_f1", "share_of_labels", "all_labels", "binary_loss"),
    "numbers": ("mae", "mse", "r2"),
    "score": (),
}
METRICS = tuple(name for names in METRICS_OF.values() for name in names)
FUNCTION = {"type": "string", "pattern": r"^\w+(\.\w+)*:\w+$"}
METRIC = {
    "anyOf": [
        {"enum": [*METRICS]},
        FUNCTION,
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["function"],
            "properties": {
                "function": {
                    **FUNCTION,
                    "description": "`package.module:function` of yours, of outputs (n, C) and "
                    "targets (n,)",
                },
                "better": {
                    "enum": ["higher", "lower"],
                    "description": "Which values are (default higher)",
                },
                "evaluates": {
                    "const": True,
                    "description": "It is the function that `soup.evaluate` names; not to be "
                    "written",
                },
                "per_example": {
                    "type": "boolean",
                    "description": "Whether it returns a value an example, of that example alone, "
                    "whose mean counts: then soups are rejected early. At most 1, or at least 0 if "
                    "lower is better",
                },
            },
        },
    ]
}
PATTERNS = {"type": "array", "minItems": 1, "items": {"type": "string"}}


def metric_option(about: str) -> Any:
    """The option `metric` of a recipe."""
    return option("accuracy", f"{about}; one of these, or a function of yours", schema=METRIC)


def layer_options() -> tuple[Any, Any]:
    """The options `only` and `except` of a recipe."""
    return (
        option(
            (),
            "Patterns with `*` of names of tensors: the soup has these of its ingredients, all "
            "others are those of the best model on the held-out set",
            schema=PATTERNS,
            written=False,
        ),
        option(
            (),
            "Patterns of names of tensors that are those of the best model instead",
            schema=PATTERNS,
            written=False,
        ),
    )


def key_of(name: str) -> str:
    """Key in a config of a field of a spec: `except_` is a word of Python's without its `_`."""
    return name.rstrip("_")


def check_options(what: str, spec: Any) -> None:
    """Raise a ValueError unless every option of a spec has an allowed value.

    Args: what: kind of the recipe, for the message.
    """
    names = {key_of(each.name): each.name for each in fields(spec)}
    for name, wanted in properties(type(spec)).items():
        value = getattr(spec, names[name])
        allowed = None
        if name == "metric":
            named = value if isinstance(value, str) else value.get("function", "")
            if named not in METRICS and not re.match(FUNCTION["pattern"], named):
                allowed = f"{', '.join(METRICS)}, or package.module:function"
        elif wanted.get("type") in ("array", "object"):
            continue  # the schema has their form
        elif value not in wanted.get("enum", [value]):
            allowed = ", ".join(wanted["enum"])
        elif value < wanted.get("minimum", value):
            allowed = f"{wanted['minimum']} and above"
        elif "exclusiveMinimum" in wanted and value <= wanted["exclusiveMinimum"]:
            allowed = f"above {wanted['exclusiveMinimum']}"
        if allowed:
            raise ValueError(f"{what}: {name} is {value!r}, allowed: {allowed}")


def needed(spec: type) -> list[str]:
    """Options without a default."""
    return [each.name for each in fields(spec) if each.default is MISSING]


def properties(spec: type) -> dict[str, dict[str, Any]]:
    """Option -> its JSON schema."""
    found: dict[str, dict[str, Any]] = {}
    hints = get_type_hints(spec)
    for each in fields(spec):
        hint = hints[each.name]
        found[key_of(each.name)] = {
            **(each.metadata["schema"] or _schema_of(hint)),
            **{name: each.metadata[name] for name in LIMITS if name in each.metadata},
            **({"default": each.default} if each.default not in (MISSING, ()) else {}),
            "description": each.metadata["about"],
        }
    return found


def _schema_of(hint: Any) -> dict[str, Any]:
    """JSON schema of values of a type."""
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    return {"type": JSON_TYPES[hint]}
