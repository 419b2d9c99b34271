"""The paper's claims: this study's numbers and intervals, and computed verdicts.

Each table or figure judges the claims that it shows, and keeps them in a file of its own; the page
`what-holds` is made of all of these files.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelsoups.base.files import read_json, write_json
from modelsoups.paper.pages import join_markdown

if TYPE_CHECKING:
    import pandas as pd

    from modelsoups.evaluation.statistics import Estimate

HOLDS = "holds"
FAILS = "does not hold"
OPEN = "not decided by this much data"
MIN_RUNS = 6  # and
MIN_PAIRS = 10  # that a correlation over pairs of runs needs
STRONG = 0.5  # a correlation from here on

POINTS = "points"  # the unit of accuracies and their differences, which are stored as fractions


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
    p: float  # two-sided, that it is zero, by the procedure of the interval; not corrected
    verdict: str
    unit: str = POINTS  # of the number; "correlation", or empty for another
    domain: str = ""  # in_distribution or shifts; empty if it is about both, or about no images
    least: bool = False  # whether the number is the least of several (`statistics.weakest`)


def verdict(value: float, low: float = nan, high: float = nan, *, exact: bool = False) -> str:
    """The verdict on a claim that a number is above zero, from its interval.

    Without an interval (NaN) nothing is decided. An interval from zero to zero, of two models that
    are one, says that neither is better.

    Args: exact: the number has no interval and needs none; the claim is that it is not below zero.
    """
    if isnan(value):
        return OPEN
    if exact:
        return HOLDS if value >= 0 else FAILS
    if isnan(low) or isnan(high):
        return OPEN
    return HOLDS if low > 0 else FAILS if high < 0 or low == high == 0 else OPEN


def make_claim(
    here: str,
    found: "Estimate",
    *,
    claim: str,
    section: str,
    paper: str,
    exact: bool = False,
    unit: str = POINTS,
    domain: str = "",
) -> Claim:
    """A claim with its verdict.

    Args: found: the number that the claim says is above zero. Others as in `Claim` and `verdict`.
    """
    return Claim(
        claim=claim,
        section=section,
        paper=paper,
        here=here,
        value=found.value,
        low=found.low,
        high=found.high,
        p=found.p,
        verdict=verdict(found.value, found.low, found.high, exact=exact),
        unit=unit,
        domain=domain,
        least=found.least,
    )


def not_judged(why: str, *, claim: str, section: str, paper: str) -> Claim:
    """A claim that the study's data cannot be asked for, and why."""
    from modelsoups.evaluation.statistics import estimate

    return make_claim(why, estimate(nan, nan), claim=claim, section=section, paper=paper)


def compared(
    correct: "pd.DataFrame",
    first: Sequence[str],
    second: Sequence[str],
    datasets: Sequence[str],
    where: str,
    *,
    claim: str,
    section: str,
    paper: str,
    domain: str = "",
) -> Claim:
    """The claim that the first models' mean accuracy is above that of the second ones.

    Args:
        correct: which images each model has right (`paired`).
        datasets: one, or several whose unweighted mean it is.
        where: in which sweep, for the text. claim, section, paper, domain: as `Claim` has them.
    """
    found = difference(correct, first, second, datasets)
    here = difference_in_words(first, second, found, where)
    return make_claim(here, found, claim=claim, section=section, paper=paper, domain=domain)


def difference(
    correct: "pd.DataFrame", first: Sequence[str], second: Sequence[str], datasets: Sequence[str]
) -> "Estimate":
    """The first models' mean accuracy minus that of the second ones; arguments as `compared`."""
    from modelsoups.evaluation.paired import minus, strata
    from modelsoups.evaluation.statistics import paired_difference

    scores = (strata(correct, models, datasets) for models in (first, second))
    return paired_difference(minus(*scores))


def difference_in_words(
    first: Sequence[str], second: Sequence[str], found: "Estimate", where: str
) -> str:
    """`greedy minus 001: +1.23 points (-0.50 to +3.01), p = 0.16, sweep grid`."""
    return f"{' '.join(first)} minus {' '.join(second)}: {in_points(found)}, {where}"


