"""The rows of Table 3, which models each has, and what the paper claims of them (Sec. 3.3.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelsoups.paper.claims import (
    Claim,
    difference,
    difference_in_words,
    exactly,
    make_claim,
    points,
)
from modelsoups.paper.methods import by_label
from modelsoups.soups.registry import Method

if TYPE_CHECKING:
    import pandas as pd

    from modelsoups.evaluation.statistics import Estimate

BEST = "Best individual model"
SECOND = "Second best model"
MARGIN = 0.01  # of accuracy: soups that differ by less are as good


def list_rows(
    scores: "pd.DataFrame", roles: Mapping[str, str], methods: Mapping[str, Method]
) -> dict[str, list[str]]:
    """Label -> its models, for the rows that a sweep has.

    Args:
        scores: tidy scores of a sweep. roles: dataset -> role; one held_out, one test, any shifts.
        methods: soup or ensemble -> its row, in the order of rows; those without scores are left
            out.
    """
    from modelsoups.evaluation.scores import rank, the_dataset

    runs = scores[scores["kind"] == "run"]
    ranked = rank(runs, the_dataset(roles, "held_out"), roles).index
    rows = {BEST: list(ranked[:1]), SECOND: list(ranked[1:2])}
    rows |= by_label(methods, scores["model"].unique())
    return {method: models for method, models in rows.items() if models}


@dataclass(frozen=True, kw_only=True)
class ComparisonOfRows:
    """A claim of the paper that one row of the table is above another, or as good."""

    claim: str
    paper: str
    first: str  # label of a row
    second: str
    domain: str  # in_distribution or shifts
    section: str = "3.3.1"
    margin: float = 0  # if it says that they are as good: they differ by less

    def judge(self, found: "Estimate", here: str) -> Claim:
        """The claim with its verdict. found: first minus second row. here: that in words."""
        from modelsoups.evaluation.statistics import within

        return make_claim(
            here,
            within(found, self.margin) if self.margin else found,
            claim=self.claim,
            section=self.section,
            paper=self.paper,
            domain=self.domain,
        )


COMPARISONS = (
    ComparisonOfRows(
        claim="The greedy soup beats the best run in distribution",
        paper="81.03 % against 80.38 %",
        first="Greedy soup",
        second=BEST,
        domain="in_distribution",
    ),
    ComparisonOfRows(
        claim="The greedy soup beats the best run on the shifts",
        paper="50.75 % against 47.83 %",
        first="Greedy soup",
        second=BEST,
        domain="shifts",
    ),
    ComparisonOfRows(
        claim="The ensemble is better than the greedy soup in distribution",
        paper="81.19 % against 81.03 %",
        first="Ensemble",
        second="Greedy soup",
        domain="in_distribution",
    ),
    ComparisonOfRows(
        claim="The greedy soup is better than the ensemble on the shifts",
        paper="So the text; Table 3 has 50.75 % against 50.77 %",
        first="Greedy soup",
        second="Ensemble",
        domain="shifts",
    ),
    ComparisonOfRows(
        claim="The greedy ensemble is better than the greedy soup in distribution",
        paper="81.90 % against 81.03 %",
        first="Greedy ensemble",
        second="Greedy soup",
        domain="in_distribution",
    ),
    ComparisonOfRows(
        claim="The greedy soup is better than the greedy ensemble on the shifts",
        paper="50.75 % against 49.44 %",
        first="Greedy soup",
        second="Greedy ensemble",
        domain="shifts",
    ),
    ComparisonOfRows(
        claim="The greedy soup is better than the uniform soup in distribution",
        paper="81.03 % against 79.97 %",
        first="Greedy soup",
        second="Uniform soup",
        domain="in_distribution",
    ),
    ComparisonOfRows(
        claim="The greedy soup is as good as the uniform soup on the shifts, within "
        f"{points(MARGIN)[1:]}",
        paper="50.75 % against 51.45 %",
        first="Greedy soup",
        second="Uniform soup",
        domain="shifts",
        margin=MARGIN,
    ),
    ComparisonOfRows(
        claim="The ensemble of all runs beats the best run in distribution",
        paper="81.19 % against 80.38 %",
        first="Ensemble",
        second=BEST,
        domain="in_distribution",
        section="1",
    ),
    ComparisonOfRows(
        claim="The ensemble of all runs beats the best run on the shifts",
        paper="50.77 % against 47.83 %",
        first="Ensemble",
        second=BEST,
        domain="shifts",
        section="1",
    ),
)


def row_claims(
    scores: "pd.DataFrame",
    correct: "pd.DataFrame",
    roles: Mapping[str, str],
    methods: Mapping[str, Method],
    where: str,
) -> list[Claim]:
    """Claims on the greedy soup, the best run and the ensemble of a sweep (Sec. 2, 3.3.1).

    What the study has no soup, ensemble or shift set for is left out.

    Args: as `list_rows`; correct: which images its models have right (`paired`); where: in which
        sweep, for the texts.
    """
    from modelsoups.evaluation.scores import accuracies_by_model, datasets_of, the_dataset

    held_out = the_dataset(roles, "held_out")
    sets = {"in_distribution": [the_dataset(roles, "test")], "shifts": datasets_of(roles, "shift")}
    rows = list_rows(scores, roles, methods)
    claims = []
    if "Greedy soup" in rows:
        on_held_out = accuracies_by_model(scores, [held_out])[0][held_out]
        ours, theirs = (float(on_held_out[rows[label]].mean()) for label in ("Greedy soup", BEST))
        claims.append(
            make_claim(
                f"{100 * ours:.2f} % against {100 * theirs:.2f} % ({points(ours - theirs)}), "
                f"{where}",
                exactly(ours - theirs),
                exact=True,
                claim="The greedy soup is no worse than the best run on the held-out set",
                section="2",
                paper="By construction",
            )
        )
    for each in COMPARISONS:
        if {each.first, each.second} <= rows.keys() and sets[each.domain]:
            first, second = rows[each.first], rows[each.second]
            found = difference(correct, first, second, sets[each.domain])
            here = difference_in_words(first, second, found, where)
            claims.append(each.judge(found, here))
    return claims
