"""What holds here: the paper's claims, this study's numbers and intervals, computed verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from modelsoups.analyses.approximation import agreement
from modelsoups.analyses.evidence import k1_panels
from modelsoups.evaluation.paired import compare
from modelsoups.evaluation.scores import accuracies_by_model, datasets_of, rank, the_dataset
from modelsoups.evaluation.statistics import LEVEL, bootstrap_interval
from modelsoups.paper.tables import join_markdown

HOLDS = "holds"
FAILS = "does not hold"
OPEN = "not decided by this much data"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the paper and what this study has to say to it."""

    claim: str
    section: str  # of the paper
    paper: str  # the paper's evidence
    here: str  # this study's numbers
    value: float  # the number that decides: the claim says that it is above zero
    low: float  # its 95 % interval; NaN where it is exact
    high: float
    verdict: str
    shown_in: str  # tables and figures, joined by a space


def verdict(value: float, low: float = nan, high: float = nan) -> str:
    """The verdict on a claim that a number is above zero, from its interval.

    A number without an interval (NaN) is exact: the claim then says that it is not below zero. An
    interval from zero to zero, of two models that are one, says that neither is better.
    """
    if np.isnan(value):
        return OPEN
    if np.isnan(low) or np.isnan(high):
        return HOLDS if value >= 0 else FAILS
    return HOLDS if low > 0 else FAILS if high < 0 or low == high == 0 else OPEN


def make_claim(here: str, value: float, low: float, high: float, **texts: str) -> Claim:
    """A claim with its verdict."""
    decided = verdict(value, low, high)
    return Claim(here=here, value=value, low=low, high=high, verdict=decided, **texts)


def soup_claims(
    scores: pd.DataFrame, correct: pd.DataFrame, roles: Mapping[str, str], sweep: str
) -> list[Claim]:
    """Claims on the greedy soup, the best run and the ensemble of a sweep (Sec. 2, 3.3.1)."""
    test, shifts = the_dataset(roles, "test"), datasets_of(roles, "shift")
    held_out = the_dataset(roles, "held_out")
    best = rank(scores[scores["kind"] == "run"], held_out, roles).index[0]
    on_held_out = accuracies_by_model(scores, [held_out])[0][held_out]
    gain = on_held_out["greedy"] - on_held_out[best]
    claims = [
        make_claim(
            f"{100 * on_held_out['greedy']:.2f} % against {100 * on_held_out[best]:.2f} % "
            f"({points(gain)}), sweep {sweep}",
            gain,
            nan,
            nan,
            claim="The greedy soup is no worse than the best run on the held-out set",
            section="2",
            paper="By construction",
            shown_in="table3",
        )
    ]
    for claim, paper, first, second, datasets, where in (
        (
            "The greedy soup beats the best run in distribution",
            "81.03 % against 80.38 %",
            "greedy",
            best,
            [test],
            "table3 table4 figure1 figureL3 figureB1",
        ),
        (
            "The greedy soup beats the best run on the shifts",
            "50.75 % against 47.83 %",
            "greedy",
            best,
            shifts,
            "table3 table4 figure1 figureL3 figureB1",
        ),
        (
            "The ensemble is better than the greedy soup in distribution",
            "81.19 % against 81.03 %",
            "ensemble",
            "greedy",
            [test],
            "table3 figureL3 figureB1",
        ),
        (
            "The greedy soup is better than the ensemble on the shifts",
            "So the text; Table 3 has 50.75 % against 50.77 %",
            "greedy",
            "ensemble",
            shifts,
            "table3 figureL3 figureB1",
        ),
    ):
        if datasets and {first, second} <= set(correct):
            claims.append(
                compared(correct, first, second, datasets, sweep, claim, "3.3.1", paper, where)
            )
    return claims


def compared(
    correct: pd.DataFrame,
    first: str,
    second: str,
    datasets: Sequence[str],
    sweep: str,
    claim: str,
    section: str,
    paper: str,
    shown_in: str,
) -> Claim:
    """The claim that the first model is better than the second."""
    found = compare(correct, [first], [second], datasets)
    here = (
        f"{first} minus {second}: {points(found.difference, found.low, found.high)}, "
        f"p = {found.p:.2g}, sweep {sweep}"
    )
    return make_claim(
        here,
        *(found.difference, found.low, found.high),
        claim=claim,
        section=section,
        paper=paper,
        shown_in=shown_in,
    )


