"""The paper's figures, from tidy tables to a matplotlib Figure; nothing is computed but percent."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.cm
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from modelsoups.analyses.evidence import k1_panels
from modelsoups.base.files import publish
from modelsoups.evaluation.scores import accuracies_by_model, datasets_of, rank, the_dataset

STYLE = Path(__file__).with_name("style.mplstyle")

# Name -> look. Colours of runs and uniform soup are the paper's; all are told apart without colour.
MARKERS: dict[str, dict[str, Any]] = {
    "Initialization": {"color": "0.35", "marker": "X", "s": 80},
    "Individual models": {"color": "tab:green", "marker": "d", "s": 40},
    "Best on held-out set": {
        "facecolor": "none",
        "edgecolor": "black",
        "marker": "o",
        "s": 130,
        "linewidth": 1.2,
    },
    "Uniform soup": {"color": "tab:blue", "marker": "o", "s": 70},
    "Greedy soup": {"color": "tab:red", "marker": "*", "s": 170},
    "Greedy soup (random order)": {"color": "tab:orange", "marker": "v", "s": 45},
    "Learned soup": {"color": "tab:cyan", "marker": "^", "s": 60},
    "Learned soup (by layer)": {"color": "tab:olive", "marker": "<", "s": 60},
    "Ensemble": {"color": "tab:purple", "marker": "s", "s": 45},
    "Greedy ensemble": {"color": "tab:brown", "marker": "P", "s": 70},
}

# Label in Figure 1 -> its one model, shown where there is one.
SOUPS = {"Uniform soup": "uniform", "Greedy soup": "greedy"}
# Those of Figure L.3, several models joined by a space.
EVERYTHING = {
    **SOUPS,
    "Greedy soup (random order)": "greedy-order1 greedy-order2 greedy-order3",
    "Learned soup": "learned",
    "Learned soup (by layer)": "learned-by-layer",
    "Ensemble": "ensemble",
    "Greedy ensemble": "greedy-ensemble",
}
DOMAINS = {"in_distribution": "In distribution", "shifts": "Mean of shifts"}


def figure_1(
    scores: pd.DataFrame,
    roles: Mapping[str, str],
    title: str,
    shown: Mapping[str, str] = SOUPS,
) -> Figure:
    """Soups against the runs of their sweep: mean accuracy on the shifts over test accuracy.

    (paper Figure 1.) The best run is the best on the held-out set, of equal ones the later.

    Args:
        scores: tidy scores of a sweep. roles: dataset -> role; one held_out, one test, shifts.
        title: says which study this is. shown: label -> models, joined by a space; labels are keys
            of `MARKERS`, models without scores are left out. `EVERYTHING` makes Figure L.3.
    Raises: ValueError if there is no shift set or a model lacks a score.
    """
    if not (shifts := datasets_of(roles, "shift")):
        raise ValueError(f"figure 1 needs a dataset with role shift, found {dict(roles)}")
    test = the_dataset(roles, "test")
    runs = scores[scores["kind"] == "run"]
    best = rank(runs, the_dataset(roles, "held_out"), roles).index[0]
    accuracies, sizes = accuracies_by_model(scores, [test, *shifts])
    kinds = scores.groupby("model")["kind"].first()
    groups = {
        "Initialization": kinds.index[kinds == "initialization"],
        "Individual models": kinds.index[kinds == "run"],
        "Best on held-out set": [best],
        **{label: kinds.index.intersection(models.split()) for label, models in shown.items()},
    }
    with matplotlib.style.context(STYLE):
        figure = Figure()
        axes = figure.subplots()
        for label, models in groups.items():
            if len(models):
                points = 100 * accuracies.loc[models]
                axes.scatter(
                    points[test], points[shifts].mean(axis=1), label=label, **MARKERS[label]
                )
        axes.set(
            title=title,
            xlabel=f"Accuracy on {test} (top-1, %; n = {sizes[test]:,})",
            ylabel=f"Mean accuracy on {len(shifts)} shift sets (top-1, %)",
        )
        many = len(axes.collections) > len(SOUPS) + 3
        figure.legend(loc="outside lower center", ncols=2 if many else 3)
    return figure


EDGE = {"linestyle": "", "markeredgecolor": "black"}
CORNERS: dict[str, dict[str, Any]] = {  # of the planes in Figures 2 and J.1
    "Initialization": {"marker": "*", "markersize": 12, "color": "white", **EDGE},
    "First run": {"marker": "s", "markersize": 7, "color": "tab:blue", **EDGE},
    "Second run": {"marker": "o", "markersize": 7, "color": "tab:red", **EDGE},
}


def figure_2(table: pd.DataFrame, title: str, log_levels: bool = True) -> Figure:
    """Train loss, test error and shift error on planes through the initialisation and two runs.

    (Figure 2; J.1 with linear instead of log-scaled contours.) The initialisation is a star, the
    first run a blue square, arrows show the fine-tuning.

    Args: table: of `evidence.landscape`.
    """
    panels = {
        "train_loss": ("Train loss (nats)", 1),
        "in_distribution": ("Test error (%)", 100),
        "shifts": ("Mean shift error (%)", 100),
    }
    columns = {name: text for name, text in panels.items() if name in table}
    planes = list(dict.fromkeys(table["plane"]))
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(3.6 * len(columns) + 0.4, 3.1 * len(planes) + 0.5))
        grid = figure.subplots(len(planes), len(columns), squeeze=False)
        for row, plane in zip(grid, planes, strict=True):
            points = table[table["plane"] == plane]
            nodes = points[points["corner"] == ""]
            start, first, second = (
                points[points["corner"] == corner].iloc[0]
                for corner in ("start", "first", "second")
            )
            for axes, (name, (label, factor)) in zip(row, columns.items(), strict=True):
                values = factor * nodes.pivot(index="y", columns="x", values=name)
                low, high = float(values.min().min()), float(values.max().max())
                spaced = (
                    low + (high - low) * np.geomspace(0.01, 1, 12)
                    if log_levels
                    else np.linspace(low, high, 12)
                )
                levels = np.unique([low, *spaced])
                shape = axes.contourf(
                    values.columns, values.index, values, levels=levels, cmap="viridis_r"
                )
                axes.contour(
                    values.columns, values.index, values, levels=levels, colors="w", linewidths=0.4
                )
                for end in (first, second):
                    axes.annotate(
                        "",
                        (end["x"], end["y"]),
                        (start["x"], start["y"]),
                        arrowprops={"arrowstyle": "->", "color": "0.45", "shrinkB": 5},
                    )
                for point, look in zip((start, first, second), CORNERS.values(), strict=True):
                    axes.plot(point["x"], point["y"], zorder=3, **look)
                axes.set_title(label if plane == planes[0] else "")
                axes.set_xlabel("Along $u_1$ (distance)")
                axes.set_ylabel(f"{plane}\nAlong $u_2$" if name == next(iter(columns)) else "")
                axes.grid(False)
                figure.colorbar(shape, ax=axes, format="%.3g")
        figure.suptitle(title)
        handles = [Line2D([], [], label=label, **look) for label, look in CORNERS.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


VARIED: dict[str, tuple[str, dict[str, Any]]] = {  # what differs -> label and look, in Figure 3
    "seed": ("Seed", {"marker": "o", "color": "tab:blue"}),
    "lr": ("Learning rate", {"marker": "s", "color": "tab:orange"}),
    "augmentation": ("Augmentation", {"marker": "^", "color": "tab:green"}),
    "several": ("Several", {"marker": "x", "color": "0.5"}),
}


def figure_3(table: pd.DataFrame, title: str, subtitle: str = "") -> Figure:
    """Interpolation advantage against the angle between two runs' displacements (Figure 3).

    Args: table: of `evidence.advantage`. subtitle: what was measured on it.
    """
    with matplotlib.style.context(STYLE):
        figure = Figure()
        axes = figure.subplots()
        for what, pairs in table.groupby("varied"):
            label, look = VARIED.get(str(what), (str(what).capitalize(), {"marker": "D"}))
            axes.scatter(pairs["angle"], 100 * pairs["advantage"], label=label, s=36, **look)
        axes.axhline(0, color="0.6", linewidth=0.8)
        axes.set(
            title=f"{title}\n{subtitle}".strip(),
            xlabel="Angle between the runs' displacements (degrees)",
            ylabel="Interpolation advantage (percentage points)",
        )
        figure.legend(loc="outside lower center", ncols=4, title="The two runs differ in")
    return figure


def figure_4(table: pd.DataFrame, title: str) -> Figure:
    """Ensemble against soup accuracy of random pairs, coloured by the larger learning rate.

    (Figure 4.) Args: table: of `evidence.pair_accuracies`.
    """
    domains = [domain for domain in DOMAINS if domain in set(table["domain"])]
    rates = table["larger_lr"]
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(4.2 * len(domains) + 0.8, 4.2))
        grid = figure.subplots(1, len(domains), squeeze=False)[0]
        for axes, domain in zip(grid, domains, strict=True):
            pairs = table[table["domain"] == domain]
            points = axes.scatter(
                100 * pairs["soup"],
                100 * pairs["ensemble"],
                c=pairs["larger_lr"],
                norm=LogNorm(rates.min(), rates.max() * (1 + 1e-9)),
                cmap="viridis",
                s=34,
            )
            diagonal(axes)
            axes.set(title=DOMAINS[domain], xlabel="Soup of two: accuracy (top-1, %)")
        grid[0].set_ylabel("Ensemble of two: accuracy (top-1, %)")
        figure.colorbar(points, ax=list(grid), label="Larger learning rate of the pair")
        figure.suptitle(title)
    return figure


def diagonal(axes: Any) -> None:
    """A line where both coordinates are the same, across the axes' points."""
    low = min(axes.get_xlim()[0], axes.get_ylim()[0])
    high = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high))


