"""The look of every figure, and how one is saved.

The style is in `style.mplstyle`. Markers and colours of soups and ensembles are entered with them,
in `soups.registry`; here are those of what the paper compares them with.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelsoups.base.files import publish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("style.mplstyle")

# Arguments of matplotlib's scatter. The runs' colour is the paper's; all are told apart without.
Look = Mapping[str, Any]
INITIALIZATION: Look = {"color": "0.35", "marker": "X", "s": 80}
RUNS: Look = {"color": "tab:green", "marker": "d", "s": 40}
BEST: Look = {
    "facecolor": "none",
    "edgecolor": "black",
    "marker": "o",
    "s": 130,
    "linewidth": 1.2,
}


def styled() -> AbstractContextManager[None]:
    """Where figures are made and saved."""
    import matplotlib.style

    return matplotlib.style.context(STYLE)


def as_line(look: Look) -> dict[str, Any]:
    """Colour and marker of a scatter's look as arguments of `plot`; a hollow marker stays so."""
    hollow = {"fillstyle": "none"} if look.get("facecolor") == "none" else {}
    return {"color": look.get("color") or look["edgecolor"], "marker": look["marker"], **hollow}


def diagonal(axes: "Axes") -> None:
    """A line where both coordinates are the same, across the axes' points."""
    low = min(axes.get_xlim()[0], axes.get_ylim()[0])
    high = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high))


def save(figure: "Figure", *paths: str | Path) -> None:
    """Write a figure to each path, in the format of its suffix; same figure, same bytes."""
    with styled():
        for path in map(Path, paths):
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            with publish(path) as draft:
                figure.savefig(draft, format=path.suffix[1:], metadata=metadata)