def uniform_claims(
    scores: Mapping[str, pd.DataFrame],
    correct: Mapping[str, pd.DataFrame],
    roles: Mapping[str, str],
    all_good: str,
    some_bad: str,
) -> list[Claim]:
    """The uniform soup helps where all runs are good, and not where some are bad (Sec. 3.3.1).

    Args: scores, correct: sweep -> its tables. all_good, some_bad: sweeps of either sort.
    """
    test, held_out = the_dataset(roles, "test"), the_dataset(roles, "held_out")
    claims = []
    for sweep, claim, swap in (
        (all_good, "The uniform soup beats the best run where all runs are good", False),
        (some_bad, "The uniform soup is below the best run where some runs are bad", True),
    ):
        ranked = rank(scores[sweep][scores[sweep]["kind"] == "run"], held_out, roles)
        best = ranked.index[0]
        first, second = (best, "uniform") if swap else ("uniform", best)
        claims.append(
            compared(
                correct[sweep],
                first,
                second,
                [test],
                f"{sweep} (held-out accuracy of its runs: {span(ranked)})",
                claim,
                "3.3.1",
                "Only where all individual models achieve high accuracy",
                f"table3 figure1 figureB1 {'figureJ1' if swap else ''}".strip(),
            )
        )
    return claims


def calibration_claims(seeds: pd.DataFrame, roles: Mapping[str, str]) -> list[Claim]:
    """Ensembles improve calibration, soups do not (Figure B.2). seeds: of `study_seeds`."""
    gains = seeds[
        (seeds["metric"] == "ece_gain") & (seeds["dataset"] == the_dataset(roles, "test"))
    ]
    if not {"soup", "ensemble"} <= set(gains["method"]):
        return []
    soup, ensemble = (gains[gains["method"] == m].iloc[0] for m in ("soup", "ensemble"))
    texts: Any = {"section": "B", "paper": "Figure B.2", "shown_in": "figureB2"}
    change = "ECE of the {} of {} runs minus the runs' own: {}"
    return [
        make_claim(
            change.format("soup", soup["k"], points(soup["value"], soup["low"], soup["high"])),
            *soup[["value", "low", "high"]],
            claim="A soup of seeds is no better calibrated than its runs",
            **texts,
        ),
        make_claim(
            change.format(
                "ensemble",
                ensemble["k"],
                points(ensemble["value"], ensemble["low"], ensemble["high"]),
            ),
            *(-ensemble["value"], -ensemble["high"], -ensemble["low"]),
            claim="An ensemble of seeds is better calibrated than its runs",
            **texts,
        ),
    ]


def correlation_claim(
    table: pd.DataFrame, x: str, y: str, claim: str, section: str, paper: str, shown_in: str
) -> Claim:
    """The claim that two columns of a table of pairs of runs are correlated.

    The interval is from a bootstrap over runs, since pairs share them. Columns first, second, x, y.
    """
    runs = sorted({*table["first"], *table["second"]})
    first, second = (table[name].map(runs.index).to_numpy() for name in ("first", "second"))
    values = table[[x, y]].to_numpy().T

    def correlation(chosen: np.ndarray) -> float:
        counts = np.bincount(chosen, minlength=len(runs))
        weights = counts[first] * counts[second]
        if (weights > 0).sum() < 3:
            return nan
        (a, b), (_, d) = np.cov(values, fweights=weights)
        return float(b / np.sqrt(a * d)) if a * d > 0 else nan

    value = correlation(np.arange(len(runs)))
    low, high = bootstrap_interval(correlation, len(runs)) if not np.isnan(value) else (nan, nan)
    return make_claim(
        f"correlation {value:.2f} ({low:.2f} to {high:.2f}), {len(table)} pairs",
        *(value, low, high),
        claim=claim,
        section=section,
        paper=paper,
        shown_in=shown_in,
    )


