"""Figures L.1 and L.2: soups of runs that are averaged along their trajectory (Appendix L)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelsoups.paper.baselines import AUGMENTATIONS, RATES, ask_for, need, problems
from modelsoups.paper.claims import WHERE, Claim, in_points, make_claim, not_judged, points
from modelsoups.paper.declare import MAX_IMAGES, SWEEP, Given, Made, Result, Spec, one_sweep
from modelsoups.paper.domains import (
    DOMAINS,
    by_domain,
    difference_of_rows,
    domains_in,
    sets_by_domain,
)
from modelsoups.paper.look import styled
from modelsoups.study.groups import Group
from modelsoups.study.search import CHOICES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SOUP = "soup"
PLAIN = "none"  # no average along the trajectory
FAMILIES = {"EMA": "ema", "SWA": "swa"}  # and what names of their averages begin with
SCHEDULES = ("constant", "cosine-restarts", "cosine")  # the paper's
KEYS = ["lr", "schedule", "average", "row"]
LOOKS: dict[str, dict[str, Any]] = {
    "minimal": {"color": "tab:green", "marker": "v"},
    "medium": {"color": "tab:olive", "marker": "d"},
    "strong": {"color": "tab:brown", "marker": "^"},
    SOUP: {"facecolor": "none", "edgecolor": "tab:blue", "marker": "o", "s": 90, "linewidth": 2},
}


def groups(spec: Spec) -> list[Group]:
    """Each run and the soup of the three augmentations, as they end and of each average."""
    return [
        {
            "about": {"lr": lr, "schedule": schedule, "average": average, "row": row},
            "members": [{"lr": lr, "schedule": schedule, "augmentation": each} for each in members],
            **({"average": average} if average != PLAIN else {}),
        }
        for lr in spec["learning_rates"]
        for schedule in spec.get("schedules", SCHEDULES)
        for average in (PLAIN, *spec["averages"])
        for row, members in (*((each, [each]) for each in AUGMENTATIONS), (SOUP, AUGMENTATIONS))
    ]


def say_average(name: str) -> str:
    """What an average is called in the figure: `EMA 0.99`, `SWA`, `SWA 70 %`."""
    if name == PLAIN:
        return "no average"
    family, rest = name[:3].upper(), name[3:]
    if not rest:
        return family
    return f"{family} {100 * float(rest):g} %" if family == "SWA" else f"{family} {rest}"


def figure_l(table: "pd.DataFrame", title: str) -> "Figure":
    """Accuracy of each run and of the soup, by average, in a panel a schedule and learning rate.

    Args: table: lr, schedule, average, row, and the domains' accuracies.
    """
    from matplotlib.figure import Figure

    domains = domains_in(table)
    panels = list(table.groupby(["lr", "schedule"], sort=False))
    averages = list(dict.fromkeys(table["average"]))
    with styled():
        figure = Figure(figsize=(2.5 * len(panels) + 0.5, 3.0 * len(domains) + 1.0))
        grid = figure.subplots(len(domains), len(panels), squeeze=False, sharex=True, sharey="row")
        for line, domain in zip(grid, domains, strict=True):
            for axes, ((lr, schedule), panel) in zip(line, panels, strict=True):
                for row, look in LOOKS.items():
                    dots = panel[panel["row"] == row]
                    places = [averages.index(each) for each in dots["average"]]
                    axes.scatter(places, 100 * dots[domain], label=row, **look)
                if domain == domains[0]:
                    axes.set_title(f"{schedule}\nlearning rate {lr:g}")
                axes.set_xticks(range(len(averages)), map(say_average, averages), rotation=90)
            line[0].set_ylabel(f"{DOMAINS[domain]}\naccuracy (top-1, %)")
        figure.suptitle(title)
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(LOOKS))
    return figure


def family_claims(
    mixes: "pd.DataFrame", roles: Mapping[str, str], averages: Sequence[str], sweep: str
) -> list[Claim]:
    """Of runs averaged along their trajectory, the soup beats each of its three ingredients.

    The mean over learning rates, schedules and the averages of a family, on the same images; the
    weakest of the three differences.
    """
    from modelsoups.evaluation.statistics import weakest

    claims = []
    for family, start in FAMILIES.items():
        names = [each for each in averages if each.startswith(start)]
        if not names:
            continue
        rows = mixes[mixes["average"].isin(names)]
        there = rows.groupby("average")["row"].unique()
        for domain, datasets in sets_by_domain(roles).items():
            texts: dict[str, Any] = {
                "claim": f"Soups add to {family} ({WHERE[domain]}, sweep {sweep})",
                "section": "L",
                "paper": "Model soups provide improvements even when applied to models which have "
                "weight-averaging along their trajectory",
            }
            if len(there) == 0 or any({*LOOKS} - {*each} for each in there):
                claims.append(not_judged("its runs failed", **texts))
                continue
            soup, *runs = (rows[rows["row"] == row] for row in (SOUP, *AUGMENTATIONS))
            found = weakest([difference_of_rows(soup, each, datasets) for each in runs])
            said = ", ".join(map(say_average, names))
            claims.append(
                make_claim(f"least of three {in_points(found)}, of {said}", found, **texts)
            )
    return claims


def describe(table: "pd.DataFrame") -> str:
    """What each average does to a single run, on average over runs; no test."""
    singles = table[table["row"] != SOUP]
    parts = []
    for domain in domains_in(table):
        means = singles.groupby("average", sort=False)[domain].mean()
        found = (
            f"{say_average(each)} {points(means[each] - means[PLAIN])}"
            for each in means.index
            if each != PLAIN
        )
        parts.append(f"{WHERE[domain]} {', '.join(found)}")
    return f"Averages of single runs against their ends: {'; '.join(parts)}."


def make(given: Given) -> Made:
    """Figure L.1 or L.2 and its claims."""
    mixes = given.read("mixes")
    table = by_domain(mixes[mixes["metric"] == "accuracy"], given.roles, KEYS)
    sweep = given.spec["sweep"]
    return Made(
        table=table,
        figure=figure_l(table, f"{given.study}: sweep {sweep}"),
        claims=family_claims(mixes, given.roles, given.spec["averages"], sweep),
        found=[describe(table)],
    )


def name_of(spec: Spec) -> str:
    """Name of a figure's analysis."""
    return f"figureL{spec['number']}"


