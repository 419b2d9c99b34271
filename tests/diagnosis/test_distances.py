"""Distances, heads and statistics of weights made by hand."""

import numpy as np
import pytest
import torch

from modelsoups.diagnosis.distances import (
    angles_from_first,
    find_head,
    find_misfits,
    half_precision,
    layer_with_classifier,
    match_heads,
    measure,
    relabelled_accuracy,
    statistics_gaps,
)
from modelsoups.weights.checkpoints import InMemory


def sources(**models):
    """Weights in memory by name; tensors from nested lists."""
    return {
        name: InMemory(name, {key: torch.as_tensor(value) for key, value in weights.items()})
        for name, weights in models.items()
    }


def test_distances_are_relative_to_the_median_length():
    found = measure(
        sources(
            start={"blocks.0.weight": [[3.0, 4.0]]},  # length 5
            a={"blocks.0.weight": [[3.0, 5.0]]},
            b={"blocks.0.weight": [[6.0, 8.0]]},  # length 10, 5 from the start
        )
    )
    length = np.sqrt(34)  # of a, the median
    np.testing.assert_allclose(found.distances[0], [0, 1 / length, 5 / length])
    np.testing.assert_allclose(found.cosines[0], [1, (9 + 20) / (5 * length), 1])
    # As seen from the start a lies straight up and b along (3, 4).
    assert angles_from_first(found.total)[0, 1] == pytest.approx(np.degrees(np.arccos(0.8)))


def test_families_are_those_whose_matrices_point_one_way_in_most_layers():
    def network(first, second, gain):
        return {"blocks.0.w": [first], "blocks.1.w": [second], "blocks.2.w": [second], "gain": gain}

    x, y = [1.0, 0.0], [0.0, 1.0]
    found = measure(sources(a=network(x, x, [5.0]), b=network(y, x, [5.0]), c=network(x, y, [5.0])))
    # b differs from a in one layer of three, c in two; the gain, alike in all, does not count.
    assert found.families() == [["a", "b"], ["c"]]


def test_copies_are_found_and_small_moves_are_none():
    w = torch.randn(40, 30, generator=torch.Generator().manual_seed(0))
    found = measure(
        sources(a={"0.w": w}, b={"0.w": w * (1 + 1e-4)}, c={"0.w": w.clone()}, d={"0.w": w + 1e-4})
    )
    assert found.duplicates() == [("a", "c")]


def test_layers_come_in_the_order_of_their_depth():
    keys = ["blocks.10.w", "blocks.2.w", "head.weight", "norm.weight", "patch_embed.weight"]
    found = measure(sources(a={key: [[1.0]] for key in keys}))
    assert list(found.by_layer) == ["embedding", "blocks.2", "blocks.10", "head", "classifier"]


def test_statistics_and_integers_are_no_part_of_the_geometry():
    norm = {"0.running_mean": [1.0], "0.running_var": [1.0], "0.num_batches_tracked": 3}
    far = {"0.running_mean": [9.0], "0.running_var": [9.0], "0.num_batches_tracked": 7}
    found = measure(sources(a={"0.w": [[1.0]], **norm}, b={"0.w": [[1.0]], **far}))
    np.testing.assert_array_equal(found.distances, 0)


@pytest.mark.parametrize(
    ("keys", "head"),
    [
        (["backbone.conv.weight", "head.weight"], "head.weight"),
        (["classifier.1.weight", "features.0.weight"], "classifier.1.weight"),
        (["heads.head.weight", "encoder.layers.0.mlp.weight"], "heads.head.weight"),
        (["layer1.weight", "out.weight"], None),
    ],
)
def test_head_is_known_by_its_name(keys, head):
    weights = {key: torch.zeros(3, 2) for key in keys}
    assert find_head(InMemory("model", weights).entries) == head


def test_bias_of_the_head_is_of_its_layer():
    assert layer_with_classifier("head.bias", "head.weight") == "classifier"
    assert layer_with_classifier("blocks.0.head.bias", "head.weight") == "blocks.0"


def test_permuted_head_fits_in_another_order():
    rows = torch.eye(4)[:3] * 2 + 1  # three classes, with a part that they share
    found = match_heads(
        sources(
            a={"head.weight": rows},
            b={"head.weight": 3 * rows},
            c={"head.weight": rows[[1, 2, 0]] + 5},
        ),
        "head.weight",
    )
    assert found["b"].cosine == pytest.approx(1)
    assert found["c"].matched == pytest.approx(1)
    assert found["c"].num_moved == 3
    # Rows less their mean are at 120 degrees: cosine -1/2.
    assert found["c"].cosine == pytest.approx(-0.5)


def test_relabelled_accuracy_undoes_a_permutation_and_gives_chance_no_more():
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, 4000)
    assert relabelled_accuracy((labels + 2) % 5, labels) == 1
    assert relabelled_accuracy(random.integers(0, 5, 4000), labels) < 0.25
    few = random.integers(0, 50, 60)  # a table with more cells than examples
    assert relabelled_accuracy(random.integers(0, 50, 60), few) < 0.15


def test_statistics_are_measured_in_standard_deviations():
    def norm(mean, deviation):
        variance = torch.tensor([deviation**2 - 1e-5])
        return {"0.running_mean": torch.tensor([mean]), "0.running_var": variance}

    found = statistics_gaps(sources(a=norm(1.0, 2.0), b=norm(1.0, 2.0), c=norm(5.0, 4.0)))
    # c: its mean is two of the median's deviations away, and its deviation twice as large.
    assert found == pytest.approx({"a": 0, "b": 0, "c": 2 + np.log(2)}, abs=1e-6)
    assert statistics_gaps(sources(a={"w": [1.0]}, b={"w": [2.0]})) == {"a": 0, "b": 0}


def test_other_integers_are_a_misfit_and_other_counters_none():
    def network(ids, count):
        return {"w": [1.0], "ids": ids, "norm.num_batches_tracked": count}

    found = find_misfits(sources(a=network([0, 1], 5), b=network([0, 2], 5), c=network([0, 1], 7)))
    assert found == {"b": "has other integers in ids than most"}


def test_misfits_are_those_that_differ_from_most():
    found = find_misfits(
        sources(a={"w": [[1.0, 2.0]]}, b={"w": [1.0]}, c={"w": [[3.0, 4.0]]}, d={"v": [[1.0, 2.0]]})
    )
    assert found == {
        "b": "has w of shape (1,) where most have (1, 2)",
        "d": "has v besides; lacks w",
    }


def test_half_precision_is_told_by_dtype():
    found = half_precision(sources(a={"w": torch.zeros(2)}, b={"w": torch.zeros(2).bfloat16()}))
    assert found == {"b": "bfloat16"}
