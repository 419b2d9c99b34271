"""Figure K.1: soup minus ensemble, true and by the paper's approximation (Section 4, App. K)."""

from collections.abc import Callable, Sequence
from itertools import product
from math import isnan, nan
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import MIN_PAIRS, STRONG, Claim, make_claim
from modelsoups.paper.conditions import needs_initialization, needs_run, needs_settings
from modelsoups.paper.declare import (
    MATCH,
    MAX_IMAGES,
    SWEEP,
    Analysis,
    Given,
    Made,
    Result,
    Spec,
    one_sweep,
    table_need,
)
from modelsoups.paper.look import styled
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from modelsoups.evaluation.statistics import Estimate

LOOKS: dict[str, dict[str, Any]] = {  # what two models differ in -> look
    "learning rate": {"marker": "s", "color": "tab:orange"},
    "augmentation": {"marker": "^", "color": "tab:green"},
    "seed": {"marker": "o", "color": "tab:blue"},
    "initialization": {"marker": "x", "color": "0.4"},
}


def panels(table: "pd.DataFrame", high_lr: float) -> "list[tuple[str, str, pd.DataFrame]]":
    """Label, column of the truth and rows of the six panels, row by row.

    Left: loss, all pairs; centre and right: loss and error without the pairs of the high learning
    rate. Top: inverse temperature calibrated on the soup; bottom: 1.
    """
    found = []
    for calibrated, beta in ((True, "calibrated"), (False, "beta = 1")):
        rows = table[table["calibrated"] == calibrated]
        moderate = rows[rows["larger_lr"] < high_lr]
        found += [
            (f"Loss, all pairs ({beta})", "loss_difference", rows),
            (f"Loss, without high lr ({beta})", "loss_difference", moderate),
            (f"Error, without high lr ({beta})", "error_difference", moderate),
        ]
    return found


def figure_k1(
    table: "pd.DataFrame", title: str, high_lr: float, curvature: str, notes: Sequence[str]
) -> "Figure":
    """True soup minus ensemble difference against its approximation, in the six `panels`.

    Args:
        table: of `analyses.approximation.approximate_pairs`.
        curvature: its column forward_mode or differences. notes: text in each of the panels.
    """
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=(11, 7.4))
        grid = figure.subplots(2, 3)
        everything = zip(grid.ravel(), panels(table, high_lr), notes, strict=True)
        for axes, (label, truth, rows), note in everything:
            factor = 100 if truth == "error_difference" else 1
            for what, look in LOOKS.items():
                chosen = rows[rows["varied"] == what]
                axes.scatter(chosen[curvature], factor * chosen[truth], s=12, label=what, **look)
            axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
            axes.axvline(0, color="0.7", linewidth=0.8, zorder=0)
            axes.set_title(f"{label}\n{note}", fontsize=9)
            axes.set_xlabel("Approximated loss difference (nats)")
            axes.set_ylabel(
                "True error difference (points)" if factor == 100 else "True loss difference (nats)"
            )
        figure.suptitle(f"{title}: soup minus ensemble")
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=4, title="The two models differ in"
        )
    return figure


def describe_panels(table: "pd.DataFrame", high_lr: float, curvature: str) -> list[str]:
    """Correlation and agreement in sign of each of the `panels`."""
    from modelsoups.analyses.approximation import agreement
    from modelsoups.evaluation.statistics import LEVEL

    notes = []
    for _, truth, rows in panels(table, high_lr):
        found = agreement(rows, truth, curvature)
        r = found.correlation
        notes.append(
            f"{len(rows)} comparisons, too few or too alike"
            if isnan(r.value)
            else f"r = {r.value:.2f} ({100 * LEVEL:.0f} %: {r.low:.2f} to {r.high:.2f}), same sign "
            f"{100 * (found.same_sign.value + 0.5):.0f} %"
        )
    return notes


