"""Figure 2: loss and error on planes through the initialisation and two runs (Section 3.2)."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import WHERE, Claim, in_points, make_claim, percent
from modelsoups.paper.conditions import needs_initialization, needs_run
from modelsoups.paper.declare import (
    MATCH,
    MAX_IMAGES,
    SWEEP,
    Analysis,
    Given,
    Made,
    Need,
    Result,
    Spec,
    one_sweep,
)
from modelsoups.paper.domains import by_domain, difference_of_rows, domains_in, sets_by_domain
from modelsoups.paper.look import styled
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Plane -> how it is called; each is spanned by a run of `lr` and a second one.
PLANES = {
    "plane-seed": "Same learning rate",
    "plane-smaller-lr": "Smaller learning rate",
    "plane-larger-lr": "Larger learning rate",
}
EDGE = {"linestyle": "", "markeredgecolor": "black"}
CORNERS: dict[str, dict[str, Any]] = {
    "Initialization": {"marker": "*", "markersize": 12, "color": "white", **EDGE},
    "First run": {"marker": "s", "markersize": 7, "color": "tab:blue", **EDGE},
    "Second run": {"marker": "o", "markersize": 7, "color": "tab:red", **EDGE},
}
NAMES = {"start": "the initialisation", "first": "the first", "second": "the second"}
PANELS = {  # column -> title and factor
    "train_loss": ("Train loss (nats)", 1),
    "in_distribution": ("Test error (%)", 100),
    "shifts": ("Mean shift error (%)", 100),
}


def landscape(planes: "Mapping[str, pd.DataFrame]", roles: Mapping[str, str]) -> "pd.DataFrame":
    """Train loss, test error and shift error on planes.

    Args: planes: how a plane is called -> its mixes (`analyses.mixes.plan_plane`).
    Returns: plane, corner, x, y, the domains (errors, fractions), and train_loss where the study
        has a training set.
    """
    import pandas as pd

    from modelsoups.evaluation.scores import datasets_of

    keys = ["corner", "y", "x"]  # as the grid runs
    parts = []
    for plane, mixes in planes.items():
        errors = by_domain(mixes[mixes["metric"] == "accuracy"], roles, keys)
        errors[domains_in(errors)] = 1 - errors[domains_in(errors)]
        for train in datasets_of(roles, "train"):
            loss = mixes[(mixes["metric"] == "nll") & (mixes["dataset"] == train)]
            loss = loss[[*keys, "value"]].rename(columns={"value": "train_loss"})
            errors = errors.merge(loss, how="left", on=keys)
        parts.append(errors.assign(plane=plane))
    return pd.concat(parts, ignore_index=True)


def figure_2(table: "pd.DataFrame", title: str, log_levels: bool = True) -> "Figure":
    """Train loss, test error and shift error on planes; contours are log-scaled if asked for.

    The initialisation is a star, the first run a blue square, arrows show the fine-tuning.

    Args: table: of `landscape`.
    """
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = {name: text for name, text in PANELS.items() if name in table}
    planes = list(dict.fromkeys(table["plane"]))
    with styled():
        figure = Figure(figsize=(3.6 * len(columns) + 0.4, 3.1 * len(planes) + 0.5))
        grid = figure.subplots(len(planes), len(columns), squeeze=False)
        for row, plane in zip(grid, planes, strict=True):
            mixes = table[table["plane"] == plane]
            nodes = mixes[mixes["corner"] == ""]
            start, first, second = (
                mixes[mixes["corner"] == corner].iloc[0] for corner in ("start", "first", "second")
            )
            for axes, (name, (label, factor)) in zip(row, columns.items(), strict=True):
                values = factor * nodes.pivot(index="y", columns="x", values=name)
                low, high = float(values.min().min()), float(values.max().max())
                spaced = (
                    low + (high - low) * np.geomspace(0.01, 1, 12)
                    if log_levels
                    else np.linspace(low, high, 12)
                )
                levels = np.unique([low, *spaced]) if high > low else [low, low + 1]
                at = values.columns, values.index, values
                shape = axes.contourf(*at, levels=levels, cmap="viridis_r")
                if high > low:  # a flat plane has no lines
                    axes.contour(*at, levels=levels, colors="w", linewidths=0.4)
                for end in (first, second):
                    axes.annotate(
                        "",
                        (end["x"], end["y"]),
                        (start["x"], start["y"]),
                        arrowprops={"arrowstyle": "->", "color": "0.45", "shrinkB": 5},
                    )
                for corner, look in zip((start, first, second), CORNERS.values(), strict=True):
                    axes.plot(corner["x"], corner["y"], zorder=3, **look)
                axes.set_title(label if plane == planes[0] else "")
                axes.set_xlabel("Along $u_1$ (distance)")
                axes.set_ylabel(f"{plane}\nAlong $u_2$" if name == next(iter(columns)) else "")
                axes.set_aspect("equal")  # "the angle between the arrows" (footnote 2)
                axes.grid(False)
                figure.colorbar(shape, ax=axes, format="%.3g")
        figure.suptitle(title)
        handles = [Line2D([], [], label=label, **look) for label, look in CORNERS.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def describe(table: "pd.DataFrame") -> str:
    """The least error on each plane beside that of its three corners; no test."""
    parts = []
    for plane, rows in table.groupby("plane", sort=False):
        for domain, name in (("in_distribution", "test"), ("shifts", "mean shift")):
            if domain in rows:
                corners = rows[rows["corner"] != ""].set_index("corner")[domain]
                least = rows[rows["corner"] == ""][domain].min()
                parts.append(
                    f"{plane}, {name} error: least on the grid {percent(least)}, at the "
                    f"initialisation {percent(corners['start'])}, at the runs "
                    f"{100 * corners['first']:.1f} and {percent(corners['second'])}"
                )
    return "; ".join(parts) + ". The least of many mixes is flattered; no test is made."


def corner_claims(mixes: "pd.DataFrame", roles: Mapping[str, str]) -> list[Claim]:
    """None of the corners of a plane is optimal: the middle of its two runs is above all three.

    The middle is one mix, named beforehand: the best of a grid would be flattered.

    Args: mixes: of `analyses.mixes.plan_plane`.
    """
    from modelsoups.evaluation.statistics import weakest

    middle = mixes[mixes["corner"] == "middle"]
    claims = []
    for domain, datasets in sets_by_domain(roles).items():
        found = {
            name: difference_of_rows(middle, mixes[mixes["corner"] == corner], datasets)
            for corner, name in NAMES.items()
        }
        texts = [f"{name} {in_points(each)}" for name, each in found.items()]
        claims.append(
            make_claim(
                f"accuracy of the middle of two seeds minus {'; '.join(texts)}",
                weakest(list(found.values())),
                claim=f"The best solution is no corner of the plane, but between ({WHERE[domain]})",
                domain=domain,
                section="3.2",
                paper="Figure 2",
            )
        )
    return claims


def barrier_claims(mixes: "pd.DataFrame", roles: Mapping[str, str]) -> list[Claim]:
    """With a learning rate that is too large, error rises between the runs.

    Args: as of `corner_claims`, of the plane with that learning rate.
    """
    middle = mixes[mixes["corner"] == "middle"]
    ends = mixes[mixes["corner"].isin(["first", "second"])]
    claims = []
    for domain, datasets in sets_by_domain(roles).items():
        found = difference_of_rows(ends, middle, datasets)
        claims.append(
            make_claim(
                f"error of the middle minus the mean error of the two runs: {in_points(found)}",
                found,
                claim=f"With a large learning rate there is a barrier of error between runs "
                f"({WHERE[domain]})",
                domain=domain,
                section="J.1",
                paper="Figure J.1",
            )
        )
    return claims


def draw(
    given: Given,
    planes: Sequence[str],
    log_levels: bool,
    judge: "Callable[[pd.DataFrame, Mapping[str, str]], list[Claim]]",
) -> Made:
    """Two planes of the spec's sweep. Args: judge: gives the claims on one of them."""
    mixes = dict(zip(planes, given.read_all("planes"), strict=True))
    table = landscape({PLANES[plane]: rows for plane, rows in mixes.items()}, given.roles)
    figure = figure_2(table, given.study, log_levels)
    judged = mixes["plane-seed" if judge is corner_claims else planes[1]]
    return Made(
        table=table, figure=figure, found=[describe(table)], claims=judge(judged, given.roles)
    )


