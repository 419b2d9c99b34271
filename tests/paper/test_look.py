"""Figures are saved whole, and the same one gives the same bytes."""

import pytest

from modelsoups.paper.look import as_line, diagonal, save, styled


def make_figure():
    from matplotlib.figure import Figure

    with styled():
        figure = Figure()
        figure.subplots().scatter([1, 2], [3, 5], label="dots")
        figure.legend(loc="outside lower center")
    return figure


def test_same_figure_has_same_bytes(tmp_path) -> None:
    for name in "ab":
        save(make_figure(), tmp_path / f"{name}.svg", tmp_path / f"{name}.png")
    for suffix in ("svg", "png"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in "ab")
        assert first.read_bytes() == second.read_bytes()
    assert "<dc:date>" not in (tmp_path / "a.svg").read_text("utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg", "b.png", "b.svg"]


@pytest.mark.parametrize(
    ("look", "line"),
    [
        ({"color": "red", "marker": "*", "s": 9}, {"color": "red", "marker": "*"}),
        (
            {"facecolor": "none", "edgecolor": "red", "marker": "*"},
            {"color": "red", "marker": "*", "fillstyle": "none"},
        ),
    ],
)
def test_a_marker_is_the_same_on_a_line(look, line) -> None:
    assert as_line(look) == line


def test_diagonal_runs_where_both_coordinates_agree() -> None:
    axes = make_figure().axes[0]
    diagonal(axes)
    assert axes.get_xlim() == axes.get_ylim()
    x, y = axes.lines[0].get_data()
    assert list(x) == list(y)
