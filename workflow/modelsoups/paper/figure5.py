"""Figure 5: Figure 1 for ALIGN, all of whose runs are good (Section 3.3.1, Appendix J.2.2)."""

from dataclasses import replace

from modelsoups.paper import figure1
from modelsoups.paper.conditions import needs_runs
from modelsoups.paper.declare import SWEEP, Given, Made, Result, one_sweep, table_need
from modelsoups.paper.gains import greedy_claims
from modelsoups.paper.uniform_soups import uniform_claim


def make(given: Given) -> Made:
    """Figure 5 and its claims."""
    from modelsoups.evaluation.scores import read_scores

    scores, sweep = read_scores(given.path("scores")), given.spec["sweep"]
    about = (scores, given.read("correct"), given.roles, given.methods, sweep)
    claims = greedy_claims(*about, section="3.3.1", paper="By 0.5 points in distribution (ALIGN)")
    return replace(figure1.make(given), claims=[*claims, *uniform_claim("all_good", *about)])


RESULT = Result(
    name="figure5",
    title="Figure 5",
    section="3.3",
    kind="figure",
    about="Figure 5: Figure 1 for ALIGN, all of whose runs are good.",
    key="figure5",
    schema={**SWEEP, "description": "The sweep or pool that Figure 5 is about"},
    targets=lambda sweep, config: {"figure5": {"sweep": sweep}},
    needs=table_need("scores", "correct"),
    names=one_sweep,
    problems=lambda spec, study: needs_runs(study, spec["sweep"]),
    make=make,
    caption=(
        "Figure 5. One marker a model of sweep {sweep}: accuracy on the test set and mean of the "
        "shift sets. The ring marks the run that is best on the held-out set. The paper's are of "
        "ALIGN EfficientNet-L2, which is not public."
    ),
    paper="Both soups are above the best run; the greedy one by 0.5 points",
)
