"""Figure B.2: accuracy and calibration of soups and ensembles of seeds (Section 5, Appendix B)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import Claim, in_points, make_claim, points
from modelsoups.paper.conditions import needs_seeds
from modelsoups.paper.declare import Given, Made, Result, Spec, one_sweep
from modelsoups.paper.domains import DOMAINS, domains_in
from modelsoups.paper.look import styled
from modelsoups.paper.seeds import (
    LOOKS,
    PLAIN,
    SCHEMA,
    ask_for,
    draw_lines,
    need,
    seeds_curves,
)
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

METRICS = {  # -> title and factor
    "accuracy": ("Accuracy (top-1, %)", 100),
    "ece": ("ECE (%)", 100),
    "nll": ("NLL (nats)", 1),
}
MARGIN = 0.01  # of ECE: soups and runs that differ by less are calibrated alike


def figure_b2(table: "pd.DataFrame", title: str) -> "Figure":
    """Accuracy, ECE and NLL of soups and ensembles of seeds, with and without calibration.

    Calibration does not change accuracy by design there, so those curves are omitted.

    Args: table: of `seeds_curves`, of one sweep.
    """
    from matplotlib.figure import Figure

    domains = domains_in(table)
    with styled():
        figure = Figure(figsize=(10, 3.2 * len(domains) + 0.8))
        grid = figure.subplots(len(domains), len(METRICS), squeeze=False)
        for row, domain in zip(grid, domains, strict=True):
            for axes, (metric, (label, factor)) in zip(row, METRICS.items(), strict=True):
                methods = PLAIN if metric == "accuracy" else list(LOOKS)
                draw_lines(axes, table[table["metric"] == metric], domain, factor, methods)
                axes.set(ylabel=label, title=DOMAINS[domain] if metric == "accuracy" else "")
                axes.set_xlabel("Number of models")
        figure.suptitle(title)
        handles, labels = grid[0][1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure


def calibration_claims(seeds: "pd.DataFrame", roles: Mapping[str, str]) -> list[Claim]:
    """Ensembles improve calibration, soups do not: a soup is worse calibrated than its ensemble,
    and as its runs are, up to MARGIN.

    Args: seeds: of `analyses.seeds.study_seeds`.
    """
    from modelsoups.evaluation.scores import the_dataset
    from modelsoups.evaluation.statistics import estimate, within

    inside = seeds[seeds["dataset"] == the_dataset(roles, "test")]
    found = {
        (row.method, row.metric): row
        for row in inside[inside["metric"].isin(["ece_gain", "ece_excess"])].itertuples()
    }
    if not {("soup", "ece_gain"), ("ensemble", "ece_gain")} <= found.keys():
        return []
    soup, ensemble, excess = (
        estimate(float(row.value), float(row.error))
        for row in (
            found["soup", "ece_gain"],
            found["ensemble", "ece_gain"],
            found["soup", "ece_excess"],
        )
    )
    number = found["soup", "ece_gain"].k
    texts: Any = {"section": "B", "paper": "Figure B.2"}
    change = f"ECE of the {{}} of {number} runs minus the runs' own: {{}}"
    return [
        make_claim(
            change.format("ensemble", in_points(ensemble)),
            estimate(-ensemble.value, float(found["ensemble", "ece_gain"].error)),
            claim="An ensemble of seeds is better calibrated than its runs",
            **texts,
        ),
        make_claim(
            f"ECE of the soup of {number} runs minus their ensemble's: {in_points(excess)}",
            excess,
            claim="A soup of seeds is worse calibrated than the ensemble",
            **texts,
        ),
        make_claim(
            change.format("soup", in_points(soup)),
            within(soup, MARGIN),
            claim=f"A soup of seeds is calibrated as its runs are, within {points(MARGIN)[1:]}",
            **texts,
        ),
    ]


def make(given: Given) -> Made:
    """Figure B.2 and its claims."""
    seeds = given.read("seeds")
    table = seeds_curves(seeds, given.roles, list(METRICS))
    claims = calibration_claims(seeds, given.roles)
    return Made(table=table, figure=figure_b2(table, given.study), claims=claims)


def problems(spec: Spec, study: Study) -> list[str]:
    """Runs that are not there, or differ in more than their seed."""
    return needs_seeds(study, spec["sweep"], spec.get("match", {}))


RESULT = Result(
    name="figureB2",
    title="Figure B.2",
    section="B",
    kind="figure",
    about="Figure B.2: accuracy and calibration of soups and ensembles of seeds.",
    key="figureB2",
    schema=SCHEMA,
    needs=lambda spec: {"seeds": need(spec)},
    analyses=lambda spec: [ask_for(spec)],
    names=one_sweep,
    problems=problems,
    make=make,
    caption=(
        "Figure B.2. Accuracy, expected calibration error (15 bins of equal mass) and negative "
        "log-likelihood of soups and ensembles of runs that differ in their seed; dashed: of runs "
        "calibrated by a temperature each, fitted on the held-out set."
    ),
    paper="Ensembles improve calibration, soups do not",
)
