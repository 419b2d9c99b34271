"""The page and the picture of a diagnosis of real networks."""

import re

import pytest

from modelsoups.diagnosis.diagnose import diagnose
from modelsoups.paper.diagnosis import figure_diagnosis, print_diagnosis
from modelsoups.paper.look import save


@pytest.fixture(scope="module")
def diagnosis(kitchen):
    pool = {name: kitchen.good[name] for name in ("run1", "run2", "run3")}
    pool["<wild>"] = kitchen.train(kitchen.start, seed=5, lr=3.0)
    return diagnose(pool, kitchen.evaluate, initialization=kitchen.start)


def test_page_begins_with_the_verdicts_and_has_every_model(diagnosis, tmp_path):
    save(figure_diagnosis(diagnosis, "A pool"), tmp_path / "picture.svg")
    page = print_diagnosis(diagnosis, (tmp_path / "picture.svg").read_text("utf-8"), "A pool")
    assert "<wild>" not in page
    assert page.index("<b>&lt;wild&gt; diverged") < page.index("<svg") < page.index("<table>")
    models = page[page.index("<h2>Models") :]
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>", models)[:4]
    assert {row[0] for row in rows} == {"run1", "run2", "run3", "&lt;wild&gt;"}
    scores = {name: each.score for name, each in diagnosis.facts.models.items()}
    assert rows[0][2] == f"{100 * max(scores.values()):.1f}"
    assert rows[3][:2] == ("&lt;wild&gt;", "diverged")
    assert "nan" not in page


def test_picture_has_a_cell_a_pair_and_a_layer_and_a_line_a_model(diagnosis):
    figure = figure_diagnosis(diagnosis, "A pool")
    matrix, layers, lines, *_ = figure.axes
    facts = diagnosis.facts
    assert matrix.images[0].get_array().shape == (5, 5)
    assert layers.images[0].get_array().shape == (4, 5)  # four blocks and the classifier
    texts = [text.get_text() for text in matrix.texts]
    assert f"{facts.distance('run1', 'run2'):.2g}" in texts
    assert sum(text.endswith("°") for text in texts) == 6  # pairs of four models
    assert len(lines.lines) == 3
    assert [text.get_text() for text in lines.texts] == ["<wild>"]


def test_diagnosis_without_two_models_has_a_page_too(kitchen):
    odd = {key: value for key, value in kitchen.good["run2"].items() if key != "head.bias"}
    found = diagnose({"run1": kitchen.good["run1"], "odd": odd}, kitchen.evaluate)
    assert figure_diagnosis(found, "A pool").texts
    assert "odd lacks head.bias" in print_diagnosis(found, "", "A pool")
