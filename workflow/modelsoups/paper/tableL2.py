"""Table L.2: soups of augmentations against fix-aug, which joins them in one run (Appendix L)."""

from modelsoups.paper.baselines import (
    AUGMENTATIONS,
    Better,
    make_rows,
    single,
    table_of_rows,
    together,
)
from modelsoups.paper.declare import Given, Made
from modelsoups.paper.tableL1 import SINGLES, SOUP, SOUP_OF_THREE

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
    return make_rows(given, ROWS, CLAIMS)


RESULT = table_of_rows(
    "tableL2",
    ROWS,
    title="Table L.2",
    make=make,
    about="Table L.2: soups of augmentations against fix-aug, which joins them in one run.",
    caption=(
        "Table L.2 in the form of the paper. Fix-aug is strong augmentation, in the last epoch "
        "minimal. Numbers are means over seeds, intervals over seeds and images."
    ),
    paper="Soups of different augmentations are better than fix-aug, also of four times the epochs",
)
