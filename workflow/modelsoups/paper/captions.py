"""Captions: what a table or figure shows, and what the paper and this study found in it."""

from collections.abc import Callable

import pandas as pd


def describe_plane(table: pd.DataFrame) -> str:
    """The least error on each plane beside that of its three corners; no test."""
    parts = []
    for plane, rows in table.groupby("plane", sort=False):
        for domain, name in (("in_distribution", "test"), ("shifts", "mean shift")):
            if domain in rows:
                corners = rows[rows["corner"] != ""].set_index("corner")[domain]
                least = rows[rows["corner"] == ""][domain].min()
                parts.append(
                    f"{plane}, {name} error: least on the grid {100 * least:.1f} %, at the "
                    f"initialisation {100 * corners['start']:.1f} %, at the runs "
                    f"{100 * corners['first']:.1f} and {100 * corners['second']:.1f} %"
                )
    return "; ".join(parts) + ". The least of many points is flattered; no test is made."


def describe_wise(table: pd.DataFrame) -> str:
    """How many points of the runs' curves are at least as good as a soup in both domains."""
    if "shifts" not in table:
        return "no shift sets"
    parts = []
    for (sweep, soup), curve in table[~table["model"].str.fullmatch(r"\d+")].groupby(
        ["sweep", "model"], sort=False
    ):
        end = curve[curve["alpha"] == curve["alpha"].max()].iloc[0]
        runs = table[(table["sweep"] == sweep) & table["model"].str.fullmatch(r"\d+")]
        better = (runs["in_distribution"] >= end["in_distribution"]) & (
            runs["shifts"] >= end["shifts"]
        )
        parts.append(
            f"{sweep}, {soup} soup: {better.sum()} of {len(runs)} points on the runs' curves are "
            "at least as good in both"
        )
    return "; ".join(parts) + ". No test is made."


def describe_seeds(table: pd.DataFrame) -> str:
    """Accuracy of the runs on average, the soup and the ensemble of all seeds; no test."""
    rows = table[table["metric"] == "accuracy"]
    parts = []
    for sweep, chosen in rows.groupby("sweep", sort=False):
        last = chosen[chosen["k"] == chosen["k"].max()].set_index("method")
        for domain, name in (("in_distribution", "in distribution"), ("shifts", "on the shifts")):
            if domain in chosen:
                mean = chosen[chosen["method"] == "individual"][domain].mean()
                parts.append(
                    f"{sweep}, {name}: runs {100 * mean:.1f} % on average, soup "
                    f"{100 * last[domain]['soup']:.1f} %, ensemble "
                    f"{100 * last[domain]['ensemble']:.1f} %"
                )
    return "; ".join(parts) + "."


DESCRIPTIONS: dict[str, Callable[[pd.DataFrame], str]] = {
    "figure2": describe_plane,
    "figureJ1": describe_plane,
    "figureD1": describe_wise,
    "figureG4": describe_seeds,
}

# Table or figure -> what is shown, and what the paper found.
CAPTIONS = {
    "what-holds": (
        "The paper's claims, and what this study says to each; the verdicts are computed.",
        "See the column of the paper",
    ),
    "table3": (
        "Table 3. Every method starts from the runs of one sweep and chooses on the held-out set. "
        "In parentheses 95 % intervals over images (Wilson in distribution, stratified bootstrap "
        "for the mean of shifts), or the standard deviation over three random orders. p-values "
        "are against the best individual model: exact McNemar in distribution, permutation test "
        "(10,000 permutations) for means. Held-out − test: optimism of what was chosen there.",
        "The greedy soup beats the best individual model in distribution (81.03 against 80.38 %) "
        "and on the shifts (50.75 against 47.83 %)",
    ),
    "table4": (
        "The form of Table 4. Bold: the best of the best model on the held-out set, the greedy "
        "ensemble and the greedy soup, and what does not differ from it significantly (alpha = "
        "0.05, exact McNemar or permutation test). The oracle row is chosen on the test sets.",
        "The greedy soup is significantly better than the best model on all sets but one",
    ),
    "figure1": (
        "Figure 1. One point a model: accuracy on the test set and mean of the shift sets. The "
        "ring marks the run that is best on the held-out set.",
        "Both soups of CLIP ViT-B/32 lie above the best run on the shifts, and the greedy soup is "
        "above it in distribution as well",
    ),
    "figureL3": (
        "Figure L.3: Figure 1 with all soups and ensembles of Table 3.",
        "Soups and ensembles lie beyond the runs; ensembles are best in distribution",
    ),
    "figure2": (
        "Figure 2. Train loss, test error and mean shift error on the plane through the "
        "initialisation and two runs, which differ in seed (top) or learning rate (bottom).",
        "The best solution lies between the runs, not at one",
    ),
    "figureJ1": (
        "Figure J.1: Figure 2 with a learning rate ten times larger (bottom), linear contours.",
        "With a large learning rate error increases between the runs",
    ),
    "figure3": (
        "Figure 3. Advantage of the average of two runs over their mean accuracy (test set and "
        "shift sets alike), against the angle between their displacements, of the matrices and "
        "kernels of repeated blocks.",
        "The advantage is correlated with the angle",
    ),
    "figure4": (
        "Figure 4. Soup and ensemble of random pairs of runs of the sweep.",
        "Ensemble and soup accuracy are correlated; ensembles are slightly better in distribution, "
        "soups on the shifts",
    ),
    "figureB1": (
        "Figure B.1. Accuracy against the number of models considered, mean of random orders "
        "(faint: each).",
        "The greedy soup is better than the best run for essentially any number of models",
    ),
    "figureH": (
        "Figure B.1 for another sweep.",
        "The same with other searches and initialisations",
    ),
    "figureB2": (
        "Figure B.2. Accuracy, expected calibration error (15 bins of equal mass) and negative "
        "log-likelihood of soups and ensembles of runs that differ in their seed; dashed: of runs "
        "calibrated by a temperature each, fitted on the held-out set.",
        "Ensembles improve calibration, soups do not",
    ),
    "figureD1": (
        "Figure D.1. WiSE-FT: from the initialisation to each run and each soup.",
        "The soups lie beyond the curves of all runs",
    ),
    "figureG4": (
        "Figure G.4. The k-th run, and the soup and ensemble of the first k, differing in seed.",
        "Soup performance is correlated with ensemble performance; CLIP gains more than a model "
        "pre-trained on ImageNet-22k",
    ),
    "figureK1": (
        "Figure K.1. True difference of soup and ensemble against the approximation of eq. 1, one "
        "point a pair of models, alpha and data set.",
        "The approximation is strongly correlated with the differences in loss and error unless "
        "the learning rate is high, and calibration helps",
    ),
}


def caption(name: str, study: str, claims: pd.DataFrame, extra: str = "") -> str:
    """A caption in reStructuredText: what is shown, what the paper and this study found.

    Args:
        name: a key of `CAPTIONS`, or `figureH` and a number.
        claims: of `to_table`. extra: a description of this study.
    """
    shown, paper = CAPTIONS["figureH" if name.startswith("figureH") else name]
    chosen = claims[[name in where.split() for where in claims["shown_in"]]]
    found = [
        f"{row.claim}: {row.here}. **{row.verdict.capitalize()}.**" for row in chosen.itertuples()
    ]
    found += [extra] if extra else []
    lines = [f"{shown} Study: {study}.", f"**The paper:** {paper}."]
    lines += [f"**Here:** {text}" for text in found]
    return "\n\n".join(lines) + "\n"