def approximation_claims(table: "pd.DataFrame", high_lr: float, curvature: str) -> list[Claim]:
    """The approximation predicts the differences in loss and error, and their sign; calibration
    helps.

    Of fewer than MIN_PAIRS pairs of models nothing is said.

    Args: as `figure_k1`.
    """
    from modelsoups.analyses.approximation import agreement, gain_of_calibration
    from modelsoups.evaluation.statistics import estimate, shifted

    texts: Any = {
        "section": "4, K",
        "paper": "Strongly correlated without the highest learning rate",
    }
    how = (
        f"high learning rate left out, second derivative by {curvature.replace('_', ' ')}; true "
        "differences of all images"
    )
    claims = []
    found_panels = panels(table, high_lr)
    for what, (_, truth, rows) in (("loss", found_panels[1]), ("error", found_panels[2])):
        if rows["start"].nunique() < 2 and rows["end"].nunique() < 2:
            continue
        found = agreement(rows, truth, curvature, STRONG)
        number = f"{found.n} comparisons of {found.num_pairs} pairs"
        enough = found.num_pairs >= MIN_PAIRS
        r = found.correlation if enough else estimate(nan, nan)
        correlation = (
            "no correlation: too few or too alike"
            if isnan(r.value)
            else f"correlation {r.value:.2f} ({r.low:.2f} to {r.high:.2f}), above {STRONG:g} is "
            "asked for"
        )
        claims.append(
            make_claim(
                f"{correlation}, {number}; {how}",
                shifted(r, -STRONG),
                unit="correlation",
                claim=f"The approximation predicts the {what} difference of soup and ensemble",
                **texts,
            )
        )
        signs = found.same_sign if enough else estimate(nan, nan)
        if what == "loss":
            claims.append(
                make_claim(
                    f"{said(signs, in_signs)}, {number}; {how}",
                    signs,
                    claim="The approximation tells whether the soup or the ensemble has less loss",
                    **texts,
                )
            )
            both = table[table["larger_lr"] < high_lr]
            gain = gain_of_calibration(both, truth, curvature) if enough else estimate(nan, nan)
            claims.append(
                make_claim(
                    f"{said(gain, in_transformed)}, {number}; {how}",
                    gain,
                    unit="",
                    claim="Calibrating beta improves the approximation",
                    section="4, K",
                    paper="Correlations of Figure K.1, top and bottom",
                )
            )
    return claims


def said(found: "Estimate", text: "Callable[[Estimate], str]") -> str:
    """A number in words, if there is one."""
    return "too few pairs, or too alike" if isnan(found.value) else text(found)


def in_signs(found: "Estimate") -> str:
    """Same signs. Args: found: their fraction minus a half."""
    value, low, high = (100 * (each + 0.5) for each in (found.value, found.low, found.high))
    return f"the same sign in {value:.0f} % ({low:.0f} to {high:.0f} %)"


def in_transformed(found: "Estimate") -> str:
    """A gain in correlation."""
    return (
        f"Fisher's transform of r, calibrated minus not: {found.value:.2f} ({found.low:.2f} to "
        f"{found.high:.2f})"
    )


def make(given: Given) -> Made:
    """Figure K.1 and its claims."""
    table, spec = given.read("approximation"), given.spec
    chosen = spec["high_lr"], spec["curvature"]
    figure = figure_k1(table, given.study, *chosen, describe_panels(table, *chosen))
    return Made(table=table, figure=figure, claims=approximation_claims(table, *chosen))


def analyses(spec: Spec) -> list[Analysis]:
    """The pairs of K.4. How they are drawn is no part of it."""
    drawn = ("sweep", "high_lr", "curvature")
    plan = {name: value for name, value in spec.items() if name not in drawn}
    return [Analysis(sweep=spec["sweep"], table="approximation", plan=plan)]


def problems(spec: Spec, study: Study) -> list[str]:
    """No initialisation, or runs of the pairs that are not there."""
    sweep = spec["sweep"]
    if missing := [*needs_initialization(study, sweep), *needs_settings(study, sweep)]:
        return missing
    if min(spec["learning_rates"]) >= spec["high_lr"]:
        return [f"no learning rate is below high_lr {spec['high_lr']}: two panels would be empty"]
    return [
        problem
        for lr, level, seed in product(spec["learning_rates"], spec["levels"], spec["seeds"])
        for problem in needs_run(study, sweep, {"lr": lr, "seed": seed, **level})
    ]


RESULT = Result(
    name="figureK1",
    title="Figure K.1",
    section="4",
    kind="figure",
    about="Figure K.1: soup minus ensemble, true and by the paper's approximation.",
    key="figureK1",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": [
            *("sweep", "learning_rates", "levels", "seeds"),
            *("alphas", "high_lr", "curvature"),
        ],
        "properties": {
            "sweep": SWEEP,
            "learning_rates": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "number"},
                "description": "Learning rates of the runs that are paired",
            },
            "levels": {
                "type": "array",
                "minItems": 1,
                "items": MATCH,
                "description": "Hyper-parameters of each level of augmentation",
            },
            "seeds": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "integer"},
                "description": "Seeds; pairs that do not differ in it have the first",
            },
            "alphas": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "number", "minimum": 0.1, "maximum": 0.9},
                "description": "Shares of the second model in the soup",
            },
            "high_lr": {
                "type": "number",
                "description": "Pairs from this learning rate on are left out of centre and right",
            },
            "curvature": {
                "enum": ["forward_mode", "differences"],
                "description": "How the second derivative that is drawn was found",
            },
            "max_images": {
                **MAX_IMAGES,
                "description": "Images of each data set that derivatives are taken on; all if left "
                "out. The true differences are of all images",
            },
        },
    },
    needs=table_need("approximation"),
    analyses=analyses,
    names=one_sweep,
    problems=problems,
    make=make,
    caption=(
        "Figure K.1. True difference of soup and ensemble against the approximation of eq. 1, one "
        "marker a pair of models, alpha and data set. A sample of images, if there is one, is "
        "the approximation's; true differences are of all."
    ),
    paper=(
        "The approximation is strongly correlated with the differences in loss and error unless "
        "the learning rate is high, and calibration helps"
    ),
)
