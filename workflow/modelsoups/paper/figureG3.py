"""Figure G.3: Figure 1 for another pre-training, where the greedy soup helps less (Appendix G)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from modelsoups.paper import figure1
from modelsoups.paper.claims import WHERE, Claim
from modelsoups.paper.conditions import needs_runs
from modelsoups.paper.declare import SWEEP, Given, Made, Result, tables_of
from modelsoups.paper.domains import sets_by_domain
from modelsoups.paper.gains import gain_claim, greedy_claims, soup_and_best
from modelsoups.soups.registry import Method

if TYPE_CHECKING:
    import pandas as pd

SWEEPS = ("sweep", "reference")


def difference_claims(
    scores: "Sequence[pd.DataFrame]",
    correct: "Sequence[pd.DataFrame]",
    roles: Mapping[str, str],
    methods: Mapping[str, Method],
    names: Sequence[str],
) -> list[Claim]:
    """The greedy soup gains less over the best run than that of the reference does, compared image
    by image. Without a greedy soup in both sweeps nothing is claimed.

    Args: scores, correct, names: of the sweep and of its reference.
    """
    from modelsoups.evaluation.paired import minus, strata

    chosen = [soup_and_best(each, roles, methods) for each in scores]
    if not all(soup for soup, _ in chosen):
        return []
    return [
        gain_claim(
            names,
            [
                minus(*(strata(table, models, datasets) for models in pair))
                for table, pair in zip(correct, chosen, strict=True)
            ],
            less=True,
            claim=f"The greedy soup of {names[0]} gains less over the best run than that of "
            f"{names[1]} ({WHERE[domain]})",
            paper="Pre-trained on ImageNet-22k the improvement is less substantial",
            domain=domain,
        )
        for domain, datasets in sets_by_domain(roles).items()
    ]


def make(given: Given) -> Made:
    """Figure G.3 and its claims."""
    from modelsoups.evaluation.scores import read_scores

    names = [given.spec[name] for name in SWEEPS]
    scores = [read_scores(path) for path in given.paths("scores")]
    correct = given.read_all("correct")
    shown = {name: each for name, each in given.methods.items() if each.label in figure1.SHOWN}
    title = f"{given.study}: sweep {names[0]}"
    about = (given.roles, given.methods)
    claims = greedy_claims(
        *(scores[0], correct[0], *about, names[0]), section="G", paper="It offers an improvement"
    )
    return Made(
        table=scores[0],
        figure=figure1.figure_1(scores[0], given.roles, title, shown),
        claims=[*claims, *difference_claims(scores, correct, *about, names)],
        found=[
            f"{name}: {figure1.describe(each, given.roles, shown)}"
            for name, each in zip(names, scores, strict=True)
        ],
    )


RESULT = Result(
    name="figureG3",
    title="Figure G.3",
    section="G",
    kind="figure",
    about="Figure G.3: the search from another pre-training, and what the greedy soup gains there.",
    key="figureG3",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": list(SWEEPS),
        "properties": {
            "sweep": {**SWEEP, "description": "The sweep or pool that is drawn"},
            "reference": {
                **SWEEP,
                "description": "The same search with the pre-training of the paper's CLIP",
            },
        },
    },
    needs=lambda spec: tables_of((spec[which] for which in SWEEPS), "scores", "correct"),
    names=lambda spec: [("sweep", spec[which]) for which in SWEEPS],
    problems=lambda spec, study: [
        problem for which in SWEEPS for problem in needs_runs(study, spec[which])
    ],
    make=make,
    caption=(
        "Figure G.3. One marker a model of sweep {sweep}: accuracy on the test set and mean of the "
        "shift sets. The ring marks the run that is best on the held-out set. Gains are compared "
        "with the same search from another pre-training."
    ),
    paper="The greedy soup offers an improvement, less substantial than that of CLIP",
)
