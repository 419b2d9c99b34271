"""The whole schema of a config: the file's, with recipes, ensembles, tables and figures.

Imported while Snakemake parses: no torch. `python -m modelsoups.paper.schema`, in the root of a
clone, writes what is made of it: the page of all keys and the JSON schema for editors.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from modelsoups.paper.registry import RESULTS
from modelsoups.paper.targets import list_schemas
from modelsoups.soups.options import JSON_TYPES
from modelsoups.soups.registry import ensemble_schema, recipe_schema
from modelsoups.study.config import read_schema
from modelsoups.study.reference import editor_schema, reference_page
from modelsoups.study.search import RunSpec

SCHEMA = Path("workflow/schemas/config.schema.yaml")
FOR_EDITORS = Path("workflow/schemas/config.schema.json")
PAGE = Path("docs/config.md")


def complete_schema(path: str | Path) -> dict[str, Any]:
    """The schema of a config, its catalog put in.

    Args: path: of `config.schema.yaml`.
    """
    results = {
        key: {"description": " ".join(abouts), **schema}
        for key, schema in list_schemas().items()
        if (abouts := [result.about for result in RESULTS.values() if result.key == key])
    }
    sections = {
        "recipes": _entries("How soups are made", recipe_schema()),
        "ensembles": _entries("How ensembles are chosen", ensemble_schema()),
    }
    schema = read_schema(path, {**sections, **results})
    types = get_type_hints(RunSpec)
    described = {
        field.name: {**_json_type(types[field.name]), "description": field.metadata["about"]}
        for field in fields(RunSpec)
    }
    schema["$defs"]["hyperparameters"] = {"properties": described}
    of_replicates = schema["properties"]["replicates"]["properties"]["results"]
    of_replicates["propertyNames"] = {"enum": list(results)}
    return schema


def files_of_reference(schema: dict[str, Any]) -> dict[Path, str]:
    """Path -> text of what is made of the complete schema."""
    editors = json.dumps(editor_schema(schema), indent=1, ensure_ascii=False)
    return {PAGE: reference_page(schema), FOR_EDITORS: editors + "\n"}


def _json_type(hint: Any) -> dict[str, Any]:
    """The JSON schema of a hyper-parameter's type; one entry of a list may stand alone."""
    if hint in JSON_TYPES:
        return {"type": JSON_TYPES[hint]}
    item = _json_type(get_args(hint)[0])
    return {"anyOf": [item, {"type": "array", "items": item}]}


def _entries(about: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a section with entries of one form under names of their own."""
    names = {"$ref": "#/$defs/name"}
    return {
        "type": "object",
        "description": about,
        "propertyNames": names,
        "additionalProperties": schema,
    }


if __name__ == "__main__":
    for path, text in files_of_reference(complete_schema(SCHEMA)).items():
        path.write_text(text, encoding="utf-8")
        print(f"{path} written")
