"""Gains of soups over runs, and which of two is larger: what Figures 5, G.3 and G.4 share."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import WHERE, Claim, compared, in_points, make_claim, points
from modelsoups.paper.domains import sets_by_domain
from modelsoups.paper.methods import by_label
from modelsoups.soups.registry import Method

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

GREEDY = "Greedy soup"


def soup_and_best(
    scores: "pd.DataFrame", roles: Mapping[str, str], methods: Mapping[str, Method]
) -> tuple[list[str], list[str]]:
    """The greedy soups of a sweep, none if it has none, and its best run on the held-out set."""
    from modelsoups.evaluation.scores import rank, the_dataset

    ranked = rank(scores[scores["kind"] == "run"], the_dataset(roles, "held_out"), roles)
    return by_label(methods, scores["model"]).get(GREEDY, []), [ranked.index[0]]


def greedy_claims(
    scores: "pd.DataFrame",
    correct: "pd.DataFrame",
    roles: Mapping[str, str],
    methods: Mapping[str, Method],
    sweep: str,
    *,
    section: str,
    paper: str,
) -> list[Claim]:
    """The greedy soup beats the best run, in distribution and on the shifts.

    Args: sweep: what it is called. section, paper: as `Claim` has them.
    """
    soup, best = soup_and_best(scores, roles, methods)
    return [
        compared(
            correct,
            soup,
            best,
            datasets,
            f"sweep {sweep}",
            claim=f"The greedy soup of {sweep} beats the best run ({WHERE[domain]})",
            domain=domain,
            section=section,
            paper=paper,
        )
        for domain, datasets in sets_by_domain(roles).items()
        if soup
    ]


def gain_claim(
    names: Sequence[str],
    gains: "Sequence[Sequence[np.ndarray]]",
    less: bool = False,
    **texts: Any,
) -> Claim:
    """One gain is larger than another, or less; they are compared image by image.

    Args: names, gains: of both: for each data set (n,) of an image, in [-1, 1]. texts: as of
        `make_claim`.
    """
    from modelsoups.evaluation.paired import minus
    from modelsoups.evaluation.statistics import paired_difference, scaled

    halves = [each / 2 for each in minus(*(gains[::-1] if less else gains))]
    found = scaled(paired_difference(halves), 2)
    first, second = (points(sum(each.mean() for each in gain) / len(gain)) for gain in gains)
    here = f"gain of {names[0]} {first}, of {names[1]} {second}: {in_points(found)}"
    return make_claim(here, found, section="G", **texts)
