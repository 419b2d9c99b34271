from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from modelsoups.models.heads import (
    PROBES,
    Head,
    LinearProbeSpec,
    empty_head,
    fit_head,
    fit_linear_probe,
    read_head,
    write_head,
    zero_shot_head,
)
from modelsoups.study import study
from modelsoups.training.methods import LOSSES


@pytest.fixture
def clusters():
    """Features (300, 5) of three overlapping classes, and labels (300,)."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    centres = torch.randn(3, 5, generator=generator)
    return centres[labels] + torch.randn(300, 5, generator=generator), labels


def zeros():
    return empty_head(num_classes=3, num_features=5)


def test_fit_equals_scikit_learns_logistic_regression(clusters):
    """Its objective is C * sum of losses + |w|^2 / 2: ours times n * C with l2 = 1 / (n * C)."""
    features, labels = clusters
    head = fit_head(features, labels, zeros(), l2=0.01, max_iterations=500)
    theirs = LogisticRegression(C=1 / (300 * 0.01), tol=1e-8, max_iter=1000)
    theirs.fit(features.numpy(), labels.numpy())
    np.testing.assert_allclose(head.weight, theirs.coef_, atol=2e-3)


def test_binary_fit_equals_scikit_learns_regression_of_each_class_against_the_others(clusters):
    """The objective is a sum over classes, each of which has the weight of the penalty alone."""
    features, labels = clusters
    loss = PROBES["binary-probe"]
    head = fit_head(features, labels, zeros(), l2=0.01, max_iterations=500, loss_of=loss)
    theirs = LogisticRegression(C=1 / (300 * 0.01), tol=1e-8, max_iter=1000)
    for number in range(3):
        theirs.fit(features.numpy(), labels.numpy() == number)
        np.testing.assert_allclose(head.weight[number], theirs.coef_[0], atol=2e-3)
        np.testing.assert_allclose(head.bias[number], theirs.intercept_[0], atol=2e-3)


def test_loss_of_a_probe_is_that_of_the_runs_that_start_from_it():
    logits, labels = torch.randn(5, 3), torch.arange(5) % 3
    for probe, loss in study.PROBES.items():
        off = SimpleNamespace(label_smoothing=0.0)
        torch.testing.assert_close(PROBES[probe](logits, labels), LOSSES[loss](off)(logits, labels))
    assert PROBES.keys() == study.PROBES.keys()


def test_start_does_not_change_the_optimum(clusters):
    features, labels = clusters
    away = Head(torch.full((3, 5), 2.0), torch.ones(3))
    first = fit_head(features, labels, zeros(), l2=0.01, max_iterations=500)
    second = fit_head(features, labels, away, l2=0.01, max_iterations=500)
    torch.testing.assert_close(first.weight, second.weight, atol=2e-3, rtol=0)


def test_held_out_set_chooses_the_regularisation(clusters):
    features, labels = clusters
    spec = LinearProbeSpec(l2=(100.0, 1e-3))
    head, trials = fit_linear_probe(spec, *clusters, *clusters, start=zeros())
    by_l2 = {trial["l2"]: trial["held_out_accuracy"] for trial in trials}
    assert by_l2[1e-3] > by_l2[100.0]
    assert head.accuracy(features, labels) == by_l2[1e-3]


def test_of_equal_accuracies_the_stronger_regularisation_is_kept(clusters):
    features, labels = clusters
    one_image = (features[:1], labels[:1])  # both strengths get it right
    head, trials = fit_linear_probe(LinearProbeSpec(l2=(1e-2, 1.0)), *clusters, *one_image, zeros())
    assert [trial["held_out_accuracy"] for trial in trials] == [1, 1]
    strong = fit_head(features, labels, zeros(), l2=1.0, max_iterations=200)
    torch.testing.assert_close(head.weight, strong.weight)


def test_accuracy_is_the_share_of_right_predictions():
    head = Head(torch.eye(2), torch.zeros(2))
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert head.accuracy(features, torch.tensor([0, 1, 1, 0])) == 0.75


def test_zero_shot_weight_is_the_normalised_mean_of_the_prompts_times_the_scale():
    """Prompts (1, 0) and (0, 1): mean (.5, .5), normalised (.5^.5, .5^.5), times 10."""
    embeddings = {"a cat": [1.0, 0.0], "cats": [0.0, 1.0], "a dog": [0.6, 0.8], "dogs": [0.6, 0.8]}

    def embed(texts):
        return torch.tensor([embeddings[text] for text in texts])

    head = zero_shot_head(embed, 10.0, names=["cat", "dog"], templates=["a {}", "{}s"])
    expected = torch.tensor([[10 * 0.5**0.5, 10 * 0.5**0.5], [6.0, 8.0]])
    torch.testing.assert_close(head.weight, expected)
    assert torch.equal(head.bias, torch.zeros(2))


def test_probe_begins_at_the_start_it_is_given(clusters):
    """With no iterations to go, the start is what is kept."""
    start = Head(torch.full((3, 5), 2.0), torch.ones(3))
    spec = LinearProbeSpec(l2=(1.0,), max_iterations=0)
    head, _ = fit_linear_probe(spec, *clusters, *clusters, start)
    assert torch.equal(head.weight, start.weight)


def test_head_is_read_as_it_was_written(tmp_path):
    head = Head(torch.randn(3, 5), torch.randn(3))
    write_head(tmp_path / "head.safetensors", head)
    again = read_head(tmp_path / "head.safetensors")
    assert torch.equal(again.weight, head.weight)
    assert torch.equal(again.bias, head.bias)


def test_head_that_is_not_finite_is_refused(tmp_path):
    head = Head(torch.tensor([[1.0], [torch.nan], [torch.inf]]), torch.zeros(3))
    with pytest.raises(FloatingPointError, match="2 of 3 classes .* the first is number 1"):
        write_head(tmp_path / "head.safetensors", head)
    assert not (tmp_path / "head.safetensors").exists()


def test_probe_on_features_that_are_not_finite_is_refused(clusters):
    features, labels = clusters
    broken = features.clone()
    broken[7, 2] = torch.nan
    spec = LinearProbeSpec(l2=(1.0,))
    with pytest.raises(FloatingPointError, match="1 of 300 rows of held-out .* first is row 7;"):
        fit_linear_probe(spec, features, labels, broken, labels, zeros())
