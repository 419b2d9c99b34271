"""The recipes side by side, drawn: how far each is from the greedy soup."""

from typing import TYPE_CHECKING

from modelsoups.paper import recipes
from modelsoups.paper.declare import Given, Made, Result
from modelsoups.paper.domains import DOMAINS
from modelsoups.paper.look import BEST as BEST_LOOK
from modelsoups.paper.look import Look, as_line, styled
from modelsoups.paper.methods import looks
from modelsoups.paper.recipes import REFERENCE
from modelsoups.paper.rows import BEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure


def figure_recipes(table: "pd.DataFrame", title: str, known: "Mapping[str, Look]") -> "Figure":
    """The difference of every method from the greedy soup, a row of panels a sweep.

    Args:
        table: of `recipes.compare_sweeps`. known: label -> look of its marker.
    """
    from matplotlib.figure import Figure

    domains = [name for name in DOMAINS if table[f"{name}_difference"].notna().any()]
    sweeps = list(dict.fromkeys(table["sweep"]))
    height = sum(0.28 * (table["sweep"] == sweep).sum() + 0.9 for sweep in sweeps)
    with styled():
        figure = Figure(figsize=(3.4 * len(domains) + 2.4, height))
        grid = figure.subplots(len(sweeps), len(domains), squeeze=False, sharey="row")
        for line, sweep in zip(grid, sweeps, strict=True):
            rows = table[(table["sweep"] == sweep) & (table["method"] != REFERENCE)]
            for axes, domain in zip(line, domains, strict=True):
                axes.axvline(0, color="0.6", linewidth=0.8, zorder=0)
                for height, (_, row) in enumerate(rows.iterrows()):
                    value, low, high = (
                        100 * row[f"{domain}_difference{part}"] for part in ("", "_low", "_high")
                    )
                    look = as_line(known[row["method"]])
                    axes.plot([low, high], [-height] * 2, color=look["color"], linewidth=1)
                    axes.plot([value], [-height], linestyle="none", **look)
                axes.set(
                    title=f"{sweep}: {DOMAINS[domain].lower()}",
                    xlabel="Difference from the greedy soup (points)",
                )
                axes.set_yticks([-i for i in range(len(rows))], list(rows["method"]))
        figure.suptitle(title)
    return figure


def make(given: Given) -> Made:
    """The figure of recipes."""
    table = recipes.compare_sweeps(given)
    known = {BEST: BEST_LOOK, **looks(given.methods)}
    return Made(
        table=table,
        figure=figure_recipes(table, given.study, known),
        found=list(recipes.describe(table)),
    )


RESULT = Result(
    name="figureRecipes",
    title="Recipes, drawn",
    section="R",
    kind="figure",
    about="Recipes, drawn: the difference of every recipe from the greedy soup.",
    key=recipes.RESULT.key,
    schema=recipes.RESULT.schema,
    targets=lambda sweeps, config: {"figureRecipes": {"sweeps": sweeps}},
    needs=recipes.needs,
    names=recipes.names,
    problems=recipes.problems,
    make=make,
    caption=(
        "Accuracy of every recipe minus that of the greedy soup, with 95 % bootstrap intervals "
        "over images, not corrected for their number."
    ),
)