RESULT = Result(
    name="figureL",
    title="Figure L.{number}",
    section="L",
    kind="figure",
    about="Figures L.1 and L.2: soups of runs that are averaged along their trajectory.",
    key="figureL",
    schema={
        "type": "array",
        "minItems": 1,
        "maxItems": 2,
        "uniqueItems": True,
        "description": "One a pre-training: first the one that stands for the paper's CLIP, then "
        "that for ImageNet-21k",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["sweep", "learning_rates", "averages"],
            "properties": {
                "sweep": SWEEP,
                "learning_rates": {
                    **RATES,
                    "description": "Of the runs; each has panels of its own",
                },
                "schedules": {
                    "type": "array",
                    "items": {"enum": list(CHOICES["schedule"])},
                    "minItems": 1,
                    "uniqueItems": True,
                    "description": "Default: constant, cosine-restarts and cosine",
                },
                "averages": {
                    "type": "array",
                    "items": {"type": "string", "pattern": "^(ema|swa)"},
                    "minItems": 1,
                    "uniqueItems": True,
                    "description": "Of the runs, such as ema0.99, swa or swa0.7",
                },
                "max_images": MAX_IMAGES,
            },
        },
    },
    targets=lambda figures, config: {
        f"figureL{number}": {**spec, "number": number}
        for number, spec in enumerate(figures, start=1)
    },
    needs=lambda spec: need(name_of(spec), spec),
    analyses=lambda spec: [ask_for(name_of(spec), spec, groups(spec))],
    names=one_sweep,
    problems=lambda spec, study: problems(spec, study, groups(spec)),
    make=make,
    caption=(
        "Figure L.{number} in the form of the paper, of sweep {sweep}. Runs with three strengths "
        "of augmentation and their soup: as they end, and averaged along their trajectory by EMA "
        "with a decay, or by SWA over the ends of all epochs or of those after a share of the run. "
        "Schedules of the learning rate and learning rates are panels."
    ),
    paper="EMA and SWA can improve the accuracy of a single model, and soups provide improvements "
    "on top of them",
)
