"""Domains: `in_distribution` is the test set, `shifts` the unweighted mean over the shift sets."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

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
