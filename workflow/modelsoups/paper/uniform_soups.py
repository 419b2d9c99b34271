"""Where the uniform soup helps: claims on two sweeps, with no table of their own (Sec. 3.3.1)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelsoups.paper.claims import Claim, compared
from modelsoups.paper.conditions import needs_runs
from modelsoups.paper.declare import SWEEP, Given, Made, Need, Result, Spec
from modelsoups.paper.methods import by_label
from modelsoups.soups.registry import Method

if TYPE_CHECKING:
    import pandas as pd

SWEEPS = ("all_good", "some_bad")


def uniform_claims(
    scores: "Mapping[str, pd.DataFrame]",
    correct: "Mapping[str, pd.DataFrame]",
    roles: Mapping[str, str],
    methods: Mapping[str, Method],
    sweeps: Mapping[str, str],
) -> list[Claim]:
    """The uniform soup helps where all runs are good, and not where some are bad.

    Sweeps without a uniform soup have no claim.

    Args:
        scores, correct: of each of SWEEPS. methods: soup -> its row.
        sweeps: what the sweeps are called.
    """
    from modelsoups.evaluation.scores import rank, the_dataset

    test, held_out = the_dataset(roles, "test"), the_dataset(roles, "held_out")
    claims = []
    for sort, claim in (
        ("all_good", "The uniform soup beats the best run where all runs are good"),
        ("some_bad", "The uniform soup is below the best run where some runs are bad"),
    ):
        uniform = by_label(methods, correct[sort].columns).get("Uniform soup")
        if uniform:
            ranked = rank(scores[sort][scores[sort]["kind"] == "run"], held_out, roles)
            pair = (uniform, [ranked.index[0]])
            first, second = pair if sort == "all_good" else pair[::-1]
            where = f"sweep {sweeps[sort]} (held-out accuracy of its runs: {span(ranked)})"
            claims.append(
                compared(
                    correct[sort],
                    first,
                    second,
                    [test],
                    where,
                    claim=claim,
                    section="3.3.1",
                    paper="Only where all individual models achieve high accuracy",
                )
            )
    return claims


def span(accuracies: "pd.Series") -> str:
    """`40.1 to 74.5 %`."""
    return f"{100 * accuracies.min():.1f} to {100 * accuracies.max():.1f} %"


def make(given: Given) -> Made:
    """The claims."""
    from modelsoups.evaluation.scores import read_scores

    scores = dict(zip(SWEEPS, map(read_scores, given.paths("scores")), strict=True))
    correct = dict(zip(SWEEPS, given.read_all("correct"), strict=True))
    return Made(claims=uniform_claims(scores, correct, given.roles, given.methods, given.spec))


def needs(spec: Spec) -> dict[str, Need | list[Need]]:
    """Scores, and what is right image by image, of both sweeps."""
    return {
        table: [Need(sweep=spec[sort], table=table) for sort in SWEEPS]
        for table in ("scores", "correct")
    }


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
        },
    },
    targets=lambda sweeps, config: {"uniform-soups": sweeps},
    needs=needs,
    names=lambda spec: [("sweep", spec[sort]) for sort in SWEEPS],
    problems=lambda spec, study: [
        problem for sort in SWEEPS for problem in needs_runs(study, spec[sort])
    ],
    make=make,
)
