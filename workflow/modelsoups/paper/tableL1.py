"""Table L.1: soups of three augmentations against distillation of their ensemble (Appendix L)."""

from modelsoups.paper.baselines import (
    AUGMENTATIONS,
    Better,
    make_rows,
    single,
    table_of_rows,
    together,
)
from modelsoups.paper.declare import Given, Made

DISTILLED = "Distillation from the ensemble (stochastic aug)"
DISTILLED_PLAIN = "Distillation from the ensemble (no aug)"
SOUP = "Soup minimal, medium, and strong aug"
LONGER = "Individual model (stochastic aug 3x epochs)"
# The three runs of the soup: rows of Table L.2 too.
SINGLES = [
    single("minimal", paper=[(76.42, 43.21), (77.19, 47.98)]),
    single("medium", paper=[(78.83, 43.55), (79.51, 46.74)]),
    single("strong", paper=[(79.08, 43.75), (79.33, 46.62)]),
]
SOUP_OF_THREE = together(SOUP, AUGMENTATIONS, paper=[(80.24, 47.97), (80.08, 49.75)])
ROWS = [
    *SINGLES,
    single("stochastic", paper=[(78.94, 45.04), (79.48, 48.07)]),
    single("stochastic", LONGER, longer=3, paper=[(78.38, 42.18), (79.59, 46.89)]),
    single("none", DISTILLED_PLAIN, taught=True, paper=[(78.59, 43.45), (79.13, 47.28)]),
    single("stochastic", DISTILLED, taught=True, paper=[(79.79, 45.63), (79.88, 47.49)]),
    SOUP_OF_THREE,
    together(
        "Ensemble minimal, medium, and strong aug",
        AUGMENTATIONS,
        ensemble=True,
        paper=[(80.19, 46.33), (80.17, 49.36)],
    ),
]
CLAIMS = [
    Better(
        claim="Distillation from the ensemble is better with augmentation",
        first=DISTILLED,
        second=DISTILLED_PLAIN,
    ),
    Better(
        claim="The soup is better than distillation from the ensemble",
        first=SOUP,
        second=DISTILLED,
    ),
    Better(
        claim="The soup is better than one run, three times as long, with all of its augmentations",
        first=SOUP,
        second=LONGER,
    ),
]


def make(given: Given) -> Made:
    """Table L.1 and its claims."""
    return make_rows(given, ROWS, CLAIMS)


RESULT = table_of_rows(
    "tableL1",
    ROWS,
    title="Table L.1",
    make=make,
    about="Table L.1: soups of three augmentations against distillation of their ensemble.",
    caption=(
        "Table L.1 in the form of the paper. Stochastic augmentation is minimal, medium or strong "
        "for each image at random. Teachers are the three runs of the soup, of the same learning "
        "rate and seed. Numbers are means over seeds, intervals over seeds and images."
    ),
    paper="Distillation is better with augmentation, and model soups still perform favorably",
)
