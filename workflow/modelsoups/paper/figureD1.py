"""Figure D.1: WiSE-FT curves of runs and of soups (Appendix D)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import Claim, in_points, make_claim
from modelsoups.paper.conditions import needs_initialization
from modelsoups.paper.declare import (
    MAX_IMAGES,
    SWEEP,
    Analysis,
    Given,
    Made,
    Need,
    Result,
    Spec,
)
from modelsoups.paper.domains import by_domain, difference_of_rows, sets_by_domain
from modelsoups.paper.look import INITIALIZATION, RUNS, as_line, styled
from modelsoups.soups.registry import Method
from modelsoups.study.search import INITIALIZATION as START
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def wise_curves(
    mixes: "Mapping[str, pd.DataFrame]", roles: Mapping[str, str], soups: Sequence[str]
) -> "pd.DataFrame":
    """Accuracy along the lines from the initialisation to runs and soups.

    Args: mixes: sweep -> of `analyses.mixes.plan_wise`. soups: which of the models are soups.
    Returns: sweep, model, kind (run or soup), alpha (0 is the initialisation, 1 the model), the
        domains.
    """
    import pandas as pd

    parts = []
    for sweep, table in mixes.items():
        keys = ["model", "alpha"]
        curves = by_domain(table[table["metric"] == "accuracy"], roles, keys)
        start = curves[curves["alpha"] == 0]
        for model, curve in curves[curves["alpha"] > 0].groupby("model", sort=False):
            whole = pd.concat([start.assign(model=model), curve.sort_values("alpha")])
            parts.append(whole.assign(sweep=sweep, kind="soup" if model in soups else "run"))
    return pd.concat(parts, ignore_index=True)


def figure_d1(table: "pd.DataFrame", title: str, methods: Mapping[str, Method]) -> "Figure":
    """WiSE-FT curves of runs and soups against the initialisation, one panel a sweep.

    Without shift sets accuracy in distribution is drawn along the line, over alpha.

    Args: table: of `wise_curves`. methods: soup -> its row.
    """
    from matplotlib.figure import Figure

    sweeps = list(dict.fromkeys(table["sweep"]))
    shifted = "shifts" in table
    labels = (
        ("Accuracy in distribution (top-1, %)", "Mean accuracy on the shift sets (top-1, %)")
        if shifted
        else ("Share of the model in the mix (alpha)", "Accuracy in distribution (top-1, %)")
    )
    with styled():
        figure = Figure(figsize=(4.8 * len(sweeps) + 0.8, 4.6))
        for axes, sweep in zip(
            figure.subplots(1, len(sweeps), squeeze=False)[0], sweeps, strict=True
        ):
            curves = table[table["sweep"] == sweep]
            for (model, kind), curve in curves.groupby(["model", "kind"], sort=False):
                soup = kind == "soup"
                look = methods[model].look if soup else RUNS
                axes.plot(
                    *_coordinates(curve, shifted),
                    color=as_line(look)["color"],
                    alpha=1 if soup else 0.35,
                    marker="o" if soup else ".",
                    markersize=4,
                    label=methods[model].label if soup else "Individual models",
                    zorder=3 if soup else 2,
                )
            axes.scatter(
                *_coordinates(curves[curves["alpha"] == 0].iloc[[0]], shifted),
                label="Initialization",
                zorder=4,
                **INITIALIZATION,
            )
            axes.set(title=sweep, xlabel=labels[0])
        figure.axes[0].set_ylabel(labels[1])
        figure.suptitle(title)
        handles, names = figure.axes[0].get_legend_handles_labels()
        once = dict(zip(names, handles, strict=True))
        figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=2)
    return figure


def _coordinates(curve: "pd.DataFrame", shifted: bool) -> tuple[Any, Any]:
    inside = 100 * curve["in_distribution"]
    return (inside, 100 * curve["shifts"]) if shifted else (curve["alpha"], inside)


def describe(table: "pd.DataFrame") -> str:
    """How many mixes on the runs' curves are at least as good as a soup in both domains; no test.

    Args: table: of `wise_curves`.
    """
    if "shifts" not in table:
        return "The study has no shift sets."
    parts = []
    soups = table[table["kind"] == "soup"]
    for (sweep, soup), curve in soups.groupby(["sweep", "model"], sort=False):
        end = curve[curve["alpha"] == curve["alpha"].max()].iloc[0]
        runs = table[(table["sweep"] == sweep) & (table["kind"] == "run")]
        better = (runs["in_distribution"] >= end["in_distribution"]) & (
            runs["shifts"] >= end["shifts"]
        )
        parts.append(
            f"{sweep}, {soup} soup: {better.sum()} of {len(runs)} mixes on the runs' curves are at "
            "least as good in both"
        )
    return "; ".join(parts) + ". No test is made."


def curve_claims(
    mixes: "Mapping[str, pd.DataFrame]", roles: Mapping[str, str], soups: Sequence[str]
) -> list[Claim]:
    """The soups lie beyond the curves of all runs: their accuracy, averaged over both domains, is
    above that of every mix on a run's curve. And mixing a soup with the initialisation is better on
    the shifts: judged by the mix that has the most of the soup, so that none is chosen on them.

    Args: as of `wise_curves`.
    """
    from modelsoups.evaluation.statistics import weakest

    domains = sets_by_domain(roles)
    if len(domains) < 2:
        return []
    reported = [dataset for datasets in domains.values() for dataset in datasets]
    claims = []
    for sweep, table in mixes.items():
        runs = table[~table["model"].isin([*soups, START]) & (table["metric"] == "accuracy")]
        for soup in soups:
            curve = table[(table["model"] == soup) & (table["metric"] == "accuracy")]
            end = curve[curve["alpha"] == curve["alpha"].max()]
            if end.empty or runs.empty:
                continue
            found = {
                mix: difference_of_rows(end, rows, reported, weights_of(domains))
                for mix, rows in runs.groupby(["model", "alpha"], sort=False)
            }
            (model, alpha), least = min(found.items(), key=lambda item: item[1].value)
            claims.append(
                make_claim(
                    f"{sweep}: {soup} soup minus the best of {len(found)} mixes (alpha = "
                    f"{alpha:g} of {model}): {in_points(least)}",
                    weakest(list(found.values())),
                    claim=f"The {soup} soup lies beyond the WiSE-FT curves of all runs ({sweep})",
                    section="D",
                    paper="Figure D.1",
                )
            )
            mixed = curve[curve["alpha"] < curve["alpha"].max()]
            if mixed.empty:
                continue
            share = mixed["alpha"].max()
            gain = difference_of_rows(mixed[mixed["alpha"] == share], end, domains["shifts"])
            claims.append(
                make_claim(
                    f"{sweep}: alpha = {share:g} minus the {soup} soup itself: {in_points(gain)}",
                    gain,
                    claim=f"Mixed with the initialization the {soup} soup is better on the shifts "
                    f"({sweep})",
                    section="D",
                    paper="Interpolating provides additional improvements on the shifts",
                    domain="shifts",
                )
            )
    return claims


def weights_of(domains: Mapping[str, Sequence[str]]) -> list[float]:
    """Weight of each data set in a mean over domains."""
    return [1 / len(domains) / len(datasets) for datasets in domains.values() for _ in datasets]


def make(given: Given) -> Made:
    """Figure D.1 and its claims."""
    mixes = dict(zip(given.spec["sweeps"], given.read_all("wise"), strict=True))
    table = wise_curves(mixes, given.roles, given.spec["soups"])
    figure = figure_d1(table, given.study, given.methods)
    return Made(
        table=table,
        figure=figure,
        found=[describe(table)],
        claims=curve_claims(mixes, given.roles, given.spec["soups"]),
    )


def analyses(spec: Spec) -> list[Analysis]:
    """The lines of every sweep."""
    plan = {
        **{"kind": "wise", "max_images": spec.get("max_images")},
        **{"alphas": spec["alphas"], "soups": spec["soups"]},
    }
    return [Analysis(sweep=sweep, table="mixes/wise", plan=plan) for sweep in spec["sweeps"]]


def names(spec: Spec) -> list[tuple[str, str]]:
    """Sweeps and soups."""
    return [
        *(("sweep", sweep) for sweep in spec["sweeps"]),
        *(("recipe", soup) for soup in spec["soups"]),
    ]


def problems(spec: Spec, study: Study) -> list[str]:
    """Sweeps without an initialisation, or without one of the soups."""
    found = []
    for sweep in spec["sweeps"]:
        found += needs_initialization(study, sweep)
        found += [
            f"{sweep} has no soup {soup!r}; it has {', '.join(study.recipes_of(sweep)) or 'none'}"
            for soup in spec["soups"]
            if soup not in study.recipes_of(sweep)
        ]
    return found


RESULT = Result(
    name="figureD1",
    title="Figure D.1",
    section="D",
    kind="figure",
    about="Figure D.1: WiSE-FT curves of runs and soups.",
    key="figureD1",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["sweeps", "alphas", "soups"],
        "properties": {
            "sweeps": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": SWEEP,
                "description": "A panel each",
            },
            "alphas": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                "description": "Shares of the model; the rest is the initialisation",
            },
            "soups": {
                "type": "array",
                "uniqueItems": True,
                "items": {"type": "string"},
                "description": "Recipes whose soups have a curve beside all runs",
            },
            "max_images": MAX_IMAGES,
        },
    },
    needs=lambda spec: {
        "wise": [Need(sweep=sweep, table="mixes/wise") for sweep in spec["sweeps"]]
    },
    analyses=analyses,
    names=names,
    problems=problems,
    make=make,
    caption=(
        "Figure D.1. WiSE-FT: from the initialisation to each run and each soup. Runs have one "
        "colour; the paper's right panel has one for each augmentation."
    ),
    paper="The soups lie beyond the curves of all runs",
)
