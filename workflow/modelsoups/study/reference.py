"""The reference of a config's keys, from its schema: a page, and a JSON schema for editors.

Standard library only.
"""

import json
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from typing import Any

Schema = Mapping[str, Any]
Path = tuple[str, ...]  # of a mapping in a config: its keys, from the top

TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}
LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
HYPERPARAMETERS = {"$ref": "#/$defs/hyperparameter"}  # names of a mapping's keys
CATALOG = {
    "type": "string",
    "description": "A file with `classes`, `prompts`, `folders`, `views` and `datasets` that "
    "several studies share; what it has need not be written",
}
ROLE_ALONE = "A data set of the catalog, by its role alone"
INTRODUCTION = """\
Every key of a study; any other is refused. [config/README.md](../config/README.md) explains how
they work together.

This page and `workflow/schemas/config.schema.json` are made from the schema by `make reference`.
Editors that know YAML schemas complete keys in a file that begins with
`# yaml-language-server: $schema=<path or address of config.schema.json>`."""


def reference_page(schema: Schema) -> str:
    """Markdown of all keys: a table for each mapping, in the schema's order.

    Args: schema: complete (`paper.schema`), with a description for every key.
    """
    top = {**schema, "properties": {"catalog": CATALOG, **schema["properties"]}}
    parts = ["# Config reference", INTRODUCTION, "## Top level", _table(top, schema)]
    shown: list[Path] = []
    for path, entry in _mappings(schema, schema):
        if path:
            depth = 2 + sum(path[: len(each)] == each for each in shown)
            about = cleandoc(entry.get("description", ""))
            parts += [f"{'#' * depth} `{'.'.join(path)}`", about, _table(entry, schema)]
            shown.append(path)
    parts += ["## Hyper-parameters", _table(schema["$defs"]["hyperparameters"], schema)]
    return "\n\n".join(part for part in parts if part) + "\n"


def editor_schema(schema: Schema) -> dict[str, Any]:
    """The schema of a config as it is written: before what its catalog has is put in.

    Args: schema: as in `reference_page`.
    """
    from_catalog = [key for key in ("classes", "views") if key in schema["required"]]
    datasets = schema["properties"]["datasets"]
    described = datasets["additionalProperties"]
    by_role = {"enum": described["properties"]["role"]["enum"], "description": ROLE_ALONE}
    properties = {
        "catalog": CATALOG,
        **schema["properties"],
        "datasets": {
            **datasets,
            "additionalProperties": {"anyOf": [by_role, {**described, "required": ["role"]}]},
        },
    }
    without_catalog = schema["required"]
    in_catalog = ["catalog", *(key for key in without_catalog if key not in from_catalog)]
    written = {
        **schema,
        "anyOf": [{"required": ["soup"]}, {"required": without_catalog}, {"required": in_catalog}],
        "required": [],
        "properties": properties,
    }
    return _with_hyperparameters(written, schema["$defs"]["hyperparameters"]["properties"])


def undescribed(schema: Schema) -> list[str]:
    """Keys without a description.

    Args: schema: as in `reference_page`.
    """
    mappings = [
        *_mappings(schema, schema),
        (("hyper-parameters",), schema["$defs"]["hyperparameters"]),
    ]
    return [
        ".".join((*path, key))
        for path, entry in mappings
        for key, value in entry["properties"].items()
        if "description" not in value
    ]


def _mappings(entry: Schema, schema: Schema, path: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Every mapping with keys of its own, with its path: one before those below it."""
    entry = _resolved(entry, schema)
    for case in entry.get("allOf", ()):  # recipes and ensembles, by their kind
        properties = case["then"].get("properties", {})
        if kind := properties.get("kind"):
            options = {key: value for key, value in properties.items() if key != "kind"}
            yield (*path, f"kind: {kind['const']}"), {**case["then"], "properties": options}
            entry = {}
    if properties := entry.get("properties"):
        yield path, entry
        for key, value in properties.items():
            yield from _mappings(value, schema, (*path, key))
    for below, name in (("additionalProperties", "<name>"), ("items", "<each>")):
        value = entry.get(below)
        if isinstance(value, Mapping):
            for each in value.get("anyOf", [value]):
                about = {"description": entry.get("description", "")}
                yield from _mappings({**about, **_resolved(each, schema)}, schema, (*path, name))


def _table(entry: Schema, schema: Schema) -> str:
    """A row for each key of a mapping; nothing if it has none."""
    if not entry["properties"]:
        return ""
    rows = ["| key | value | meaning |", "|---|---|---|"]
    for key, value in entry["properties"].items():
        needed = " (needed)" if key in entry.get("required", ()) else ""
        about = value.get("description", "")
        if "default" in value:
            about += f" (default {_code(value['default'])})"
        cells = (f"`{key}`{needed}", _value(value, schema), about)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _value(entry: Schema, schema: Schema) -> str:
    """What a key's value may be, in words."""
    entry = _resolved(entry, schema)
    if "const" in entry or "enum" in entry:
        return ", ".join(_code(each) for each in entry.get("enum", [entry.get("const")]))
    if "anyOf" in entry:
        return " or ".join(_value(each, schema) for each in entry["anyOf"])
    if isinstance(entry["type"], list):
        return " or ".join(_value({**entry, "type": each}, schema) for each in entry["type"])
    if entry["type"] == "object":
        return "mapping"
    if entry["type"] == "array":
        return f"list: {_value(entry['items'], schema)}"
    limits = [f"{words} {entry[key]}" for key, words in LIMITS.items() if key in entry]
    return ", ".join([TYPES[entry["type"]], *limits])


def _resolved(entry: Schema, schema: Schema) -> Schema:
    """An entry with what it refers to."""
    if "$ref" not in entry:
        return entry
    return {**schema["$defs"][entry["$ref"].rpartition("/")[2]], **entry}


def _code(value: Any) -> str:
    """A value as it stands in a config."""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _with_hyperparameters(entry: Any, described: Schema) -> Any:
    """A schema whose mappings by hyper-parameter list these as keys, for an editor to complete."""
    if isinstance(entry, list):
        return [_with_hyperparameters(each, described) for each in entry]
    if not isinstance(entry, Mapping):
        return entry
    found = {key: _with_hyperparameters(value, described) for key, value in entry.items()}
    if found.get("propertyNames") == HYPERPARAMETERS:
        form = found.get("additionalProperties", {})
        found["properties"] = {
            name: {**form, "description": about["description"]} for name, about in described.items()
        }
    return found
