"""Table 3 replicated: every method against the best run of its own draw, over draws and images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import OPEN, POINTS, Claim, in_points, make_claim, points
from modelsoups.paper.domains import DOMAINS, sets_by_domain
from modelsoups.paper.look import as_line, styled
from modelsoups.paper.methods import looks
from modelsoups.paper.pages import join_markdown
from modelsoups.paper.rows import BEST, COMPARISONS, SECOND, list_rows
from modelsoups.soups.registry import Method

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from modelsoups.evaluation.statistics import Estimate

FAINT: dict[str, Any] = {"color": "0.5", "alpha": 0.5, "linewidth": 0.8}


@dataclass(frozen=True, kw_only=True)
class Replicate:
    """One draw: which images each model of its sweep has right, and the models of each row."""

    correct: "pd.DataFrame"  # of `evaluation.paired`
    rows: Mapping[str, Sequence[str]]  # label -> models
    fold: str  # that it tests

    def scores(self, label: str, datasets: Sequence[str]) -> "list[np.ndarray]":
        """Of each data set (n,): the row's mean score on an image."""
        from modelsoups.evaluation.paired import strata

        return strata(self.correct, self.rows[label], datasets)


def open_replicate(
    scores: "pd.DataFrame",
    correct: "pd.DataFrame",
    roles: Mapping[str, str],
    methods: Mapping[str, Method],
    fold: str,
) -> Replicate:
    """A draw from its sweep's tables, arguments as those of `table_3`. fold: that it tests."""
    return Replicate(correct=correct, rows=list_rows(scores, roles, methods), fold=fold)


def pooled(
    replicates: Sequence[Replicate], first: str, second: str, domain: str, datasets: Sequence[str]
) -> "Estimate":
    """First row minus second row, over all draws.

    The images in distribution are other ones in each fold, those of the shift sets the same. Draws
    of one fold train, choose and are tested on the same images: their mean counts as one draw.
    """
    import numpy as np

    from modelsoups.evaluation.paired import minus
    from modelsoups.evaluation.statistics import replicated_difference

    by_fold: dict[str, list[list[np.ndarray]]] = {}
    for each in replicates:
        scores = (each.scores(label, datasets) for label in (first, second))
        by_fold.setdefault(each.fold, []).append(minus(*scores))
    differences = [
        [np.mean(same_set, axis=0) for same_set in zip(*draws, strict=True)]
        for draws in by_fold.values()
    ]
    return replicated_difference(differences, same_images=domain == "shifts")


def shared_rows(replicates: Sequence[Replicate]) -> list[str]:
    """Labels of the rows that every draw has, in their order."""
    return [label for label in replicates[0].rows if all(label in each.rows for each in replicates)]


def each_draw(replicates: Sequence[Replicate], roles: Mapping[str, str]) -> "pd.DataFrame":
    """One row a draw, method and domain: replicate, method, models, domain, accuracy, difference
    (from the best individual model), n (images)."""
    import numpy as np
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for number, each in enumerate(replicates, 1):
        for domain, datasets in sets_by_domain(roles).items():
            best = np.mean([d.mean() for d in each.scores(BEST, datasets)])
            for label in shared_rows(replicates):
                scores = each.scores(label, datasets)
                accuracy = np.mean([d.mean() for d in scores])
                rows.append(
                    {
                        **{"replicate": number, "method": label},
                        **{"models": " ".join(each.rows[label]), "domain": domain},
                        **{"accuracy": accuracy, "difference": accuracy - best},
                        "n": sum(map(len, scores)),
                    }
                )
    return pd.DataFrame(rows)