def settings(spec: Spec) -> dict[str, dict[str, Any]]:
    """Plane -> hyper-parameters of its second run; under "" those of the first, which all share."""
    seeds = spec.get("seeds", [0, 1])
    first = {**spec.get("match", {}), "lr": spec["lr"], "seed": seeds[0]}
    found = {"": first, "plane-seed": {**first, "seed": seeds[1]}}
    for key in ("smaller_lr", "larger_lr"):
        if key in spec:
            found[f"plane-{key.replace('_', '-')}"] = {**first, "lr": spec[key]}
    return found


def ask_for(spec: Spec, planes: Sequence[str]) -> list[Analysis]:
    """The planes' analyses."""
    runs = settings(spec)
    shared = {key: spec.get(key) for key in ("resolution", "max_images")}
    return [
        Analysis(
            sweep=spec["sweep"],
            table=f"mixes/{plane}",
            plan={"kind": "plane", "first": runs[""], "second": runs[plane], **shared},
        )
        for plane in planes
    ]


def read(spec: Spec, planes: Sequence[str]) -> dict[str, Need | list[Need]]:
    """The planes' mixes."""
    return {"planes": [Need(sweep=spec["sweep"], table=f"mixes/{plane}") for plane in planes]}


def problems(spec: Spec, study: Study, planes: Sequence[str]) -> list[str]:
    """Runs that span the planes, and are not there."""
    runs = settings(spec)
    found = needs_initialization(study, spec["sweep"])
    for plane in ("", *planes):
        found += needs_run(study, spec["sweep"], runs[plane])
    return found