GROWTH: dict[str, dict[str, Any]] = {  # method -> look of its line in Figure B.1
    "Best individual model": {"color": "tab:green", "marker": "d"},
    "Uniform soup": {"color": "tab:blue", "marker": "o"},
    "Greedy soup": {"color": "tab:red", "marker": "*"},
    "Ensemble": {"color": "tab:purple", "marker": "s"},
    "Greedy ensemble": {"color": "tab:brown", "marker": "P"},
}


def figure_b1(table: pd.DataFrame, title: str) -> Figure:
    """Accuracy against the number of models; faint lines are the random orders (Figure B.1).

    Args: table: of `evidence.growth_curves`; order -1 is the mean.
    """
    domains = [domain for domain in DOMAINS if domain in table]
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(4.2 * len(domains) + 0.4, 4.2))
        for axes, domain in zip(
            figure.subplots(1, len(domains), squeeze=False)[0], domains, strict=True
        ):
            for (order, method), line in table.groupby(["order", "method"], sort=False):
                look = GROWTH[method]
                if order == -1:
                    axes.plot(line["k"], 100 * line[domain], label=method, markersize=5, **look)
                else:
                    axes.plot(line["k"], 100 * line[domain], color=look["color"], alpha=0.2)
            axes.set(title=DOMAINS[domain], xlabel="Number of models")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.axes[0].set_ylabel("Accuracy (top-1, %)")
        figure.suptitle(title)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