def approximation_claims(table: pd.DataFrame, high_lr: float, curvature: str) -> list[Claim]:
    """The approximation predicts the differences in loss and error (Sec. 4, Figure K.1).

    Args: curvature: forward_mode or differences, see `approximation`.
    """
    claims = []
    panels = k1_panels(table, high_lr)
    for what, (_, truth, rows) in (("loss", panels[1]), ("error", panels[2])):
        if rows["start"].nunique() < 2 and rows["end"].nunique() < 2:
            continue
        found = agreement(rows, truth, curvature)
        same = f"; same sign {100 * found['same_sign']:.0f} %" if what == "loss" else ""
        claims.append(
            make_claim(
                f"correlation {found['correlation']:.2f} ({found['low']:.2f} to "
                f"{found['high']:.2f}), {found['n']} points{same}; high learning rate left out, "
                f"second derivative by {curvature.replace('_', ' ')}",
                *(found["correlation"], found["low"], found["high"]),
                claim=f"The approximation predicts the {what} difference of soup and ensemble",
                section="4, K",
                paper="Strongly correlated without the highest learning rate",
                shown_in="figureK1",
            )
        )
    return claims


def to_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """One row a claim."""
    return pd.DataFrame([asdict(claim) for claim in claims])


def print_claims(table: pd.DataFrame, study: str) -> str:
    """The claims as Markdown, the verdict in bold."""
    lines = [
        [f"{study}: the paper's claim", "Section", "The paper", "This study", "Verdict"],
        ["---"] * 5,
        *(
            [row.claim, row.section, row.paper, row.here, f"**{row.verdict}**"]
            for row in table.itertuples()
        ),
    ]
    return join_markdown(lines) + (
        f"\nIntervals are {100 * LEVEL:.0f} %, over images (bootstrap, stratified by set), over "
        "runs or over pairs of runs. A claim holds if the interval lies on its side of zero, does "
        "not hold if it lies on the other side, and is not decided in between.\n"
    )


def points(value: float, low: float = nan, high: float = nan) -> str:
    """`+1.23 points (-0.50 to +3.01)`, from fractions."""
    text = f"{100 * value:+.2f} points"
    return text if np.isnan(low) else f"{text} ({100 * low:+.2f} to {100 * high:+.2f})"


def span(accuracies: pd.Series) -> str:
    """`40.1 to 74.5 %`."""
    return f"{100 * accuracies.min():.1f} to {100 * accuracies.max():.1f} %"


def all_claims(
    scores: Mapping[str, pd.DataFrame],
    correct: Mapping[str, pd.DataFrame],
    analyses: Mapping[str, pd.DataFrame],
    roles: Mapping[str, str],
    sweep: str,
    what_holds: Mapping[str, str],
    figure_k1: Mapping[str, Any],
) -> list[Claim]:
    """Every claim that the study has the numbers for.

    Args:
        scores, correct: sweep -> its tables. sweep: that of Table 3.
        analyses: those there are of `figure3` and `figure4` (as drawn), `seeds`, `approximation`.
        what_holds: sweeps `all_good` and `some_bad`. figure_k1: its config, or nothing.
    """
    claims = soup_claims(scores[sweep], correct[sweep], roles, sweep)
    if what_holds:
        claims += uniform_claims(scores, correct, roles, **what_holds)
    if "figure4" in analyses:
        for domain, rows in analyses["figure4"].groupby("domain"):
            claims.append(
                correlation_claim(
                    rows,
                    "soup",
                    "ensemble",
                    f"Soup and ensemble accuracy of pairs are correlated ({domain})".replace(
                        "_", " "
                    ),
                    "3.2",
                    "Figure 4",
                    "figure4",
                )
            )
    if "figure3" in analyses:
        claims.append(
            correlation_claim(
                analyses["figure3"],
                "angle",
                "advantage",
                "The advantage of averaging two runs grows with the angle between them",
                "3.2",
                "Figure 3",
                "figure3",
            )
        )
    if "seeds" in analyses:
        claims += calibration_claims(analyses["seeds"], roles)
    if "approximation" in analyses:
        claims += approximation_claims(
            analyses["approximation"], figure_k1["high_lr"], figure_k1["curvature"]
        )
    return claims
