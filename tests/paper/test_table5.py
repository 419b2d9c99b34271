"""Tables 5 and J.1 from two small sweeps whose numbers are worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.metrics import METRICS
from modelsoups.paper.claims import FAILS, HOLDS, OPEN
from modelsoups.paper.table5 import BEST, GREEDY, PAPER, RESULT, UNIFORM, mean_claim
from modelsoups.paper.tableJ1 import RESULT as FULL
from modelsoups.study.study import Study

LABELS = np.repeat([0, 1], 20)
NUM_RIGHT = {  # model: kind, right on the held-out set and the test set, of 40
    "initialization": ("initialization", 20, 20),
    "000": ("run", 30, 29),
    "001": ("run", 36, 30),
    "uniform": ("soup", 20, 20),
    "greedy": ("soup", 36, 38),
}
ROLES = {
    **{"a-held": "held_out", "a-test": "test", "b-held": "held_out", "b-test": "test"},
    **{"a-shift": "shift", "other": "test"},
}
ABOUT = {
    **{"study": "small", "roles": ROLES, "ensembles": {}},
    "recipes": {"uniform": {"kind": "uniform"}, "greedy": {"kind": "greedy"}},
}


def right_of(count):
    """The first ones of each class, in turns."""
    order = np.arange(40).reshape(2, 20).T.ravel()
    return np.isin(np.arange(40), order[:count])


def tables_of(prefix):
    """Scores by every metric, and predictions."""
    rows, predicted = [], {f"{prefix}-held": {}, f"{prefix}-test": {}}
    for model, (kind, *counts) in NUM_RIGHT.items():
        for dataset, count in zip((f"{prefix}-held", f"{prefix}-test"), counts, strict=True):
            predictions = np.where(right_of(count), LABELS, 1 - LABELS)
            predicted[dataset][model] = predictions
            for metric in ("accuracy", "matthews", "accuracy_f1"):
                value = METRICS[metric].function(predictions, LABELS)
                about = {"model": model, "kind": kind, "dataset": dataset, "metric": metric}
                rows.append({**about, "value": value, "n": 40})
    parts = [
        pd.DataFrame({"dataset": dataset, "role": ROLES[dataset], "label": LABELS, **models})
        for dataset, models in predicted.items()
    ]
    return pd.DataFrame(rows), pd.concat(parts, ignore_index=True).assign(group="")


def make(result, make_given, **changes):
    scores, predictions = zip(*map(tables_of, "ab"), strict=True)
    entries = [
        {"task": "CoLA", "model": "BERT-base", "sweep": "a", "metric": "matthews"},
        {"task": "SST-2", "model": "BERT-base", "sweep": "b", **changes},
    ]
    spec = result.targets(entries, {})[result.name]
    tables = {"scores": list(scores), "predictions": list(predictions)}
    return result.make(make_given(tables, spec, ABOUT))


def test_best_run_is_chosen_on_the_held_out_set_by_the_tasks_metric(make_given):
    table = make(RESULT, make_given).table
    assert table.method.tolist() == [BEST, GREEDY] * 2
    assert table.name.tolist() == ["001", "greedy"] * 2
    # 38 of 40 right, one wrong of each class: Matthews 0.9; and 30, five of each: 0.5.
    assert table.value.tolist() == pytest.approx([0.5, 0.9, 0.75, 0.95])
    assert table.difference.tolist()[1::2] == pytest.approx([0.4, 0.2])
    assert table.difference.isna().tolist() == [True, False] * 2
    assert table.paper.tolist() == [0.591, 0.591, 0.925, 0.930]


def test_table_has_the_papers_form_and_says_what_is_chosen_where(make_given):
    made = make(RESULT, make_given, as_paper=True)
    lines = made.markdown.splitlines()
    assert lines[0] == (
        "| small: % | Method | CoLA (Matthews correlation, n = 40) | SST-2 (accuracy, n = 40) |"
    )
    assert lines[2] == "| BERT-base | Best individual model | 50.0; paper 59.1 | – |"
    assert lines[3].startswith("| BERT-base | Greedy soup | 90.0 (+40.0, p ")
    own = "| BERT-base, chosen on the set that is reported | Best individual model | – | 75.0; pa"
    assert lines[4].startswith(own)
    assert [each.claim.endswith("that is reported") for each in made.claims] == [False, True]
    assert "the paper chose on the set that it reports" in RESULT.caption


def test_table_j1_has_start_and_uniform_soup_and_what_is_lost_from_the_held_out_set(make_given):
    made = make(FULL, make_given, broad=True)
    assert made.table.method.tolist()[:4] == ["Initialization", BEST, UNIFORM, GREEDY]
    # Best: Matthews 0.8 to 0.5 and accuracy 0.9 to 0.75; greedy: 0.8 to 0.9, 0.9 to 0.95.
    assert made.found == [
        "Held-out minus test, points, mean over models and tasks: best individual model +22.5, "
        "greedy soup -7.5."
    ]
    greedy, broad, narrow = made.claims
    assert greedy.verdict == HOLDS
    assert greedy.here.startswith(
        "better than the best run in 2 of 2, equal in 0; on average by +3"
    )
    assert (broad.value, narrow.value) == pytest.approx((0.25, 0.5))
    assert "collapses" in broad.claim and broad.verdict == HOLDS
    assert "broad searches among them" in greedy.claim


def test_mean_over_tasks_adds_errors_of_one_task_up():
    """Errors of 0.02: of two models on one task (0.02 + 0.02) / 2, of two tasks 0.02 / sqrt 2."""
    row = {"difference": 0.03, "low": 0.03 - 1.96 * 0.02, "high": 0.03 + 1.96 * 0.02, "p": 0.13}
    text = {"claim": "c", "section": "J.5", "paper": "p"}
    one, two = (
        mean_claim(
            pd.DataFrame([{**row, "task": "x"}, {**row, "task": task}]), "better than", **text
        )
        for task in ("x", "y")
    )
    assert one.high - one.value == pytest.approx(1.96 * 0.02, rel=1e-3)
    assert two.high - two.value == pytest.approx(1.96 * 0.02 / 2**0.5, rel=1e-3)
    assert (one.verdict, two.verdict) == (OPEN, HOLDS)
    below = mean_claim(pd.DataFrame([{**row, "task": "x"}]), "below", -1, **text)
    assert below.value == -0.03
    same = {**dict.fromkeys(row, np.nan), "task": "x"}
    assert mean_claim(pd.DataFrame([same]), "better than", **text).verdict == FAILS  # one model


def test_papers_table_has_ten_gains_and_no_loss():
    gains = [greedy - best for best, _, greedy in PAPER.values()]
    assert (len(PAPER), sum(gain > 0 for gain in gains), min(gains)) == (20, 10, 0)
    assert sum(uniform < best for best, uniform, _ in PAPER.values()) == 19


def test_greedy_soup_by_another_metric_or_without_a_sweep_is_told(small_study):
    study = Study(
        {
            **small_study.config,
            "recipes": {"greedy": {"kind": "greedy"}, "uniform": {"kind": "uniform"}},
        }
    )
    entry = {"task": "t", "model": "m", "sweep": "grid"}
    spec = RESULT.targets([entry], {})["table5"]
    assert list(RESULT.problems(spec, study)) == []
    spec = RESULT.targets([{**entry, "metric": "matthews"}], {})["table5"]
    assert list(RESULT.problems(spec, study)) == [
        "grid: greedy is chosen by accuracy, the task is matthews"
    ]
    spec = RESULT.targets([{**entry, "greedy": "best"}], {})["table5"]
    assert "grid has no recipe best; it has greedy, uniform" in list(RESULT.problems(spec, study))
    assert ("recipe", "best") in list(RESULT.names(spec))
