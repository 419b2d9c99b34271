"""What a greedy soup gains over the best run of its sweep: what Figures 5 and G.3 share."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelsoups.paper.claims import WHERE, Claim, compared
from modelsoups.paper.domains import sets_by_domain
from modelsoups.paper.methods import by_label
from modelsoups.soups.registry import Method

if TYPE_CHECKING:
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