SEEDS: dict[str, dict[str, Any]] = {  # method -> look of its line in Figures B.2 and G.4
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
SEED_METRICS = {
    "accuracy": ("Accuracy (top-1, %)", 100),
    "ece": ("ECE (%)", 100),
    "nll": ("NLL (nats)", 1),
}


def figure_b2(table: pd.DataFrame, title: str) -> Figure:
    """Accuracy, ECE and NLL of soups and ensembles of seeds, with and without calibration.

    (Figure B.2; calibration does not change accuracy by design there, so those curves are omitted.)
    Args: table: of `evidence.seeds_curves`, of one sweep.
    """
    domains = [domain for domain in DOMAINS if domain in table]
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(10, 3.2 * len(domains) + 0.8))
        grid = figure.subplots(len(domains), len(SEED_METRICS), squeeze=False)
        for row, domain in zip(grid, domains, strict=True):
            for axes, (metric, (label, factor)) in zip(row, SEED_METRICS.items(), strict=True):
                _seed_lines(axes, table[table["metric"] == metric], domain, factor, metric)
                axes.set(ylabel=label, title=DOMAINS[domain] if metric == "accuracy" else "")
                axes.set_xlabel("Number of models")
        figure.suptitle(title)
        handles, labels = grid[0][1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure


def _seed_lines(axes: Any, table: pd.DataFrame, domain: str, factor: float, metric: str) -> None:
    for method, look in SEEDS.items():
        line = table[table["method"] == method]
        if len(line) and not (metric == "accuracy" and method.startswith("calibrated")):
            axes.plot(line["k"], factor * line[domain], label=method, markersize=5, **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def figure_g4(table: pd.DataFrame, title: str) -> Figure:
    """Seeds alone: the k-th run, the soup and the ensemble of the first k, for each sweep.

    (Figure G.4.) Args: table: of `evidence.seeds_curves`, with the column sweep.
    """
    domains = [domain for domain in DOMAINS if domain in table]
    sweeps = list(dict.fromkeys(table["sweep"]))
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(4.2 * len(domains) + 0.4, 3.4 * len(sweeps) + 0.8))
        grid = figure.subplots(len(sweeps), len(domains), squeeze=False)
        for row, sweep in zip(grid, sweeps, strict=True):
            for axes, domain in zip(row, domains, strict=True):
                chosen = table[(table["metric"] == "accuracy") & (table["sweep"] == sweep)]
                plain = chosen[~chosen["method"].str.startswith("calibrated")]
                _seed_lines(axes, plain, domain, 100, "accuracy")
                axes.set(
                    title=f"{sweep}: {DOMAINS[domain].lower()}",
                    xlabel="Number of models",
                    ylabel="Accuracy (top-1, %)",
                )
        figure.suptitle(title)
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def figure_d1(table: pd.DataFrame, title: str) -> Figure:
    """WiSE-FT curves of runs and soups against the initialisation, one panel a sweep (Figure D.1).

    Args: table: of `evidence.wise_curves`.
    """
    looks = {"uniform": ("Uniform soup", "tab:blue"), "greedy": ("Greedy soup", "tab:red")}
    sweeps = list(dict.fromkeys(table["sweep"]))
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(4.8 * len(sweeps) + 0.8, 4.6))
        for axes, sweep in zip(
            figure.subplots(1, len(sweeps), squeeze=False)[0], sweeps, strict=True
        ):
            curves = table[table["sweep"] == sweep]
            for model, curve in curves.groupby("model", sort=False):
                label, color = looks.get(str(model), ("Individual models", "tab:green"))
                soup = model in looks
                axes.plot(
                    100 * curve["in_distribution"],
                    100 * curve["shifts"],
                    color=color,
                    alpha=1 if soup else 0.35,
                    marker="o" if soup else ".",
                    markersize=4,
                    label=label,
                    zorder=3 if soup else 2,
                )
            start = curves[curves["alpha"] == 0].iloc[0]
            axes.scatter(
                100 * start["in_distribution"],
                100 * start["shifts"],
                label="Initialization",
                zorder=4,
                **MARKERS["Initialization"],
            )
            axes.set(title=sweep, xlabel="Accuracy in distribution (top-1, %)")
        figure.axes[0].set_ylabel("Mean accuracy on the shift sets (top-1, %)")
        figure.suptitle(title)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=2)
    return figure


