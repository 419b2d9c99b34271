"""The page and the picture of a diagnosis, for the report."""

import html
from math import isnan
from typing import TYPE_CHECKING, Any

from modelsoups.paper.look import styled
from modelsoups.paper.pages import join_markdown, page, part_html

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from modelsoups.diagnosis.diagnose import Diagnosis

ANNOTATED = 14  # models up to which cells have their numbers
SMALLEST = 1e-6  # distances below are one colour

COLUMNS = {
    "model": "Model",
    "verdict": "Named by",
    "score": "Alone",
    "middle": "Halfway to the best, less the mean of both",
    "without": "Soup without it, less that of all",
    "moved": "Distance from the start",
    "distance": "From the best",
    "angle": "Angle with the best at the start (degrees)",
    "cosine": "Cosine with the best",
    "head": "Cosine of the head",
    "statistics": "Statistics from the median (standard deviations)",
}
SHARES = ("score", "middle", "without")  # in percent, if scores are shares


def print_diagnosis(diagnosis: "Diagnosis", picture: str, title: str) -> str:
    """The page: verdicts, the picture and the tables. Args: picture: SVG."""
    from modelsoups.diagnosis.tables import list_layers, list_lines

    parts = ["<ul>"]
    for each in diagnosis.verdicts:
        what, rest = (html.escape(text) for text in (each.what, f"{each.evidence} {each.advice}"))
        parts.append(f"<li><b>{what}</b> {rest}</li>")
    parts += [f"<li>{html.escape(each)}</li>" for each in diagnosis.remedy()] + ["</ul>"]
    facts = diagnosis.facts
    parts.append(picture[picture.index("<svg") :] if picture else "")
    shown = diagnosis.models.drop(columns=["middle_low", "middle_high"], errors="ignore")
    share = facts is not None and facts.is_share
    parts += ["<h2>Models</h2>", part_html(print_table(shown, SHARES if share else ()))]
    if facts is not None:
        parts.append(
            "<p>Distances are relative to the length of the weights. The best is "
            f"{html.escape(facts.reference)}; {facts.num_examples:,} held-out examples.</p>"
        )
        lines = list_lines(facts).pivot_table("value", ["model", "metric"], "alpha", sort=False)
        parts += [
            "<h2>From the best (0) to each model (1)</h2>",
            part_html(print_table(lines.reset_index().rename(columns=str), ())),
        ]
        layers = list_layers(facts)
        what = "distance from " + (facts.start or facts.reference)
        if facts.blocks_of:
            what += f", and what the best loses with a layer halfway to {facts.blocks_of}"
        parts += [
            f"<h2>Layer by layer: {html.escape(what)}</h2>",
            part_html(print_table(layers, ("drop",) if share else ())),
        ]
    return page(title, "\n".join(parts))


def print_table(table: "pd.DataFrame", shares: tuple[str, ...]) -> str:
    """A table as Markdown. Args: shares: columns in percent."""
    lines = [
        [COLUMNS.get(name, name) + (" (%)" if name in shares else "") for name in table],
        ["---"] * len(table.columns),
    ]
    for row in table.itertuples(index=False):
        lines.append(
            [
                _print(value, 100 if name in shares else 1)
                for name, value in zip(table, row, strict=True)
            ]
        )
    return join_markdown(lines)


def _print(value: Any, factor: float) -> str:
    if isinstance(value, str):
        return value or "–"
    if value is None or isnan(value):
        return "–"
    return f"{factor * value:.1f}" if factor != 1 else f"{value:.3g}"


def figure_diagnosis(diagnosis: "Diagnosis", title: str) -> "Figure":
    """Distances of all models from one another, and of each by layer; scores between them."""
    import numpy as np
    from matplotlib.figure import Figure

    from modelsoups.diagnosis.distances import angles_from_first
    from modelsoups.diagnosis.tables import list_layers, list_lines

    facts = diagnosis.facts
    if facts is None:
        with styled():
            figure = Figure(figsize=(5, 1.2))
            figure.text(0.5, 0.5, "No two models that could be averaged", ha="center")
        return figure
    names = list(facts.geometry.names)
    layers = list_layers(facts).drop(columns=["angle", "drop"], errors="ignore").set_index("layer")
    named = {name for each in diagnosis.verdicts for name in each.models}
    side = 1.6 + 0.42 * max(len(names), 5)
    with styled():
        figure = Figure(figsize=(2 * side + 3.2, side + 0.6))
        matrix, by_layer, line = figure.subplots(1, 3, width_ratios=[side, side, 2.6])
        what, texts = "Distance from one another", None
        if facts.start:
            what += "; above the diagonal: angles at the start"
            texts = np.full(facts.geometry.total.shape, "", dtype=object)
            for (row, column), value in np.ndenumerate(angles_from_first(facts.geometry.total)):
                texts[row + 1, column + 1] = f"{value:.0f}°" if column > row else ""
        _heat(matrix, facts.geometry.distances, names, names, what, texts)
        what = f"Distance from {facts.start or facts.reference}, by layer"
        _heat(by_layer, layers.to_numpy().T, list(layers.columns), list(layers.index), what)
        lines = list_lines(facts)
        factor = 100 if facts.is_share else 1
        for name, each in lines[lines.metric == facts.metric].groupby("model", sort=False):
            if name not in named:  # most lie on one another
                line.plot(each.alpha, factor * each.value, marker=".", linewidth=1, color="0.6")
                continue
            line.plot(each.alpha, factor * each.value, marker=".", linewidth=1)
            line.annotate(name, (1, factor * each.value.iloc[-1]), fontsize=7, xytext=(3, 0),
                          textcoords="offset points", va="center")  # fmt: skip
        unit = " (%)" if facts.is_share else ""
        line.set(
            title=f"From {facts.reference} (0) to each",
            xlabel="alpha",
            ylabel=f"{facts.metric.capitalize()}, held-out{unit}",
            xticks=np.linspace(0, 1, 5),
        )
        figure.suptitle(title)
    return figure


def _heat(
    axes: "Axes",
    values: "np.ndarray",
    rows: list[str],
    columns: list[str],
    title: str,
    texts: "np.ndarray | None" = None,
) -> None:
    """A matrix picture on a logarithmic scale; if small with its numbers, or other texts."""
    import numpy as np
    from matplotlib.colors import LogNorm

    shown = np.where(values < SMALLEST, np.nan, values)
    low, high = (np.nanmin(shown), np.nanmax(shown)) if np.isfinite(shown).any() else (0.1, 1)
    norm = LogNorm(low, max(high, low * 1.01))
    image = axes.imshow(shown, cmap="viridis_r", norm=norm, aspect="auto")
    axes.grid(False)
    axes.set_title(title, fontsize=9)
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.figure.colorbar(image, ax=axes, shrink=0.7)
    if max(values.shape) > ANNOTATED:
        return
    for (row, column), value in np.ndenumerate(values):
        text = (texts is not None and str(texts[row, column])) or f"{value:.2g}"
        color = "white" if value > np.sqrt(low * high) else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=5.5, color=color)
