"""Figure F.1: the ends of one-dimensional grids, averaged, against the best run between (App. F).

Each part of a grid, from one value of a hyper-parameter to another, has a square: how much better
the average of its two ends is than picking its best run. The paper does not say what that run is
picked by; here it is the best on the held-out set, as everywhere, so that no choice sees the
images that are reported.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import WHERE, Claim, in_points, make_claim
from modelsoups.paper.conditions import needs_run
from modelsoups.paper.declare import (
    MATCH,
    SWEEP,
    Analysis,
    Given,
    Made,
    Need,
    Result,
    Spec,
    one_sweep,
)
from modelsoups.paper.domains import DOMAINS, domains_in, sets_by_domain
from modelsoups.paper.look import styled
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Grids = Mapping[str, Sequence[Mapping[str, Any]]]  # name -> what differs, run by run

BETTER = "The average of a grid's ends beats the best run between them, on average over its parts"
WORSE = "With too large a learning rate at an end the best run between beats the average of ends"


def gains_by_image(
    mixes: "pd.DataFrame", correct: "pd.DataFrame", datasets: Sequence[str]
) -> "list[list[np.ndarray]]":
    """Of each data set, for each mix (n,): whether the average is right minus whether the run is.

    Args:
        mixes: the rows of accuracy of `analyses.mixes.plan_endpoints`, with the column `best`.
        correct: which images each run has right.
    """
    from modelsoups.evaluation.paired import strata, unpack

    return [
        [
            unpack(row.right, row.n) - strata(correct, [row.best], [dataset])[0]
            for row in mixes[mixes["dataset"] == dataset].itertuples()
        ]
        for dataset in datasets
    ]


def endpoint_gains(
    mixes: "pd.DataFrame",
    scores: "pd.DataFrame",
    correct: "pd.DataFrame",
    roles: Mapping[str, str],
    too_large: Mapping[str, Sequence[int]],
) -> tuple["pd.DataFrame", list[Claim]]:
    """What each average gains over the best run between its ends, and the claims on that.

    Args:
        mixes: of `analyses.mixes.plan_endpoints`. scores, correct: of the sweep.
        too_large: grid -> places of runs whose learning rate is too large.
    Returns: grid, first, second (places in the grid), best (run), too_large (whether an end is
        so), and for each domain the difference of accuracies, fractions; and the claims.
    """
    import numpy as np

    from modelsoups.evaluation.scores import rank, the_dataset
    from modelsoups.evaluation.statistics import paired_difference

    ranked = rank(scores[scores["kind"] == "run"], the_dataset(roles, "held_out"), roles)
    rows = mixes[mixes["metric"] == "accuracy"].copy()
    rows["best"] = [next(r for r in ranked.index if r in each.split()) for each in rows["between"]]
    rows["too_large"] = [
        bool({row.first, row.second} & {*too_large.get(row.grid, ())}) for row in rows.itertuples()
    ]
    table = rows.drop_duplicates("mix")[["grid", "first", "second", "best", "too_large"]]
    table = table.reset_index(drop=True)
    claims = []
    for domain, datasets in sets_by_domain(roles).items():
        gains = gains_by_image(rows, correct, datasets)
        table[domain] = np.mean([[each.mean() for each in part] for part in gains], axis=0)
        for wrong, claim in ((False, BETTER), (True, WORSE)):
            places = np.flatnonzero(table["too_large"] == wrong)
            if not len(places):
                continue
            means = [np.mean([part[i] for i in places], axis=0) for part in gains]
            found = paired_difference([-each for each in means] if wrong else means)
            higher = int((table[domain].iloc[places] > 0).sum())
            claims.append(
                make_claim(
                    f"mean of {len(places)} parts: {in_points(found)}; the average is above at "
                    f"{higher} of them",
                    found,
                    claim=f"{claim} ({WHERE[domain]})",
                    domain=domain,
                    section="F",
                    paper="Often better; not where the learning rate 1e-4 is an end"
                    if wrong
                    else "Better for the majority of grids",
                )
            )
    return table, claims


def figure_f1(table: "pd.DataFrame", labels: Mapping[str, Sequence[str]], title: str) -> "Figure":
    """A square for every part of every grid: percentage points, as numbers and colours.

    Colours end at the largest difference without too large a learning rate.

    Args: table: of `endpoint_gains`. labels: grid -> what each of its runs is called.
    """
    from matplotlib.figure import Figure

    domains = domains_in(table)
    usual = table[~table["too_large"]] if not table["too_large"].all() else table
    most = 100 * float(usual[domains].abs().max().max()) or 1.0
    with styled():
        figure = Figure(figsize=(3.6 * len(labels) + 0.8, 3.5 * len(domains) + 0.6))
        panels = figure.subplots(len(domains), len(labels), squeeze=False)
        for row, domain in zip(panels, domains, strict=True):
            for axes, (grid, names) in zip(row, labels.items(), strict=True):
                shown = draw_grid(axes, table[table["grid"] == grid], domain, names, most)
                axes.set_title(f"{grid}: {DOMAINS[domain].lower()}")
        about = "Average of the two ends minus the best run between (percentage points)"
        figure.colorbar(shown, ax=panels, label=about, extend="both", shrink=0.8)
        figure.suptitle(title)
    return figure


def draw_grid(
    axes: "Axes", table: "pd.DataFrame", domain: str, names: Sequence[str], most: float
) -> Any:
    """The squares of one grid; returns what a colour bar needs."""
    import numpy as np

    values = np.full((len(names), len(names)), np.nan)
    values[table["second"], table["first"]] = 100 * table[domain]
    image = axes.imshow(values, cmap="RdBu", vmin=-most, vmax=most)
    for (y, x), value in np.ndenumerate(values):
        if not np.isnan(value):
            color = "white" if abs(value) > 0.6 * most else "black"
            axes.text(x, y, f"{value:+.1f}", ha="center", va="center", color=color, fontsize=9)
    last = len(names) - 1
    axes.set_xticks(range(last), names[:last], rotation=30, ha="right")
    axes.set_yticks(range(1, last + 1), names[1:])
    axes.set(xlim=(-0.5, last - 0.5), ylim=(last + 0.5, 0.5), xlabel="One end", ylabel="Other end")
    axes.grid(visible=False)
    return image


def name_runs(grids: Grids) -> dict[str, list[str]]:
    """Grid -> what its runs are called: the values that differ."""
    return {
        grid: [
            ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in match.values())
            for match in matches
        ]
        for grid, matches in grids.items()
    }


def too_large_places(spec: Spec) -> dict[str, list[int]]:
    """Grid -> places of the runs that the config calls too large."""
    wrong = spec.get("too_large", {})
    return {
        grid: [i for i, match in enumerate(matches) if wrong and wrong.items() <= match.items()]
        for grid, matches in full_matches(spec).items()
    }


def full_matches(spec: Spec) -> dict[str, list[dict[str, Any]]]:
    """Grid -> all hyper-parameters that the config names of its runs, in order."""
    return {
        grid: [{**spec.get("match", {}), **own} for own in matches]
        for grid, matches in spec["grids"].items()
    }


def make(given: Given) -> Made:
    """Figure F.1 and its claims."""
    from modelsoups.evaluation.scores import read_scores

    table, claims = endpoint_gains(
        given.read("endpoints"),
        read_scores(given.path("scores")),
        given.read("correct"),
        given.roles,
        too_large_places(given.spec),
    )
    figure = figure_f1(table, name_runs(given.spec["grids"]), given.study)
    return Made(table=table, figure=figure, claims=claims)


def analyses(spec: Spec) -> list[Analysis]:
    """The averages of the ends."""
    plan = {"kind": "endpoints", "grids": full_matches(spec)}
    return [Analysis(sweep=spec["sweep"], table="mixes/endpoints", plan=plan)]


def needs(spec: Spec) -> dict[str, Need | list[Need]]:
    """The averages of the ends, and the runs."""
    tables = {"endpoints": "mixes/endpoints", "scores": "scores", "correct": "correct"}
    return {name: Need(sweep=spec["sweep"], table=table) for name, table in tables.items()}


def problems(spec: Spec, study: Study) -> list[str]:
    """Runs of a grid that are not there."""
    found = [
        problem
        for matches in full_matches(spec).values()
        for match in matches
        for problem in needs_run(study, spec["sweep"], match)
    ]
    return list(dict.fromkeys(found))


RESULT = Result(
    name="figureF1",
    title="Figure F.1",
    section="F",
    kind="figure",
    about="Figure F.1: the ends of one-dimensional grids, averaged, against the best run between.",
    key="figureF1",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["sweep", "grids"],
        "properties": {
            "sweep": SWEEP,
            "grids": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"type": "array", "minItems": 2, "items": MATCH},
                "description": "Title of a grid -> the hyper-parameters in which its runs differ, "
                "run by run in order",
            },
            "match": {
                **MATCH,
                "description": "Hyper-parameters of all of these runs, where a grid names no other",
            },
            "too_large": {
                **MATCH,
                "description": "Hyper-parameters of runs with too large a learning rate, which the "
                "paper's claim leaves out",
            },
        },
    },
    needs=needs,
    analyses=analyses,
    names=one_sweep,
    problems=problems,
    make=make,
    caption=(
        "Figure F.1. Each square is a part of a one-dimensional grid: accuracy of the average of "
        "the models at its two ends minus that of the run, from one end to the other, that is best "
        "on the held-out set."
    ),
    paper=(
        "The average of the ends often beats the best run; an exception is too large a learning "
        "rate, 1e-4 with AdamW, at an end"
    ),
)
