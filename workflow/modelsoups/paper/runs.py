"""The runs of a sweep, for the report: hyper-parameters, accuracies and training curves."""

from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any

from modelsoups.paper.look import styled
from modelsoups.paper.pages import join_markdown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def print_runs(runs: "pd.DataFrame", correct: "pd.DataFrame") -> str:
    """The runs of a sweep as Markdown: hyper-parameters, and accuracy in % on each dataset.

    Args:
        runs: a column `run` and one a hyper-parameter.
        correct: which images they have right; runs that failed and were skipped are not in it.
    """
    known = [run for run in runs["run"] if run in correct]
    accuracies = correct.groupby("dataset", sort=False)[known].mean().T
    datasets = list(accuracies.columns)
    lines = [[*runs.columns, *datasets], ["---"] * (len(runs.columns) + len(datasets))]
    for row in runs.itertuples(index=False):
        settings = map(_print_value, row)
        found = (
            (f"{100 * accuracy:.2f}" for accuracy in accuracies.loc[row.run])
            if row.run in accuracies.index
            else ("failed" for _ in datasets)
        )
        lines.append([*settings, *found])
    return join_markdown(lines)


def collect_curves(records: Mapping[str, Mapping[str, Any]]) -> "pd.DataFrame":
    """Training loss by epoch: run, epoch, loss, lr (the run's peak learning rate).

    Args: records: run -> its record; the curve of a run that failed ends early.
    """
    import pandas as pd

    return pd.DataFrame(
        [
            {"run": run, "epoch": epoch, "loss": step["loss"], "lr": record["spec"]["lr"]}
            for run, record in records.items()
            for epoch, step in enumerate(record["curve"], start=1)
        ],
        columns=["run", "epoch", "loss", "lr"],
    )


def figure_curves(table: "pd.DataFrame", title: str) -> "Figure":
    """Training loss of every run of a sweep by epoch.

    Args: table: of `collect_curves`.
    """
    import matplotlib
    import matplotlib.cm
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with styled():
        figure = Figure()
        axes = figure.subplots()
        norm = LogNorm(table["lr"].min(), table["lr"].max() * (1 + 1e-9))
        colors = matplotlib.colormaps["viridis"]
        for _, curve in table.groupby("run"):
            color = colors(norm(curve["lr"].iloc[0]))
            axes.plot(curve["epoch"], curve["loss"], color=color, marker=".", linewidth=1)
        axes.set(title=title, xlabel="Epoch", ylabel="Training loss (nats, as trained)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        scale = matplotlib.cm.ScalarMappable(norm, colors)
        figure.colorbar(scale, ax=axes, label="Learning rate")
    return figure


def _print_value(value: Any) -> str:
    """A hyper-parameter; what a run does not have is a dash."""
    if not isinstance(value, float):
        return str(value)
    return "–" if isnan(value) else f"{value:.3g}"
