"""Figure B.1: accuracy against the number of models, in random orders (Appendix B)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import WHERE, Claim, in_points, make_claim, percent, points
from modelsoups.paper.declare import (
    SWEEP,
    Analysis,
    Given,
    Made,
    Result,
    Spec,
    one_sweep,
    table_need,
)
from modelsoups.paper.domains import (
    DOMAINS,
    by_domain,
    difference_of_rows,
    domains_in,
    sets_by_domain,
)
from modelsoups.paper.look import RUNS, as_line, styled
from modelsoups.soups.registry import method_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

BEST = "Best individual model"
MARGIN = 0.01  # of accuracy, by which a soup may be below the best run
MEAN = -1  # the order that stands for the mean of all
# The methods of `analyses.growth` -> look of their marker.
LOOKS = {
    BEST: RUNS,
    **{
        method.label: method.look
        for method in (
            method_of({"kind": kind}, ensemble)
            for ensemble in (False, True)
            for kind in ("uniform", "greedy")
        )
    },
}


def growth_curves(growth: "pd.DataFrame", roles: Mapping[str, str]) -> "pd.DataFrame":
    """Order, k, method and the domains' accuracies, of each order and of their mean (`MEAN`).

    Args: growth: of `analyses.growth.grow`.
    """
    import pandas as pd

    keys = ["order", "k", "method"]
    curves = by_domain(growth[growth["metric"] == "accuracy"], roles, keys)
    mean = curves.groupby(["k", "method"], sort=False, as_index=False).mean().assign(order=MEAN)
    return pd.concat([curves, mean], ignore_index=True)


def figure_b1(table: "pd.DataFrame", title: str) -> "Figure":
    """Accuracy against the number of models; faint lines are the random orders.

    Args: table: of `growth_curves`.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    domains = domains_in(table)
    with styled():
        figure = Figure(figsize=(4.2 * len(domains) + 0.4, 4.2))
        for axes, domain in zip(
            figure.subplots(1, len(domains), squeeze=False)[0], domains, strict=True
        ):
            for (order, method), line in table.groupby(["order", "method"], sort=False):
                look = as_line(LOOKS[method])
                if order == MEAN:
                    axes.plot(line["k"], 100 * line[domain], label=method, markersize=5, **look)
                else:
                    axes.plot(line["k"], 100 * line[domain], color=look["color"], alpha=0.2)
            axes.set(title=DOMAINS[domain], xlabel="Number of models")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.axes[0].set_ylabel("Accuracy (top-1, %)")
        figure.suptitle(title)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=1 + len(domains))
    return figure


def describe(table: "pd.DataFrame") -> str:
    """At how many numbers of models the greedy soup is above the best run, on average; no test."""
    mean = table[table["order"] == MEAN]
    parts = []
    for domain in domains_in(table):
        wide = mean.pivot(index="k", columns="method", values=domain)
        above = (wide["Greedy soup"] > wide["Best individual model"]).sum()
        last = ", ".join(f"{method} {percent(wide[method].iloc[-1])}" for method in LOOKS)
        parts.append(
            f"{DOMAINS[domain]}: the greedy soup is above the best run at {above} of {len(wide)} "
            f"numbers of models; with all of them {last}."
        )
    return f"Averaged over the orders. {' '.join(parts)} No test is made."


def draw(given: Given, title: str) -> Made:
    """The growth of a sweep's pool."""
    growth = given.read("growth")
    table = growth_curves(growth, given.roles)
    return Made(
        table=table,
        figure=figure_b1(table, title),
        found=[describe(table)],
        claims=growth_claims(growth, given.roles, given.spec["sweep"]),
    )


def growth_claims(growth: "pd.DataFrame", roles: Mapping[str, str], sweep: str) -> list[Claim]:
    """The greedy soup is better than the best run: on average over the numbers of models from two
    on, and at none of them worse by more than MARGIN.

    Args: growth: of `analyses.growth.grow`.
    """
    from modelsoups.evaluation.statistics import above, weakest

    several = growth[growth["k"] > 1]
    soups, best = (several[several["method"] == m] for m in ("Greedy soup", BEST))
    claims: list[Claim] = []
    if soups.empty:
        return claims
    texts: Any = {"section": "B", "paper": "Essentially any number of models"}
    numbers = sorted(set(soups["k"]))
    for domain, datasets in sets_by_domain(roles).items():
        mean = difference_of_rows(soups, best, datasets)
        each = {
            k: difference_of_rows(soups[soups["k"] == k], best[best["k"] == k], datasets)
            for k in numbers
        }
        higher = sum(found.value > 0 for found in each.values())
        where = f"sweep {sweep}, {growth['order'].nunique()} orders"
        claims.append(
            make_claim(
                f"mean over {len(numbers)} numbers of models: {in_points(mean)}; above at {higher} "
                f"of them; {where}",
                mean,
                claim=f"The greedy soup beats the best run whatever the number of models, on "
                f"average ({WHERE[domain]})",
                domain=domain,
                **texts,
            )
        )
        least = min(each, key=lambda k: each[k].value)
        claims.append(
            make_claim(
                f"least of {len(numbers)}, at {least} models: {in_points(each[least])}; {where}",
                weakest([above(found, -MARGIN) for found in each.values()]),
                claim=f"At no number of models is the greedy soup worse than the best run by more "
                f"than {points(MARGIN)} ({WHERE[domain]})",
                domain=domain,
                **texts,
            )
        )
    return claims


def analyses(spec: Spec) -> list[Analysis]:
    """Every recipe on the first k models of each order."""
    orders = {name: spec[name] for name in ("num_orders", "seed")}
    return [Analysis(sweep=spec["sweep"], table="growth", plan=orders)]


RESULT = Result(
    name="figureB1",
    title="Figure B.1",
    section="B",
    kind="figure",
    about="Figure B.1: accuracy of every method against the number of models.",
    key="figureB1",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["sweep", "num_orders", "seed"],
        "properties": {
            "sweep": SWEEP,
            "num_orders": {"type": "integer", "minimum": 1, "description": "Random orders"},
            "seed": {
                "type": "integer",
                "minimum": 0,
                "description": "Of the first order; the next ones count on",
            },
        },
    },
    needs=table_need("growth"),
    analyses=analyses,
    names=one_sweep,
    make=lambda given: draw(given, given.study),
    caption=(
        "Figure B.1. Accuracy against the number of models considered, mean of random orders "
        "(faint: each)."
    ),
    paper="The greedy soup is better than the best run for essentially any number of models",
)
