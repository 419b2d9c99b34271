"""Domains from rows of data sets."""

import numpy as np
import pandas as pd

from modelsoups.paper.domains import by_domain, domains_in

ROLES = {
    "learn": "train",
    "holdout": "held_out",
    "photos": "test",
    "sketches": "shift",
    "toys": "shift",
}


def test_domains_are_the_test_set_and_the_mean_of_the_shifts(measure) -> None:
    rows = measure({"holdout": 0.9, "photos": 0.8, "sketches": 0.2, "toys": 0.6}, model="b")
    rows += measure({"photos": 0.7, "sketches": 0.1, "toys": 0.3}, model="a")
    table = by_domain(pd.DataFrame(rows), ROLES, ["model"])
    assert table["model"].tolist() == ["b", "a"]  # in their order
    np.testing.assert_allclose(table[["in_distribution", "shifts"]], [[0.8, 0.4], [0.7, 0.2]])
    assert domains_in(table) == ["in_distribution", "shifts"]


def test_a_study_without_shift_sets_has_one_domain(measure) -> None:
    table = by_domain(
        pd.DataFrame(measure({"photos": 0.8}, model="a")), {"photos": "test"}, ["model"]
    )
    assert domains_in(table) == ["in_distribution"]
