"""Where the uniform soup helps: claims on two sweeps, with no table of their own (Sec. 3.3.1)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelsoups.paper.claims import Claim, compared, not_judged
from modelsoups.paper.conditions import needs_runs
from modelsoups.paper.declare import SWEEP, Given, Made, Result, tables_of
from modelsoups.paper.methods import by_label
from modelsoups.soups.registry import Method

if TYPE_CHECKING:
    import pandas as pd

CLAIMS = {
    "all_good": "The uniform soup beats the best run where all runs are good",
    "some_bad": "The uniform soup is below the best run where some runs are bad",
}
SWEEPS = tuple(CLAIMS)
GOOD_WITHIN = 0.05  # of held-out accuracy


def uniform_claims(
    scores: "Mapping[str, pd.DataFrame]",
    correct: "Mapping[str, pd.DataFrame]",
    roles: Mapping[str, str],
    methods: Mapping[str, Method],
    sweeps: Mapping[str, str],
    good_within: float = GOOD_WITHIN,
) -> list[Claim]:
    """The uniform soup helps where all runs are good, and not where some are bad: together, only
    where all are good.

    Sweeps without a uniform soup have no claim; that on a sweep whose runs are not as it is said of
    them is not judged.

    Args:
        scores, correct: of each of SWEEPS. methods: soup -> its row.
        sweeps: what the sweeps are called.
        good_within: a run is good whose held-out accuracy is so far below the best one's, or less.
    """
    return [
        claim
        for sort in SWEEPS
        for claim in uniform_claim(
            sort, scores[sort], correct[sort], roles, methods, sweeps[sort], good_within
        )
    ]


def uniform_claim(
    sort: str,
    scores: "pd.DataFrame",
    correct: "pd.DataFrame",
    roles: Mapping[str, str],
    methods: Mapping[str, Method],
    sweep: str,
    good_within: float = GOOD_WITHIN,
) -> list[Claim]:
    """The claim on one sweep, if it has a uniform soup.

    Args: sort: one of SWEEPS. sweep: what it is called. Others as of `uniform_claims`, of one.
    """
    from modelsoups.evaluation.scores import rank, the_dataset

    test, held_out = the_dataset(roles, "test"), the_dataset(roles, "held_out")
    uniform = by_label(methods, correct.columns).get("Uniform soup")
    if not uniform:
        return []
    ranked = rank(scores[scores["kind"] == "run"], held_out, roles)
    num_bad = int((ranked < ranked.iloc[0] - good_within).sum())
    where = (
        f"sweep {sweep}: {len(ranked) - num_bad} of {len(ranked)} runs are good, within "
        f"{100 * good_within:g} points of the best on the held-out set ({span(ranked)})"
    )
    texts = {
        "claim": CLAIMS[sort],
        "section": "3.3.1",
        "paper": "Only where all individual models achieve high accuracy",
    }
    if (num_bad > 0) != (sort == "some_bad"):
        return [not_judged(f"not as the claim has it, {where}", **texts)]
    pair = (uniform, [ranked.index[0]])
    first, second = pair if sort == "all_good" else pair[::-1]
    return [compared(correct, first, second, [test], where, **texts)]


def span(accuracies: "pd.Series") -> str:
    """`40.1 to 74.5 %`."""
    return f"{100 * accuracies.min():.1f} to {100 * accuracies.max():.1f} %"


def make(given: Given) -> Made:
    """The claims."""
    from modelsoups.evaluation.scores import read_scores

    scores = dict(zip(SWEEPS, map(read_scores, given.paths("scores")), strict=True))
    correct = dict(zip(SWEEPS, given.read_all("correct"), strict=True))
    within = given.spec.get("good_within", 100 * GOOD_WITHIN) / 100
    return Made(
        claims=uniform_claims(scores, correct, given.roles, given.methods, given.spec, within)
    )


RESULT = Result(
    name="uniform-soups",
    title="Uniform soups",
    section="3.3",
    kind="claims",
    about="Claims on the uniform soup: where all runs are good, and where some are bad.",
    key="what_holds",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": list(SWEEPS),
        "properties": {
            "all_good": {**SWEEP, "description": "A sweep or pool all of whose runs are good"},
            "some_bad": {**SWEEP, "description": "A sweep or pool some of whose runs are bad"},
            "good_within": {
                "type": "number",
                "exclusiveMinimum": 0,
                "description": "Percentage points of held-out accuracy below the best run that a "
                "good one may be (default 5)",
            },
        },
    },
    targets=lambda sweeps, config: {"uniform-soups": sweeps},
    needs=lambda spec: tables_of((spec[sort] for sort in SWEEPS), "scores", "correct"),
    names=lambda spec: [("sweep", spec[sort]) for sort in SWEEPS],
    problems=lambda spec, study: [
        problem for sort in SWEEPS for problem in needs_runs(study, spec[sort])
    ],
    make=make,
)