def correlated(
    table: "pd.DataFrame",
    x: str,
    y: str,
    *,
    claim: str,
    section: str,
    paper: str,
    domain: str = "",
    above: float = 0,
) -> Claim:
    """The claim that the correlation of two columns of a table of pairs of runs is above a number.

    The interval is from a bootstrap over runs, since pairs share them; of fewer than MIN_RUNS runs
    or MIN_PAIRS pairs nothing is said. Columns first, second, x, y.
    """
    import numpy as np

    from modelsoups.evaluation.statistics import correlation_estimate, estimate, shifted

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

    enough = len(runs) >= MIN_RUNS and len(table) >= MIN_PAIRS
    found = correlation_estimate(correlation, len(runs), above) if enough else estimate(nan, nan)
    number = count_pairs(table)
    here = (
        f"{number} of {len(runs)} runs, too few or too alike for a correlation"
        if isnan(found.value)
        else f"correlation {found.value:.2f} ({found.low:.2f} to {found.high:.2f}), {number}"
    )
    if above:
        here += f"; the claim asks for more than {above:g}"
    texts: Any = {"claim": claim, "section": section, "paper": paper}
    return make_claim(here, shifted(found, -above), unit="correlation", domain=domain, **texts)


WHERE = {"in_distribution": "in distribution", "shifts": "on the shifts"}


def count_pairs(table: "pd.DataFrame") -> str:
    """`12 pairs`, of a table with one row a pair."""
    return "1 pair" if len(table) == 1 else f"{len(table)} pairs"


def points(value: float, low: float = nan, high: float = nan) -> str:
    """`+1.23 points (-0.50 to +3.01)`, from fractions."""
    text = f"{100 * value:+.2f} points"
    return text if isnan(low) else f"{text} ({100 * low:+.2f} to {100 * high:+.2f})"


def in_points(found: "Estimate") -> str:
    """`+1.23 points (-0.50 to +3.01), p = 0.16`."""
    return f"{points(found.value, found.low, found.high)}, p = {found.p:.2g}"


def percent(value: float) -> str:
    """`75.7 %`, from a fraction."""
    return f"{100 * value:.1f} %"


def exactly(value: float) -> "Estimate":
    """A number that needs no interval."""
    from modelsoups.evaluation.statistics import estimate

    return estimate(value, nan)


def write_claims(path: str | Path, claims: Sequence[Claim]) -> None:
    """Write the claims of a table or figure; what is NaN becomes null."""
    rows: list[dict[str, Any]] = [
        {
            name: None if isinstance(value, float) and isnan(value) else value
            for name, value in asdict(claim).items()
        }
        for claim in claims
    ]
    write_json(path, {"claims": rows})


def read_claims(paths: Sequence[str | Path]) -> "pd.DataFrame":
    """One row a claim of `write_claims`' files, in their order: its fields, shown_in, p_holm and
    verdict_holm.

    shown_in: name of the table or figure, which is that of its file. p_holm: corrected for all
    claims of the page that have a p-value; verdict_holm: what is left of the verdict by it.
    """
    import pandas as pd

    from modelsoups.evaluation.statistics import ALPHA, holm

    rows = [
        {**claim, "shown_in": Path(path).stem}
        for path in paths
        for claim in read_json(path)["claims"]
    ]
    table = pd.DataFrame(rows, columns=[*(field.name for field in fields(Claim)), "shown_in"])
    table = table.astype(dict.fromkeys(("value", "low", "high", "p"), float))
    table["p_holm"] = holm(table["p"].to_numpy())
    undecided = (table["p_holm"] >= ALPHA) & ((table["low"] != 0) | (table["high"] != 0))
    table["verdict_holm"] = table["verdict"].mask(undecided, OPEN)
    return table


def print_claims(table: "pd.DataFrame", study: str) -> str:
    """The claims as Markdown, the verdict in bold."""
    from modelsoups.evaluation.statistics import LEVEL

    lines = [
        [
            *(f"{study}: the paper's claim", "Section", "The paper", "This study"),
            *("Verdict", "Corrected for this page (Holm)"),
        ],
        ["---"] * 6,
        *(
            [row.claim, row.section, row.paper, row.here, f"**{row.verdict}**", row.verdict_holm]
            for row in table.itertuples()
        ),
    ]
    return join_markdown(lines) + (
        f"\nIntervals are {100 * LEVEL:.0f} %, over images, runs, pairs of runs or draws; a "
        "p-value and its interval come of one procedure. A claim holds if the interval lies on its "
        "side of zero (or of what it asks for), does not hold if it lies on the other side or is "
        "zero alone, as between models that are one, and is not decided in between. The last "
        "column is the verdict after Holm's correction for all claims of the page.\n"
    )
