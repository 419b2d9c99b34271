"""What Figures B.2 and G.4 share: runs that differ in their seed alone."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelsoups.paper.declare import MATCH, SWEEP, Analysis, Need, Spec
from modelsoups.paper.domains import by_domain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LOOKS: dict[str, dict[str, Any]] = {  # method -> look of its line
    "individual": {"color": "tab:green", "marker": "d", "linestyle": ""},
    "soup": {"color": "tab:blue", "marker": "o"},
    "ensemble": {"color": "tab:purple", "marker": "s"},
    "calibrated soup": {"color": "tab:blue", "marker": "o", "linestyle": "--", "fillstyle": "none"},
    "calibrated ensemble": {
        "color": "tab:purple",
        "marker": "s",
        "linestyle": "--",
        "fillstyle": "none",
    },
}
PLAIN = [method for method in LOOKS if not method.startswith("calibrated")]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["sweep"],
    "properties": {
        "sweep": SWEEP,
        "match": {
            **MATCH,
            "description": "Hyper-parameters of the runs; all of the sweep if left out",
        },
    },
}


def table_of(spec: Spec) -> str:
    """Name of the table of a spec's runs: those of one match share it, others have their own."""
    match = spec.get("match", {})
    parts = [f"{name}-{_word(match[name])}" for name in sorted(match)]
    return f"seeds/{'_'.join(parts) or 'all'}"


def need(spec: Spec) -> Need:
    """What is measured of a spec's runs."""
    return Need(sweep=spec["sweep"], table=table_of(spec))


def ask_for(spec: Spec) -> Analysis:
    """Soups and ensembles of a spec's runs."""
    plan = {"match": spec.get("match", {})}
    return Analysis(sweep=spec["sweep"], table=table_of(spec), plan=plan)


def seeds_curves(
    seeds: "pd.DataFrame", roles: Mapping[str, str], metrics: Sequence[str]
) -> "pd.DataFrame":
    """Method, k, metric and the domains' values. seeds: of `analyses.seeds.study_seeds`."""
    return by_domain(seeds[seeds["metric"].isin(metrics)], roles, ["method", "k", "metric"])


def draw_lines(
    axes: "Axes", table: "pd.DataFrame", domain: str, factor: float, methods: Sequence[str]
) -> None:
    """A line a method against the number of runs. table: of `seeds_curves`, of one metric."""
    from matplotlib.ticker import MaxNLocator

    for method in methods:
        line = table[table["method"] == method]
        if len(line):
            axes.plot(line["k"], factor * line[domain], label=method, markersize=5, **LOOKS[method])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _word(value: Any) -> str:
    """A hyper-parameter's value as part of a file name."""
    return f"{value:g}" if isinstance(value, float) else str(value)
