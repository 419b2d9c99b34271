"""Figure G.2: soups on CIFAR-10 and its reproduction CIFAR-10.1 (Appendix G)."""

from collections.abc import Mapping
from typing import Any

from modelsoups.paper.benchmarks import SHIFT_SETS, make_panels, names, needs, problems
from modelsoups.paper.declare import SWEEP, Result, Spec

PAPER = "The greedy soup is above the best run on CIFAR-10 and CIFAR-10.1 (CLIP ViT-L/14)"


def targets(panel: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Spec]:
    """A figure of one panel, by accuracy."""
    return {"figureG2": {"panels": [{**panel, "metric": "accuracy"}]}}


RESULT = Result(
    name="figureG2",
    title="Figure G.2",
    section="G",
    kind="figure",
    about="Figure G.2: soups against the runs of their sweep, on a set and its reproduction.",
    key="figureG2",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["sweep"],
        "properties": {"sweep": SWEEP, "shift_sets": SHIFT_SETS},
    },
    targets=targets,
    needs=needs,
    names=names,
    problems=problems,
    make=lambda given: make_panels(given, PAPER),
    caption=(
        "Figure G.2. One marker a model: accuracy in distribution, and on the reproduction of its "
        "test set. The ring marks the run that is best on the held-out set."
    ),
    paper=PAPER,
)
