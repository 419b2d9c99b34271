"""From what the analyses measured to the tidy tables that figures draw; accuracies are fractions.

*Domains*: `in_distribution` is the test set, `shifts` the unweighted mean over the shift sets.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from modelsoups.evaluation.metrics import accuracy
from modelsoups.evaluation.scores import datasets_of, the_dataset
from modelsoups.soups.ensembles import mean_logits

DOMAINS = ("in_distribution", "shifts")
Roles = Mapping[str, str]  # dataset -> role


def by_domain(table: pd.DataFrame, roles: Roles, keys: Sequence[str]) -> pd.DataFrame:
    """The mean value in each domain, one row for each combination of the keys, in their order.

    Args: table: columns `keys`, dataset, value; sets of other roles are left out.
    Returns: columns `keys` and those of `DOMAINS` that there are.
    """
    domain = {the_dataset(roles, "test"): DOMAINS[0]}
    domain |= dict.fromkeys(datasets_of(roles, "shift"), DOMAINS[1])
    known = table[table["dataset"].isin(list(domain))]
    domains = known["dataset"].map(domain).rename("domain")
    means = known.groupby([*(known[key] for key in keys), domains], sort=False)["value"].mean()
    return means.unstack("domain").reset_index().rename_axis(columns=None)


def landscape(planes: Mapping[str, pd.DataFrame], roles: Roles, metric: str) -> pd.DataFrame:
    """Figures 2 and J.1: train loss, test error and shift error on planes.

    Args: planes: label -> points of a plane (`points.plan_plane`). metric: of the first panel, on
        the training set.
    Returns: plane, corner, x, y, train_loss, in_distribution, shifts (errors, fractions).
    """
    train = the_dataset(roles, "train")
    parts = []
    for plane, points in planes.items():
        keys = ["point", "corner", "x", "y"]
        errors = by_domain(points[points["metric"] == "accuracy"], roles, keys)
        errors[list(errors.columns.intersection(DOMAINS))] *= -1
        errors[list(errors.columns.intersection(DOMAINS))] += 1
        loss = points[(points["metric"] == metric) & (points["dataset"] == train)]
        errors["train_loss"] = errors["point"].map(loss.set_index("point")["value"])
        parts.append(errors.assign(plane=plane).drop(columns="point"))
    return pd.concat(parts, ignore_index=True)


def advantage(points: pd.DataFrame, roles: Roles) -> pd.DataFrame:
    """Figure 3: how much the middle of two runs is better than the runs are on average.

    Accuracy is averaged over the test set and the shift sets, each set alike (caption).

    Args: points: of `points.plan_angles`.
    Returns: first, second, varied, angle (degrees), advantage (difference of fractions).
    """
    reported = [the_dataset(roles, "test"), *datasets_of(roles, "shift")]
    chosen = points[(points["metric"] == "accuracy") & points["dataset"].isin(reported)]
    mean = chosen.groupby(["first", "second"])["value"].mean()
    pairs = points[points["first"] != points["second"]].drop_duplicates("point")
    result = pairs[["first", "second", "varied", "angle"]].reset_index(drop=True)
    result["advantage"] = [
        mean[a, b] - (mean[a, a] + mean[b, b]) / 2
        for a, b in zip(result["first"], result["second"], strict=True)
    ]
    return result


def pair_accuracies(
    points: pd.DataFrame, files: Mapping[str, Mapping[str, Path]], roles: Roles
) -> pd.DataFrame:
    """Figure 4: accuracy of the soup and of the ensemble of each pair.

    Args: points: of `points.plan_pairs`. files: dataset -> run -> its logits.
    Returns: first, second, larger_lr, domain, soup, ensemble.
    """
    keys = ["first", "second", "larger_lr"]
    soups = points[points["metric"] == "accuracy"]
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


def wise_curves(points: Mapping[str, pd.DataFrame], roles: Roles) -> pd.DataFrame:
    """Figure D.1: accuracy along the lines from the initialisation to runs and soups.

    Args: points: sweep -> points of `points.plan_wise`.
    Returns: sweep, model, alpha (0 is the initialisation, 1 the model), the domains.
    """
    parts = []
    for sweep, table in points.items():
        keys = ["model", "alpha"]
        curves = by_domain(table[table["metric"] == "accuracy"], roles, keys)
        start = curves[curves["alpha"] == 0]
        for model, curve in curves[curves["alpha"] > 0].groupby("model", sort=False):
            whole = pd.concat([start.assign(model=model), curve.sort_values("alpha")])
            parts.append(whole.assign(sweep=sweep))
    return pd.concat(parts, ignore_index=True)


def growth_curves(growth: pd.DataFrame, roles: Roles) -> pd.DataFrame:
    """Figure B.1: order, k, method and the domains' accuracies, of each order and of their mean.

    The mean over the orders has order -1.
    """
    keys = ["order", "k", "method"]
    curves = by_domain(growth[growth["metric"] == "accuracy"], roles, keys)
    mean = curves.groupby(["k", "method"], sort=False, as_index=False).mean().assign(order=-1)
    return pd.concat([curves, mean], ignore_index=True)


def seeds_curves(seeds: pd.DataFrame, roles: Roles, metrics: Sequence[str]) -> pd.DataFrame:
    """Figures B.2 and G.4: method, k, metric and the domains' values."""
    return by_domain(seeds[seeds["metric"].isin(metrics)], roles, ["method", "k", "metric"])


def k1_panels(table: pd.DataFrame, high_lr: float) -> list[tuple[str, str, pd.DataFrame]]:
    """Label, column of the truth and points of the six panels of Figure K.1, row by row."""
    panels = []
    for calibrated, beta in ((True, "calibrated"), (False, "beta = 1")):
        rows = table[table["calibrated"] == calibrated]
        moderate = rows[rows["larger_lr"] < high_lr]
        panels += [
            (f"Loss, all pairs ({beta})", "loss_difference", rows),
            (f"Loss, without high lr ({beta})", "loss_difference", moderate),
            (f"Error, without high lr ({beta})", "error_difference", moderate),
        ]
    return panels
