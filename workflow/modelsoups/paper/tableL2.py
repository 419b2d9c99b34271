"""Table L.2: soups of augmentations against fix-aug, which joins them in one run (Appendix L)."""

from modelsoups.paper.baselines import (
    AUGMENTATIONS,
    SCHEMA,
    Better,
    ask_for,
    groups_of,
    need,
    problems,
    row_claims,
    single,
    tabulate,
    to_markdown,
    together,
)
from modelsoups.paper.declare import Given, Made, Result, one_sweep
from modelsoups.paper.tableL1 import SINGLES, SOUP, SOUP_OF_THREE

NAME = "tableL2"
FIX, FIX_LONGER = (f"Individual model (fix aug{longer})" for longer in ("", " 4x epochs"))
ROWS = [
    *SINGLES,
    single("fix-aug", FIX, paper=[(79.43, 45.46), (79.70, 48.18)]),
    single("fix-aug", FIX_LONGER, longer=4, paper=[(78.57, 41.53), (79.96, 45.86)]),
    SOUP_OF_THREE,
    together(
        "Soup minimal, medium, strong, and fix aug",
        [*AUGMENTATIONS, "fix-aug"],
        paper=[(80.41, 48.14), (80.17, 49.71)],
    ),
]
PAPER = {row.label: row.paper for row in ROWS}
CLAIMS = [
    Better(claim="The soup of three augmentations is better than fix-aug", first=SOUP, second=FIX),
    Better(
        claim="The soup of three augmentations is better than fix-aug of four times the epochs",
        first=SOUP,
        second=FIX_LONGER,
    ),
]


def make(given: Given) -> Made:
    """Table L.2 and its claims."""
    mixes = given.read("mixes")
    table = tabulate(mixes, given.roles, PAPER, given.study)
    return Made(
        table=table,
        markdown=to_markdown(table, "CLIP ViT-B/32"),
        claims=row_claims(mixes, given.roles, PAPER, CLAIMS),
    )


RESULT = Result(
    name=NAME,
    title="Table L.2",
    section="L",
    kind="table",
    about="Table L.2: soups of augmentations against fix-aug, which joins them in one run.",
    key=NAME,
    schema=SCHEMA,
    needs=lambda spec: need(NAME, spec),
    analyses=lambda spec: [ask_for(NAME, spec, groups_of(ROWS, spec))],
    names=one_sweep,
    problems=lambda spec, study: problems(spec, study, groups_of(ROWS, spec)),
    make=make,
    caption=(
        "Table L.2 in the form of the paper. Fix-aug is strong augmentation, in the last epoch "
        "minimal. Numbers are means over seeds, intervals over seeds and images."
    ),
    paper="Soups of different augmentations are better than fix-aug, also of four times the epochs",
)
