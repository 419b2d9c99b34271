"""What every table and figure declares."""

import subprocess
import sys
from string import Formatter

import jsonschema
import pytest

from modelsoups.paper.declare import SECTIONS
from modelsoups.paper.registry import RESULTS

HEAVY = ["numpy", "pandas", "matplotlib", "scipy", "torch", "statsmodels", "pyarrow"]


def test_declarations_are_read_without_what_computes_and_draws() -> None:
    code = (
        "import sys, modelsoups.paper.registry\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_results_are_in_the_order_of_the_papers_sections_and_so_is_the_report() -> None:
    sections = [result.section for result in RESULTS.values()]
    assert sections == sorted(sections, key=list(SECTIONS).index)
    categories = [f"{number}. {title}" for number, title in SECTIONS.items()]
    assert categories == sorted(categories)
    assert categories[0] > "0. What holds here" and categories[-1] < "Runs"


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_says_what_it_is(name: str) -> None:
    result = RESULTS[name]
    assert result.name == name
    assert result.about.endswith(".") and "\n" not in result.about
    jsonschema.Draft202012Validator.check_schema(result.schema)
    if result.kind == "claims":
        assert not result.caption and not result.paper
    else:
        assert result.caption.endswith(".") and not result.paper.endswith(".")
        assert result.make.__module__ == f"modelsoups.paper.{name}"


def test_titles_and_captions_name_nothing_but_sweep_and_number() -> None:
    texts = [text for result in RESULTS.values() for text in (result.title, result.caption)]
    fields = {field for text in texts for _, field, _, _ in Formatter().parse(text) if field}
    assert fields == {"sweep", "number"}


def test_results_of_one_key_agree_on_its_schema() -> None:
    schemas = {}
    for result in RESULTS.values():
        assert schemas.setdefault(result.key, result.schema) == result.schema
