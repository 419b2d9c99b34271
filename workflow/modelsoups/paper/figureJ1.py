"""Figure J.1: Figure 2 with a learning rate that is too large (Appendix J.1)."""

from collections.abc import Mapping
from typing import Any

from modelsoups.paper import figure2
from modelsoups.paper.declare import Result, Spec, one_sweep

DRAWN = ("plane-seed", "plane-larger-lr")


def targets(planes: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Spec]:
    """The figure, where the config has a larger learning rate."""
    return {"figureJ1": planes} if "larger_lr" in planes else {}


RESULT = Result(
    name="figureJ1",
    title="Figure J.1",
    section="J",
    kind="figure",
    about="Figure J.1: Figure 2 with a learning rate that is too large.",
    key="figure2",
    schema=figure2.RESULT.schema,
    targets=targets,
    needs=lambda spec: figure2.read(spec, DRAWN),
    analyses=lambda spec: figure2.ask_for(spec, DRAWN),
    names=one_sweep,
    problems=lambda spec, study: figure2.problems(spec, study, DRAWN),
    make=lambda given: figure2.draw(given, DRAWN, log_levels=False, judge=figure2.barrier_claims),
    caption="Figure J.1: Figure 2 with a larger learning rate (bottom), linear contours.",
    paper="With a large learning rate error increases between the runs",
)