def figure_k1(
    table: pd.DataFrame, title: str, high_lr: float, curvature: str, notes: Sequence[str]
) -> Figure:
    """True soup minus ensemble difference against its approximation (Figure K.1).

    Top: inverse temperature calibrated on the soup; bottom: 1. Left: loss, all pairs; centre and
    right: loss and error without the pairs of the high learning rate.

    Args: table: of `approximation.approximate_pairs`. curvature: its column forward_mode or
    differences. notes: text in each of the six panels.
    """
    marks: dict[str, dict[str, Any]] = {
        "learning rate": {"marker": "s", "color": "tab:orange"},
        "augmentation": {"marker": "^", "color": "tab:green"},
        "seed": {"marker": "o", "color": "tab:blue"},
        "initialization": {"marker": "x", "color": "0.4"},
    }
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(11, 7.4))
        grid = figure.subplots(2, 3)
        places = list(zip(grid.ravel(), k1_panels(table, high_lr), notes, strict=True))
        for axes, (label, truth, points), note in places:
            factor = 100 if truth == "error_difference" else 1
            for what, look in marks.items():
                chosen = points[points["varied"] == what]
                axes.scatter(chosen[curvature], factor * chosen[truth], s=12, label=what, **look)
            axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
            axes.axvline(0, color="0.7", linewidth=0.8, zorder=0)
            axes.set_title(f"{label}\n{note}", fontsize=9)
            axes.set_xlabel("Approximated loss difference (nats)")
            axes.set_ylabel(
                "True error difference (points)" if factor == 100 else "True loss difference (nats)"
            )
        figure.suptitle(f"{title}: soup minus ensemble")
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=4, title="The two models differ in"
        )
    return figure


def figure_curves(table: pd.DataFrame, title: str) -> Figure:
    """Training loss of every run of a sweep by epoch.

    Args: table: columns run, epoch, loss, lr (the run's peak learning rate).
    """
    with matplotlib.style.context(STYLE):
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


def save(figure: Figure, *paths: str | Path) -> None:
    """Write a figure to each path, in the format of its suffix; same figure, same bytes."""
    with matplotlib.style.context(STYLE):
        for path in map(Path, paths):
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            with publish(path) as draft:
                figure.savefig(draft, format=path.suffix[1:], metadata=metadata)
