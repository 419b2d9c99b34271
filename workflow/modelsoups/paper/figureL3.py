"""Figure L.3: Figure 1 with every soup and ensemble of the study (Appendix L)."""

from modelsoups.paper import figure1
from modelsoups.paper.conditions import needs_runs
from modelsoups.paper.declare import Given, Made, Result, one_sweep, table_need


def make(given: Given) -> Made:
    """Figure L.3: the runs with all soups and ensembles."""
    return figure1.draw(given, given.methods)


RESULT = Result(
    name="figureL3",
    title="Figure L.3",
    section="L",
    kind="figure",
    about="Figure L.3: Figure 1 with all soups and ensembles of Table 3.",
    key="figure1",
    schema=figure1.RESULT.schema,
    targets=lambda sweep, config: {"figureL3": {"sweep": sweep}},
    needs=table_need("scores"),
    names=one_sweep,
    problems=lambda spec, study: needs_runs(study, spec["sweep"]),
    make=make,
    caption="Figure L.3: Figure 1 with all soups and ensembles of Table 3.",
    paper="All but the uniform soup are above the best run on both; in distribution the greedy "
    "ensemble is best (Table 3)",
)
