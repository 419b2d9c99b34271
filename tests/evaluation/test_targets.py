"""What models give beside classes: kinds of targets, and metrics of them by hand."""

import numpy as np
import pytest

from modelsoups.evaluation.logits import check_same_images, read_logits, write_logits
from modelsoups.evaluation.metrics import METRICS_OF, metric_for, metric_of, shown
from modelsoups.evaluation.scores import score
from modelsoups.evaluation.targets import kind_of, no_targets
from modelsoups.soups import registry
from modelsoups.study.own import JUDGED_BY

NUMBERS = np.array([[1.0], [2.0], [4.0]], np.float32)
GIVEN = np.array([[1.5], [2.0], [2.0]], np.float32)
LABELS = np.array([[True, False], [True, True], [False, False]])
LOGITS = np.array([[2.0, -1.0], [1.0, -1.0], [-3.0, 1.0]], np.float32)


def test_kind_is_told_by_shape_and_dtype():
    assert kind_of(np.zeros(3, int)) == "class"
    assert (kind_of(LABELS), kind_of(NUMBERS), kind_of(no_targets(3))) == (
        "labels",
        "numbers",
        "score",
    )
    with pytest.raises(ValueError, match=r"expected targets that .* found float64 \(3,\)"):
        kind_of(np.zeros(3))


def test_numbers_are_judged_by_their_errors():
    # Errors 0.5, 0, 2: mean 2.5 / 3, of squares 4.25 / 3. Variance about 7/3: 14/3 in sum.
    found = {name: shown(name, metric_of(name)(GIVEN, NUMBERS)) for name in METRICS_OF["numbers"]}
    assert found["mae"] == pytest.approx(2.5 / 3)
    assert found["mse"] == pytest.approx(4.25 / 3)
    assert found["r2"] == pytest.approx(1 - 4.25 / (14 / 3))


def test_labels_are_judged_label_by_label():
    found = {name: shown(name, metric_of(name)(LOGITS, LABELS)) for name in METRICS_OF["labels"]}
    # First label: the two that have it rank first, precision 1. Second: the one that has it shares
    # its place with another behind a third, precision 1/3.
    assert found["average_precision"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["labels_f1"] == pytest.approx((1 + 0) / 2)
    assert found["share_of_labels"] == pytest.approx(4 / 6)  # wrong: the last two of the second
    assert found["all_labels"] == pytest.approx(1 / 3)
    signs = np.where(LABELS, 1, -1)
    assert found["binary_loss"] == pytest.approx(np.log1p(np.exp(-signs * LOGITS)).mean(), rel=1e-6)


def test_labels_that_no_example_has_do_not_count():
    wide = np.concatenate([LABELS, np.zeros((3, 1), bool)], axis=1)
    logits = np.concatenate([LOGITS, np.ones((3, 1), np.float32)], axis=1)
    for name in ("average_precision", "labels_f1"):
        assert metric_of(name)(logits, wide) == metric_of(name)(LOGITS, LABELS)
    with pytest.raises(ValueError, match="found none that has any"):
        metric_of("average_precision")(LOGITS, np.zeros_like(LABELS))


def test_one_label_has_one_f1_score():
    """Said of two examples and there in two, both in one: 2 * 1 / (2 + 2). Its absence has none."""
    labels = np.array([[True], [False], [True], [False], [False]])
    logits = np.array([[1.0], [1.0], [-1.0], [-1.0], [-1.0]], np.float32)
    assert metric_of("labels_f1")(logits, labels) == 0.5
    beside = np.concatenate([labels, np.zeros((5, 1), bool)], axis=1)  # a label of no example
    assert metric_of("labels_f1")(np.concatenate([logits, logits], axis=1), beside) == 0.5


def test_a_score_of_a_part_of_the_examples_is_never_below_that_of_all():
    """What early rejection rests on: with 1 where nothing is known yet."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(50, 2))
    labels = rng.random((50, 2)) < 0.5
    outputs = 3 * rng.normal(size=(50, 2))
    for targets in (numbers, labels):
        for name, metric in METRICS_OF[kind_of(targets)].items():
            if metric.per_example is None:
                continue
            values = metric.per_example(outputs, targets)
            whole = metric(outputs, targets)
            bounds = [np.where(np.arange(50) < n, values, 1).mean() for n in range(51)]
            assert bounds[-1] == whole and bounds == sorted(bounds, reverse=True), name


@pytest.mark.parametrize(
    ("outputs", "targets"), [(GIVEN, NUMBERS), (LOGITS, LABELS), (GIVEN, no_targets(3))]
)
def test_files_keep_targets_of_every_kind(tmp_path, outputs, targets):
    path = tmp_path / "outputs.parquet"
    write_logits(path, outputs, targets, {"model": "a"})
    stored = read_logits(path)
    np.testing.assert_array_equal(stored.logits, outputs)
    np.testing.assert_array_equal(stored.labels, targets)
    assert kind_of(stored.labels) == kind_of(targets)
    check_same_images("a", stored, "a", stored)
    assert set(score(stored)) == set(METRICS_OF[kind_of(targets)])


def test_other_targets_are_told_apart(tmp_path):
    for name, targets in (("a", NUMBERS), ("b", NUMBERS + np.float32([[0], [1], [0]]))):
        write_logits(tmp_path / name, GIVEN, targets, {})
    a, b = (read_logits(tmp_path / name) for name in "ab")
    with pytest.raises(ValueError, match="1 of 3 rows .* the first is row 1"):
        check_same_images("a", a, "b", b)


def test_targets_of_another_shape_than_outputs_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"found logits \(3, 1\) and labels \(3, 2\)"):
        write_logits(tmp_path / "a", GIVEN, LABELS, {})


def test_names_of_metrics_are_the_same_everywhere():
    for kind, metrics in METRICS_OF.items():
        assert set(registry.METRICS_OF[kind]) <= set(metrics)
        if metrics:
            assert JUDGED_BY[kind] == metric_for(kind) == registry.METRICS_OF[kind][0]
