"""The reference of a config's keys, on a small schema, and that which is committed."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from modelsoups.paper.schema import FOR_EDITORS, SCHEMA, complete_schema, files_of_reference
from modelsoups.study.reference import editor_schema, reference_page, undescribed
from modelsoups.study.search import RunSpec

ROOT = Path(__file__).parents[2]
DATASETS = {
    "type": "object",
    "description": "Images",
    "additionalProperties": {
        "type": "object",
        "required": ["role", "path"],
        "properties": {
            "role": {"enum": ["test", "shift"], "description": "What it is for"},
            "path": {"type": "string", "description": "A | B"},
        },
    },
}
SMALL = {
    "required": ["classes", "size"],
    "properties": {
        "classes": {"type": "string", "description": "Their names"},
        "size": {"type": "integer", "minimum": 1, "description": "Pixels"},
        "datasets": DATASETS,
        "recipes": {
            "type": "object",
            "description": "Soups",
            "additionalProperties": {
                "allOf": [
                    {
                        "if": {"properties": {"kind": {"const": "greedy"}}},
                        "then": {
                            "description": "One after another.\n\n    Paper.",
                            "properties": {
                                "kind": {"const": "greedy"},
                                "ties": {
                                    "type": "boolean",
                                    "default": False,
                                    "description": "Kept",
                                },
                            },
                        },
                    }
                ]
            },
        },
        "match": {
            "type": "object",
            "propertyNames": {"$ref": "#/$defs/hyperparameter"},
            "description": "Runs",
        },
    },
    "$defs": {
        "hyperparameter": {"enum": ["lr"]},
        "hyperparameters": {"properties": {"lr": {"type": "number", "description": "A rate"}}},
    },
}


@pytest.fixture(scope="module")
def schema():
    return complete_schema(ROOT / SCHEMA)


@pytest.fixture(scope="module")
def validator(schema):
    """Of configs as they are written."""
    return Draft202012Validator(editor_schema(schema))


def read(path):
    return yaml.safe_load(path.read_text("utf-8"))


def test_page_has_a_row_a_key_with_form_limits_and_meaning():
    page = reference_page(SMALL)
    assert "| `size` (needed) | whole number, at least 1 | Pixels |" in page
    assert "## `datasets.<name>`\n\nImages\n" in page
    assert "| `role` (needed) | `test`, `shift` | What it is for |" in page
    assert "| `lr` | number | A rate |" in page


def test_bars_in_a_meaning_do_not_end_its_cell():
    assert "| `path` (needed) | text | A \\| B |" in reference_page(SMALL)


def test_recipes_have_a_table_a_kind_with_defaults():
    page = reference_page(SMALL)
    assert "## `recipes.<name>.kind: greedy`\n\nOne after another.\n\nPaper.\n" in page
    assert "| `ties` | true or false | Kept (default `false`) |" in page


def test_key_without_a_description_is_told():
    assert undescribed(SMALL) == []
    bare = {**SMALL["properties"], "size": {"type": "integer"}}
    assert undescribed({**SMALL, "properties": bare}) == ["size"]


def test_editor_takes_a_set_of_a_catalog_by_its_role_and_completes_hyper_parameters():
    written = editor_schema(SMALL)
    validator = Draft202012Validator(written)
    assert validator.is_valid({"catalog": "c.yaml", "size": 2, "datasets": {"a": "shift"}})
    assert not validator.is_valid({"size": 2})  # without a catalog, classes are needed
    assert written["properties"]["match"]["properties"] == {"lr": {"description": "A rate"}}


def test_every_key_of_a_config_is_described(schema):
    assert undescribed(schema) == []


def test_committed_reference_is_that_of_the_schema(schema):
    for path, text in files_of_reference(schema).items():
        committed = (ROOT / path).read_text("utf-8")
        assert committed == text, f"{path} is not that of the schema: make reference"


def test_page_names_every_hyper_parameter_and_recipe(schema):
    page = reference_page(schema)
    for name in [*RunSpec.__dataclass_fields__, "greedy", "learned", "figure1", "table3"]:
        assert f"`{name}`" in page or f"kind: {name}`" in page, name


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name
)
def test_editors_find_nothing_wrong_with_the_studies_that_ship(path, validator):
    assert [error.message for error in validator.iter_errors(read(path))] == []


def test_editors_find_a_misspelled_key(validator):
    study = read(ROOT / "config/test.yaml")
    study["evaluation"]["batchsize"] = 3
    study["sweeps"]["tiny-grid"]["grid"]["lrs"] = [1]
    found = [error.message for error in validator.iter_errors(study)]
    assert len(found) == 2
    assert "batchsize" in " ".join(found)
    assert "lrs" in " ".join(found)


def test_schema_for_editors_is_valid_json_schema():
    Draft202012Validator.check_schema(json.loads((ROOT / FOR_EDITORS).read_text("utf-8")))
