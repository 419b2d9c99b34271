"""Captions repeat the paper and the computed verdicts."""

from modelsoups.evaluation.statistics import estimate
from modelsoups.paper.captions import caption, write_caption
from modelsoups.paper.claims import make_claim
from modelsoups.paper.declare import Given, Made
from modelsoups.paper.figure2 import RESULT as FIGURE_2
from modelsoups.paper.figureH import RESULT as FIGURE_H
from modelsoups.paper.table3 import RESULT as TABLE_3

CLAIM = make_claim("+1 point", estimate(0.1, 0.1), claim="Soups win", section="3", paper="Table 3")


def given(**spec) -> Given:
    return Given(files={}, spec=spec, study="a toy study", roles={}, methods={})


def test_it_says_what_is_shown_the_paper_and_the_computed_verdicts() -> None:
    text = caption(TABLE_3, given(), Made(claims=[CLAIM], found=["least 20 %"]))
    assert text.startswith("Table 3. Every method")
    assert "Study: a toy study." in text
    assert "**The paper:** The greedy soup beats the best individual model" in text
    assert text.endswith(
        "**Here:** Soups win: +1 point. **Not decided by this much data.**\n\n"
        "**Here:** least 20 %\n"
    )


def test_fields_of_the_spec_are_filled_in() -> None:
    text = caption(FIGURE_H, given(sweep="grid", number=2), Made())
    assert text.startswith("Figure H.2: Figure B.1 for sweep grid.")


def test_a_sample_of_images_is_named() -> None:
    text = caption(FIGURE_2, given(max_images=1500), Made())
    assert "Of data sets with more than 1,500 images it is of a sample of so many." in text
    assert "sample" not in caption(FIGURE_2, given(max_images=None), Made())


def test_it_is_written_as_text(tmp_path) -> None:
    path = tmp_path / "captions/table3.rst"
    write_caption(path, TABLE_3, given(), Made())
    assert path.read_text("utf-8") == caption(TABLE_3, given(), Made())