def replicated_table(
    replicates: Sequence[Replicate], roles: Mapping[str, str], study: str
) -> "pd.DataFrame":
    """One row a method, in the order of Table 3.

    Returns: study, method, replicates (their number); for each domain {}_accuracy (mean over the
        draws), {}_difference from the best individual model of the same draw, {}_low and {}_high
        (95 % interval over draws and images), {}_p, and {}_p_holm, corrected for all of the table.
    """
    import pandas as pd

    from modelsoups.evaluation.statistics import holm

    draws = each_draw(replicates, roles)
    means = draws.groupby(["method", "domain"])["accuracy"].mean()
    table = []
    for label in shared_rows(replicates):
        row: dict[str, Any] = {"study": study, "method": label, "replicates": len(replicates)}
        for domain, datasets in sets_by_domain(roles).items():
            row[f"{domain}_accuracy"] = means[label, domain]
            values = dict.fromkeys(("difference", "low", "high", "p"), nan)
            if label != BEST:
                found = pooled(replicates, label, BEST, domain, datasets)
                values = {"difference": found.value, "low": found.low}
                values |= {"high": found.high, "p": found.p}
            row |= {f"{domain}_{name}": value for name, value in values.items()}
        table.append(row)
    result = pd.DataFrame(table)
    columns = [f"{domain}_p" for domain in sets_by_domain(roles)]
    corrected = holm(result[columns].to_numpy().ravel()).reshape(-1, len(columns))
    result[[f"{name}_holm" for name in columns]] = corrected
    return result


def replicated_claims(replicates: Sequence[Replicate], roles: Mapping[str, str]) -> list[Claim]:
    """The claims of Table 3 that compare two of its rows, over all draws."""
    known, sets = shared_rows(replicates), sets_by_domain(roles)
    claims = []
    for each in COMPARISONS:
        if {each.first, each.second} <= set(known) and each.domain in sets:
            found = pooled(replicates, each.first, each.second, each.domain, sets[each.domain])
            here = (
                f"{each.first} minus {each.second.lower()}: "
                f"{points(found.value, found.low, found.high)}, p = {found.p:.2g}, "
                f"{len(replicates)} draws"
            )
            claims.append(each.judge(found, here))
    return claims


def pooled_claims(draws: "Sequence[pd.DataFrame]", folds: Sequence[str]) -> list[Claim]:
    """The claims of other tables and figures, over all draws that judge them; of fewer than two
    folds nothing is said.

    A claim's number is averaged: above zero it says yes. Numbers about images in distribution have
    other images in each draw; the images of others are taken to be the same. A number that is exact
    in each draw holds if it does in all.

    Args:
        draws: of each draw the claims, of `claims.read_claims`.
        folds: of each draw the fold that it tests.
    """
    import pandas as pd

    same = ["shown_in", "claim"]  # and, of panels that claim the same, the same panel
    together = pd.concat(
        [
            draw.assign(fold=fold, panel=draw.groupby(same).cumcount())
            for draw, fold in zip(draws, folds, strict=True)
        ],
        ignore_index=True,
    )
    claims = []
    for (_, name, _), rows in together.groupby([*same, "panel"], sort=False):
        judged = rows[rows["value"].notna() & (rows["low"].notna() | (rows["verdict"] != OPEN))]
        if judged["fold"].nunique() < 2:
            continue
        first = judged.iloc[0]
        exact = bool(judged["low"].isna().all())
        found = over_draws(judged, exact)
        claims.append(
            make_claim(
                f"{in_unit(found, first['unit'])}, above zero in {(judged['value'] > 0).sum()} of "
                f"{len(judged)} draws. Of one: {first['here']}",
                found,
                exact=exact,
                claim=str(name),
                **{key: first[key] for key in ("section", "paper", "unit", "domain")},
            )
        )
    return claims


def over_draws(judged: "pd.DataFrame", exact: bool) -> "Estimate":
    """The mean of a claim's numbers over draws, those of a fold as one; of exact ones the least.

    The least of several is low by chance in every draw, which the draws' spread does not tell: that
    it is below zero is said only if it is with the draws' own intervals too.
    """
    import numpy as np

    from modelsoups.evaluation.statistics import (
        Estimate,
        estimate,
        replicated_estimate,
        standard_error,
    )

    if exact:
        return estimate(float(judged["value"].min()), nan)
    found = []
    for _, rows in judged.groupby("fold", sort=False):
        columns = rows[["value", "low", "high", "p"]].to_dict("records")
        errors = [standard_error(Estimate(**row)) for row in columns]
        error = float(np.sqrt(np.mean(np.square(errors))))
        found.append(estimate(float(rows["value"].mean()), error))
    pooled = replicated_estimate(found, same_images=judged.iloc[0]["domain"] != "in_distribution")
    if judged["least"].any() and pooled.high < 0:
        return replicated_estimate(found, same_images=True)
    return pooled


