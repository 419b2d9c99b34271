"""Domains: `in_distribution` is the test set, `shifts` the unweighted mean over the shift sets."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from modelsoups.evaluation.statistics import Estimate

DOMAINS = {"in_distribution": "In distribution", "shifts": "Mean of shifts"}  # and their titles


def by_domain(
    table: "pd.DataFrame", roles: Mapping[str, str], keys: Sequence[str]
) -> "pd.DataFrame":
    """The mean value in each domain, one row for each combination of the keys.

    Args: table: columns `keys`, dataset, value; sets of other roles are left out.
    Returns: columns `keys` and those of `DOMAINS` that there are; rows by the first key, then the
        second and so on, the values of each in the order in which they come first in the table.
    """
    from modelsoups.evaluation.scores import datasets_of, the_dataset

    inside, outside = DOMAINS
    domain = {the_dataset(roles, "test"): inside}
    domain |= dict.fromkeys(datasets_of(roles, "shift"), outside)
    known = table[table["dataset"].isin(list(domain))]
    domains = known["dataset"].map(domain).rename("domain")
    means = known.groupby([*(known[key] for key in keys), domains], sort=False)["value"].mean()
    return means.unstack("domain").reset_index().rename_axis(columns=None)


def domains_in(table: "pd.DataFrame") -> list[str]:
    """The domains that a table has a column of."""
    return [domain for domain in DOMAINS if domain in table]


def sets_by_domain(roles: Mapping[str, str]) -> dict[str, list[str]]:
    """Domain -> its data sets; without shift sets there is one domain."""
    from modelsoups.evaluation.scores import datasets_of, the_dataset

    inside, outside = DOMAINS
    found = {inside: [the_dataset(roles, "test")]}
    shifts = datasets_of(roles, "shift")
    return {**found, outside: shifts} if shifts else found


def scores_by_image(rows: "pd.DataFrame", datasets: Sequence[str]) -> "list[np.ndarray]":
    """Of each data set (n,): the mean over rows of whether an image is right.

    Args: rows: of an analysis, with `right` where the metric is accuracy (`evaluation.paired`).
    """
    import numpy as np

    from modelsoups.evaluation.paired import unpack

    rows = rows[rows["metric"] == "accuracy"]
    return [
        np.mean([unpack(row.right, row.n) for row in chosen.itertuples()], axis=0)
        for chosen in (rows[rows["dataset"] == dataset] for dataset in datasets)
    ]


def difference_of_rows(
    first: "pd.DataFrame",
    second: "pd.DataFrame",
    datasets: Sequence[str],
    weights: Sequence[float] | None = None,
) -> "Estimate":
    """The first rows' mean accuracy minus the second ones', on the same images.

    Args: weights: of the data sets; equal if left out.
    """
    from modelsoups.evaluation.paired import minus
    from modelsoups.evaluation.statistics import paired_difference

    scores = (scores_by_image(rows, datasets) for rows in (first, second))
    return paired_difference(minus(*scores), weights)