DRAWN = ("plane-seed", "plane-smaller-lr")

RESULT = Result(
    name="figure2",
    title="Figure 2",
    section="3.2",
    kind="figure",
    about="Figure 2: loss and error on planes through the initialisation and two runs.",
    key="figure2",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["sweep", "lr", "smaller_lr", "resolution"],
        "properties": {
            "sweep": SWEEP,
            "match": {**MATCH, "description": "Other hyper-parameters of the runs"},
            "lr": {"type": "number", "description": "Learning rate of the run in every plane"},
            "smaller_lr": {
                "type": "number",
                "description": "Learning rate of the second run of Figure 2's lower plane",
            },
            "larger_lr": {
                "type": "number",
                "description": "The same of Figure J.1, which is made if it is given",
            },
            "seeds": {
                "type": "array",
                "minItems": 2,
                "maxItems": 2,
                "items": {"type": "integer"},
                "description": "Seeds of the two runs of the upper plane; 0 and 1 if left out",
            },
            "resolution": {"type": "integer", "minimum": 3, "description": "Mixes along a side"},
            "max_images": MAX_IMAGES,
        },
    },
    needs=lambda spec: read(spec, DRAWN),
    analyses=lambda spec: ask_for(spec, DRAWN),
    names=one_sweep,
    problems=lambda spec, study: problems(spec, study, DRAWN),
    make=lambda given: draw(given, DRAWN, log_levels=True, judge=corner_claims),
    caption=(
        "Figure 2. Train loss, test error and mean shift error on the plane through the "
        "initialisation and two runs, which differ in seed (top) or learning rate (bottom)."
    ),
    paper="The best solution lies between the runs, not at one",
)