def in_unit(found: "Estimate", unit: str) -> str:
    """`+1.23 points (-0.50 to +3.01), p = 0.16`, `+1.23 points` if it is exact; of what is not in
    points, how far it is beyond what the claim asks for."""
    if unit != POINTS:
        interval = f"({found.low:+.3f} to {found.high:+.3f}), p = {found.p:.2g}"
        return f"{unit} beyond what is asked: {found.value:+.3f} {interval}".strip()
    return points(found.value) if isnan(found.p) else in_points(found)


def to_markdown(table: "pd.DataFrame") -> str:
    """The table in print: percent, and percentage points."""
    import pandas as pd

    domains = [domain for domain in DOMAINS if f"{domain}_accuracy" in table]
    number = table["replicates"].iloc[0]
    header = [f"{table['study'].iloc[0]}: accuracy in %, mean of {number} draws"]
    for domain in domains:
        header += [DOMAINS[domain], "Minus the best run of the draw (points)", "p (Holm)"]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for row in table.to_dict("records"):
        line = [str(row["method"])]
        for domain in domains:
            line.append(f"{100 * row[f'{domain}_accuracy']:.2f}")
            if pd.isna(row[f"{domain}_difference"]):
                line += ["–", "–"]
            else:
                found = (row[f"{domain}_{name}"] for name in ("difference", "low", "high"))
                line.append(points(*found).replace(" points", ""))
                line.append(f"{row[f'{domain}_p']:.2g} ({row[f'{domain}_p_holm']:.2g})")
        lines.append(line)
    return join_markdown(lines)


def print_replicates(table: "pd.DataFrame", claims: Sequence[Claim]) -> str:
    """The table in print, and beneath it what it says on the paper's claims."""
    verdicts = [f"{each.claim}: {each.here}. **{each.verdict.capitalize()}.**" for each in claims]
    about = (
        "Each draw has other test and held-out images and another random search. Intervals are "
        "95 %, over draws and images (Student's)."
    )
    return "\n".join([to_markdown(table), about, "", *(f"- {text}" for text in verdicts)]) + "\n"


def figure_replicates(
    draws: "pd.DataFrame", table: "pd.DataFrame", title: str, methods: Mapping[str, Method]
) -> "Figure":
    """Every method minus the best run of its draw: a faint line a draw, and the mean with its
    interval.

    Args: draws: of `each_draw`. table: of `replicated_table`.
    """
    from matplotlib.figure import Figure

    domains = [domain for domain in DOMAINS if f"{domain}_accuracy" in table]
    shown = table[~table["method"].isin([BEST, SECOND])]
    known = looks(methods)
    with styled():
        figure = Figure(figsize=(4.6 * len(domains) + 0.6, 4.6))
        grid = figure.subplots(1, len(domains), squeeze=False, sharey=True)[0]
        for axes, domain in zip(grid, domains, strict=True):
            for _, draw in draws[draws["domain"] == domain].groupby("replicate"):
                line = draw.set_index("method")["difference"].loc[shown["method"]]
                axes.plot(range(len(line)), 100 * line, **FAINT)
            for place, row in enumerate(shown.to_dict("records")):
                value, low, high = (
                    100 * row[f"{domain}_{name}"] for name in ("difference", "low", "high")
                )
                look = as_line(known[row["method"]])
                axes.plot([place] * 2, [low, high], color=look["color"], linewidth=1.5)
                axes.plot(place, value, markersize=8, linestyle="", **look)
            axes.axhline(0, color="0.6", linewidth=0.8)
            axes.set_title(DOMAINS[domain])
            axes.set_xticks(range(len(shown)), shown["method"], rotation=40, ha="right")
        grid[0].set_ylabel("Minus the best run of its draw (points)")
        figure.suptitle(f"{title}: {table['replicates'].iloc[0]} draws")
    return figure
