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
    import numpy as np
    import pandas as pd

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
    value: float,
    low: float = nan,
    high: float = nan,
    *,
    claim: str,
    section: str,
    paper: str,
    exact: bool = False,
) -> Claim:
    """A claim with its verdict; arguments as the fields of `Claim` and as `verdict` has them."""
    return Claim(
        claim=claim,
        section=section,
        paper=paper,
        here=here,
        value=value,
        low=low,
        high=high,
        verdict=verdict(value, low, high, exact=exact),
    )


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
) -> Claim:
    """The claim that the first models' mean accuracy is above that of the second ones.

    Args:
        correct: which images each model has right (`paired`).
        datasets: one, or several whose unweighted mean it is.
        where: in which sweep, for the text. claim, section, paper: as `Claim` has them.
    """
    from modelsoups.evaluation.paired import compare

    found = compare(correct, first, second, datasets)
    here = (
        f"{' '.join(first)} minus {' '.join(second)}: "
        f"{points(found.difference, found.low, found.high)}, p = {found.p:.2g}, {where}"
    )
    return make_claim(
        here,
        *(found.difference, found.low, found.high),
        claim=claim,
        section=section,
        paper=paper,
    )


def correlated(
    table: "pd.DataFrame", x: str, y: str, *, claim: str, section: str, paper: str
) -> Claim:
    """The claim that two columns of a table of pairs of runs are correlated.

    The interval is from a bootstrap over runs, since pairs share them. Columns first, second, x, y.
    """
    import numpy as np

    from modelsoups.evaluation.statistics import bootstrap_interval

    runs = sorted({*table["first"], *table["second"]})
    first, second = (table[name].map(runs.index).to_numpy() for name in ("first", "second"))
    values = table[[x, y]].to_numpy().T

    def correlation(chosen: "np.ndarray") -> float:
        counts = np.bincount(chosen, minlength=len(runs))
        weights = counts[first] * counts[second]
        if (weights > 0).sum() < 3:
            return nan
        (a, b), (_, d) = np.cov(values, fweights=weights)
        return float(b / np.sqrt(a * d)) if a * d > 0 else nan

    value = correlation(np.arange(len(runs)))
    low, high = bootstrap_interval(correlation, len(runs)) if not isnan(value) else (nan, nan)
    number = count_pairs(table)
    return make_claim(
        f"{number}, too few or too alike for a correlation"
        if isnan(value)
        else f"correlation {value:.2f} ({low:.2f} to {high:.2f}), {number}",
        *(value, low, high),
        claim=claim,
        section=section,
        paper=paper,
    )


def count_pairs(table: "pd.DataFrame") -> str:
    """`12 pairs`, of a table with one row a pair."""
    return "1 pair" if len(table) == 1 else f"{len(table)} pairs"


def points(value: float, low: float = nan, high: float = nan) -> str:
    """`+1.23 points (-0.50 to +3.01)`, from fractions."""
    text = f"{100 * value:+.2f} points"
    return text if isnan(low) else f"{text} ({100 * low:+.2f} to {100 * high:+.2f})"


def percent(value: float) -> str:
    """`75.7 %`, from a fraction."""
    return f"{100 * value:.1f} %"


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
    """One row a claim of `write_claims`' files, in their order: its fields, and shown_in.

    shown_in: name of the table or figure, which is that of its file.
    """
    import pandas as pd

    rows = [
        {**claim, "shown_in": Path(path).stem}
        for path in paths
        for claim in read_json(path)["claims"]
    ]
    table = pd.DataFrame(rows, columns=[*(field.name for field in fields(Claim)), "shown_in"])
    return table.astype(dict.fromkeys(("value", "low", "high"), float))


def print_claims(table: "pd.DataFrame", study: str) -> str:
    """The claims as Markdown, the verdict in bold."""
    from modelsoups.evaluation.statistics import LEVEL

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
