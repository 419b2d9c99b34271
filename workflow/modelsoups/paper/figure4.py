"""Figure 4: ensemble against soup of random pairs of runs (Section 3.2)."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelsoups.paper.claims import (
    STRONG,
    WHERE,
    Claim,
    correlated,
    in_points,
    make_claim,
)
from modelsoups.paper.conditions import needs_settings
from modelsoups.paper.declare import (
    SWEEP,
    Given,
    Made,
    Need,
    Result,
    Spec,
    mixes_of,
    one_sweep,
)
from modelsoups.paper.domains import DOMAINS, by_domain, scores_by_image, sets_by_domain
from modelsoups.paper.look import diagonal, styled
from modelsoups.study.study import Study, name_in

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def by_dataset(sweep: str, files: Iterable[Path]) -> dict[str, dict[str, Path]]:
    """Data set -> model, as the sweep names it -> its logits, from paths as results have them."""
    found: dict[str, dict[str, Path]] = {}
    for path in files:
        model = f"{path.parents[3].name}/{path.parents[1].name}"
        found.setdefault(path.stem, {})[name_in(sweep, model)] = path
    return found


def pair_accuracies(
    mixes: "pd.DataFrame", files: Mapping[str, Mapping[str, Path]], roles: Mapping[str, str]
) -> "pd.DataFrame":
    """Accuracy of the soup and of the ensemble of each pair.

    Args: mixes: of `analyses.mixes.plan_pairs`. files: dataset -> run -> its logits.
    Returns: first, second, larger_lr, domain, soup, ensemble.
    """
    import pandas as pd

    from modelsoups.evaluation.metrics import accuracy
    from modelsoups.soups.ensembles import mean_logits

    keys = ["first", "second", "larger_lr"]
    soups = mixes[mixes["metric"] == "accuracy"]
    ensembles = pd.DataFrame(
        [
            {
                **dict(zip(keys, pair, strict=True)),
                "dataset": dataset,
                "value": accuracy(*mean_logits([paths[pair[0]], paths[pair[1]]])),
            }
            for pair in soups[keys].drop_duplicates().itertuples(index=False, name=None)
            for dataset, paths in files.items()
        ]
    )
    parts = [
        by_domain(table, roles, keys).melt(keys, var_name="domain", value_name=name)
        for name, table in (("soup", soups), ("ensemble", ensembles))
    ]
    return parts[0].merge(parts[1])


def figure_4(table: "pd.DataFrame", title: str) -> "Figure":
    """Ensemble against soup accuracy of pairs, coloured by the larger learning rate.

    Args: table: of `pair_accuracies`.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    domains = [domain for domain in DOMAINS if domain in set(table["domain"])]
    rates = table["larger_lr"]
    with styled():
        figure = Figure(figsize=(4.2 * len(domains) + 0.8, 4.2))
        grid = figure.subplots(1, len(domains), squeeze=False)[0]
        for axes, domain in zip(grid, domains, strict=True):
            pairs = table[table["domain"] == domain]
            dots = axes.scatter(
                100 * pairs["soup"],
                100 * pairs["ensemble"],
                c=pairs["larger_lr"],
                norm=LogNorm(rates.min(), rates.max() * (1 + 1e-9)),
                cmap="viridis",
                s=34,
            )
            diagonal(axes)
            axes.set(title=DOMAINS[domain], xlabel="Soup of two: accuracy (top-1, %)")
        grid[0].set_ylabel("Ensemble of two: accuracy (top-1, %)")
        figure.colorbar(dots, ax=list(grid), label="Larger learning rate of the pair")
        figure.suptitle(title)
    return figure


def direction_claims(
    mixes: "pd.DataFrame", files: Mapping[str, Mapping[str, Path]], roles: Mapping[str, str]
) -> list[Claim]:
    """Ensembles of pairs are better in distribution, soups on the shifts, on average over pairs.

    Args: as of `pair_accuracies`.
    """
    import numpy as np

    from modelsoups.evaluation.metrics import is_correct
    from modelsoups.evaluation.paired import minus
    from modelsoups.evaluation.statistics import paired_difference
    from modelsoups.soups.ensembles import mean_logits

    pairs = list(mixes[["first", "second"]].drop_duplicates().itertuples(index=False, name=None))
    claims = []
    for domain, datasets in sets_by_domain(roles).items():
        soups = scores_by_image(mixes, datasets)
        ensembles = [
            np.mean(
                [is_correct(*mean_logits([files[d][a], files[d][b]])) for a, b in pairs], axis=0
            )
            for d in datasets
        ]
        sign = 1 if domain == "in_distribution" else -1
        found = paired_difference([sign * each for each in minus(ensembles, soups)])
        better, other = ("ensemble", "soup")[::sign]
        claims.append(
            make_claim(
                f"{better} minus {other}, mean of {len(pairs)} pairs: {in_points(found)}",
                found,
                claim=f"The {better} of two runs is better than their {other} {WHERE[domain]}",
                domain=domain,
                section="3.2",
                paper="Figure 4",
            )
        )
    return claims


def make(given: Given) -> Made:
    """Figure 4 and its claims: correlated, and which of both is better where."""
    logits, mixes = by_dataset(given.spec["sweep"], given.paths("logits")), given.read("pairs")
    table = pair_accuracies(mixes, logits, given.roles)
    claims = [
        correlated(
            rows,
            "soup",
            "ensemble",
            claim=f"Soup and ensemble accuracy of pairs are strongly correlated ({domain})".replace(
                "_", " "
            ),
            domain=domain,
            section="3.2",
            paper="Figure 4",
            above=STRONG,
        )
        for domain, rows in table.groupby("domain")
    ]
    claims += direction_claims(mixes, logits, given.roles)
    return Made(table=table, figure=figure_4(table, given.study), claims=claims)


def needs(spec: Spec) -> dict[str, Need | list[Need]]:
    """The pairs' soups, and the runs' logits, which their ensembles are made of."""
    return {
        "pairs": Need(sweep=spec["sweep"], table="mixes/pairs"),
        "logits": Need(sweep=spec["sweep"], table="logits"),
    }


def problems(spec: Spec, study: Study) -> list[str]:
    """No learning rates, or no pair of runs."""
    sweep = spec["sweep"]
    if missing := needs_settings(study, sweep):
        return missing
    return [] if len(study.runs[sweep]) > 1 else [f"expected two runs of {sweep}, found one"]


RESULT = Result(
    name="figure4",
    title="Figure 4",
    section="3.2",
    kind="figure",
    about="Figure 4: ensemble against soup accuracy of random pairs of runs.",
    key="figure4",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["sweep", "num_pairs", "seed"],
        "properties": {
            "sweep": SWEEP,
            "num_pairs": {"type": "integer", "minimum": 1, "description": "Random pairs of runs"},
            "seed": {"type": "integer", "minimum": 0, "description": "Of the drawing of pairs"},
        },
    },
    needs=needs,
    analyses=mixes_of("pairs"),
    names=one_sweep,
    problems=problems,
    make=make,
    caption="Figure 4. Soup and ensemble of random pairs of runs of the sweep.",
    paper=(
        "Ensemble and soup accuracy are correlated; ensembles are slightly better in distribution, "
        "soups on the shifts"
    ),
)
