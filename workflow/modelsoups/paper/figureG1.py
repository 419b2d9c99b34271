"""Figure G.1: soups on WILDS-FMoW and WILDS-iWildCam, by each benchmark's metric (Appendix G)."""

from modelsoups.paper.benchmarks import PANEL, make_panels, names, needs, problems
from modelsoups.paper.declare import Result

PAPER = "Model soups improve FMoW and iWildCam in and out of distribution (CLIP ViT-L/14)"

RESULT = Result(
    name="figureG1",
    title="Figure G.1",
    section="G",
    kind="figure",
    about="Figure G.1: soups against the runs of their sweep, by benchmarks' own metrics.",
    key="figureG1",
    schema={
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": PANEL,
        "description": "A panel each: a sweep or pool that has a greedy soup by this metric",
    },
    targets=lambda panels, config: {"figureG1": {"panels": panels}},
    needs=needs,
    names=names,
    problems=problems,
    make=lambda given: make_panels(given, PAPER),
    caption=(
        "Figure G.1. One marker a model: a benchmark's metric in distribution, and on the images "
        "of the shift sets together. The greedy soup is chosen by the metric, and so is the best "
        "run, ringed, both on the held-out set."
    ),
    paper=PAPER,
)
