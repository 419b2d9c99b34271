"""Figure L.3 shows every soup and ensemble of a study."""

from modelsoups.paper.figureL3 import RESULT
from small_scores import ABOUT, SCORES


def test_it_shows_every_soup_and_ensemble_with_scores(make_given, drawn) -> None:
    made = RESULT.make(make_given({"scores": SCORES}, {"sweep": "a-sweep"}, ABOUT))
    shown = drawn(made.figure.axes[0])
    assert list(shown) == [
        "Initialization",
        "Individual models",
        "Best on held-out set",
        "Uniform soup",
        "Greedy soup",
        "Greedy soup (random order)",
        "Ensemble",
    ]
    # Means of shifts (5/10 + 20/40) / 2 and so on: 50, 60, 70 %.
    assert shown["Greedy soup (random order)"] == [[60, 50], [70, 60], [80, 70]]


def test_it_belongs_to_the_key_of_figure_1() -> None:
    assert RESULT.key == "figure1"
    assert RESULT.targets("a-sweep", {}) == {"figureL3": {"sweep": "a-sweep"}}
    assert RESULT.category.startswith("L. ")
