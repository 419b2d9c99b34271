import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from mixed_networks import TURNS, TinyNet, group_by_hand, make_pool, spec_for
from modelsoups.base.progress import Trace
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.evaluation.logits import read_logits, write_logits
from modelsoups.soups.learned import (
    Mixture,
    learned,
)
from modelsoups.soups.pool import Candidate, HeldOut
from modelsoups.soups.registry import LearnedSpec
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import read_weights, write_weights

torch.set_num_threads(1)  # for tensors this small a second thread only costs

NO_TRACE = Trace(None, None)


def make_opposites(folder: Path) -> tuple[list[Candidate], HeldOut]:
    """Two candidates with opposite heads, and labels that the second one gets right."""
    candidates, held_out = make_pool(folder, count=2)
    weights = read_weights(candidates[1].weights)
    opposite = {key: -tensor if "head" in key else tensor for key, tensor in weights.items()}
    opposite["blocks.1.0.weight"] = opposite["blocks.0.0.weight"]
    write_weights(candidates[0].weights, opposite)
    held_out.labels[:] = read_logits(candidates[1].logits).predictions
    for candidate in candidates:
        held_out.pour(read_weights(candidate.weights), "it")
        write_logits(candidate.logits, held_out.logits(), held_out.labels, {})
    return candidates, held_out


def plain_autograd(candidates, held_out, spec: LearnedSpec):
    """Eq. 2 with autograd through all models, as the official code does it."""
    pool = [read_weights(c.weights) for c in candidates]
    keys = [key for key in pool[0] if pool[0][key].is_floating_point()]
    groups = sorted({group_by_hand(spec.coefficients_per, key) for key in keys})
    affine = spec.constraint == "affine"

    def coefficients() -> torch.Tensor:
        return (1 + raw - raw.mean(dim=0)) / len(pool) if affine else raw.softmax(dim=0)

    raw = torch.zeros((len(pool), len(groups)), requires_grad=True)
    beta = torch.ones((), requires_grad=True)
    optimizer = torch.optim.AdamW(
        [raw, beta], lr=spec.learning_rate, weight_decay=spec.weight_decay
    )
    losses = []
    for epoch in range(spec.epochs):
        order = np.random.default_rng([spec.seed, epoch]).permutation(len(held_out))
        for first in range(0, len(order), spec.batch_size):
            batch = order[first : first + spec.batch_size]
            alpha = coefficients()
            mix = {}
            for key in keys:
                column = alpha[:, groups.index(group_by_hand(spec.coefficients_per, key))]
                if "running" in key:
                    uniform = torch.full((len(pool),), 1 / len(pool))
                    column = uniform if affine else column.detach()
                mix[key] = sum(a * weights[key] for a, weights in zip(column, pool, strict=True))
            logits = functional_call(
                held_out.evaluator.model, mix, (held_out.batch(batch),), tie_weights=False
            )
            loss = cross_entropy(beta * logits, torch.from_numpy(held_out.labels[batch]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return coefficients().detach(), groups, beta.item(), losses


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("constraint", ["softmax", "affine"])
@pytest.mark.parametrize("per", ["model", "layer", "tensor"])
def test_learning_follows_autograd_through_all_models(tmp_path, per, constraint, resident):
    candidates, held_out = make_pool(tmp_path)
    spec = spec_for(per, constraint, resident, weight_decay=0.01, learning_rate=0.02)
    alpha, groups, beta, losses = plain_autograd(candidates, held_out, spec)
    soup = learned(spec, candidates, held_out, NO_TRACE)
    curve = [loss for epoch in soup.details["curve"] for loss in epoch]
    np.testing.assert_allclose(curve, losses, rtol=1e-4)
    np.testing.assert_allclose(soup.details["beta"], beta, rtol=1e-4)
    found = soup.coefficients if per != "model" else {"model": soup.coefficients}
    assert isinstance(found, dict)
    for group, values in found.items():
        if group == "statistics":
            assert values == [0.25] * 4
            continue
        wanted = alpha[:, groups.index(group)]
        np.testing.assert_allclose(values, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("per", ["model", "layer", "tensor"])
def test_the_soup_is_the_average_with_its_coefficients(tmp_path, per):
    candidates, held_out = make_pool(tmp_path)
    soup = learned(spec_for(per), candidates, held_out, NO_TRACE)
    groups = soup.coefficients if per != "model" else {"model": soup.coefficients}
    for values in groups.values():
        assert len(values) == 4 and min(values) > 0
        assert sum(values) == pytest.approx(1, abs=1e-12)
    if per == "model":
        wanted = average([c.weights for c in candidates], soup.coefficients)
        assert all(soup.weights[key].equal(wanted[key]) for key in wanted)
    assert soup.weights["blocks.1.0.weight"] is soup.weights["blocks.0.0.weight"]
    assert soup.ingredients == ["000", "001", "002", "003"]
    held_out.pour(soup.weights, "it")
    assert soup.held_out_score == held_out.score("accuracy", held_out.logits())
    json.dumps([soup.coefficients, soup.candidates, soup.details])


def test_held_and_streamed_ingredients_give_the_same_soup(tmp_path, monkeypatch):
    candidates, held_out = make_pool(tmp_path)
    held = learned(spec_for("layer", resident=True), candidates, held_out, NO_TRACE)
    monkeypatch.setattr(
        "modelsoups.soups.mixture.STREAMED_BLOCK", {"cpu": 44}
    )  # 11 columns a block: cuts every kernel
    streamed = learned(spec_for("layer", resident=False), candidates, held_out, NO_TRACE)
    for key in held.weights:
        torch.testing.assert_close(streamed.weights[key], held.weights[key], rtol=1e-4, atol=1e-5)


def test_a_soup_of_one_is_that_candidate(tmp_path):
    candidates, held_out = make_pool(tmp_path, count=1)
    soup = learned(spec_for("layer"), candidates, held_out, NO_TRACE)
    wanted = read_weights(candidates[0].weights)
    assert all(soup.weights[key].equal(wanted[key]) for key in wanted)


def test_the_candidate_that_fits_gets_the_larger_coefficient(tmp_path):
    candidates, held_out = make_opposites(tmp_path)
    soup = learned(spec_for(epochs=10), candidates, held_out, NO_TRACE)
    assert soup.coefficients[1] > 0.6
    assert soup.details["curve"][-1][0] < soup.details["curve"][0][0]


def test_affine_coefficients_may_be_negative_sum_to_one_and_leave_statistics_the_mean(tmp_path):
    candidates, held_out = make_opposites(tmp_path)
    spec = spec_for(constraint="affine", epochs=20, learning_rate=0.1)
    soup = learned(spec, candidates, held_out, NO_TRACE)
    assert min(soup.coefficients) < 0
    assert sum(soup.coefficients) == pytest.approx(1, abs=1e-12)
    mean = average([c.weights for c in candidates])
    assert soup.weights["blocks.0.1.running_var"].equal(mean["blocks.0.1.running_var"])


def test_affine_and_softmax_move_alike_at_the_uniform_soup(tmp_path):
    candidates, held_out = make_pool(tmp_path)
    small = torch.tensor([[1e-4], [-2e-4], [0.0], [3e-4]])
    moved = [
        Mixture(
            held_out.evaluator.model, [c.weights for c in candidates], spec_for(constraint=each)
        ).coefficients(small)[:, 0]
        for each in ("softmax", "affine")
    ]
    torch.testing.assert_close(*moved, rtol=0, atol=1e-7)
    assert (moved[0] - 0.25).abs().max() > 5e-5


def test_half_precision_ingredients_are_mixed_in_float32_and_come_back_as_half(tmp_path):
    candidates, held_out = make_pool(tmp_path, count=2)
    wanted = learned(spec_for(), candidates, held_out, NO_TRACE)
    for candidate in candidates:
        full = read_weights(candidate.weights)
        halves = {k: t.half() if t.is_floating_point() else t for k, t in full.items()}
        halves["blocks.1.0.weight"] = halves["blocks.0.0.weight"]  # tied as before
        write_weights(candidate.weights, halves)
    for resident in (True, False):
        soup = learned(spec_for(resident=resident), candidates, held_out, NO_TRACE)
        assert soup.weights["head.weight"].dtype == torch.float16
        np.testing.assert_allclose(soup.coefficients, wanted.coefficients, rtol=1e-2)


@pytest.mark.parametrize("spec", [spec_for("layer"), TURNS], ids=["together", "turns"])
def test_an_interrupted_soup_goes_on_from_its_last_epoch_to_the_same_end(tmp_path, spec):
    candidates, held_out = make_pool(tmp_path)
    whole = learned(spec, candidates, held_out, NO_TRACE)
    trace = Trace(tmp_path / "progress.json", "this spec")

    def save_then_stop(state):
        Trace.save(trace, state)
        raise KeyboardInterrupt

    trace.save = save_then_stop  # type: ignore[method-assign]
    for epochs_done in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            learned(spec, candidates, held_out, trace)
        assert len(trace.load()["curve"]) == epochs_done
    del trace.save
    soup = learned(spec, candidates, held_out, trace)
    assert soup.details == whole.details
    assert soup.coefficients == whole.coefficients
    assert all(soup.weights[key].equal(whole.weights[key]) for key in whole.weights)


def test_one_turn_of_all_models_is_learning_together(tmp_path):
    candidates, held_out = make_pool(tmp_path)
    together = learned(spec_for("layer", "affine"), candidates, held_out, NO_TRACE)
    turn = spec_for("layer", "affine", models_at_a_time=4)
    in_turn = learned(turn, candidates, held_out, NO_TRACE)
    np.testing.assert_allclose(in_turn.details["curve"], together.details["curve"], rtol=1e-4)
    for key in together.weights:
        torch.testing.assert_close(
            in_turn.weights[key], together.weights[key], atol=1e-4, rtol=1e-3
        )


def test_turns_read_every_file_twice_an_epoch_and_hold_the_models_of_one(tmp_path, monkeypatch):
    candidates, held_out = make_pool(tmp_path)
    numbers = [0]
    read = Mixture._read

    def count(self, files, order):
        block = read(self, files, order)
        numbers[0] += block.numel()
        return block

    monkeypatch.setattr(Mixture, "_read", count)
    spec = replace(TURNS, epochs=3)
    soup = learned(spec, candidates, held_out, NO_TRACE)
    size = sum(  # tied tensors once, statistics among them, which turns read for nothing
        tensor.numel()
        for key, tensor in read_weights(candidates[0].weights).items()
        if tensor.is_floating_point() and key != "blocks.1.0.weight"
    )
    assert numbers[0] == (1 + 2 * 3) * 4 * size  # and once for their mean
    for group, values in soup.coefficients.items():
        assert sum(values) == pytest.approx(1, abs=1e-12)
        if group in ("embedding", "blocks.0.0", "head"):  # where candidates differ
            assert len({*values}) == 4  # each has moved
    assert soup.details["curve"][-1][-1] < soup.details["curve"][0][0]


def test_turns_are_of_affine_coefficients():
    with pytest.raises(ValueError, match="models_at_a_time goes with constraint: affine"):
        LearnedSpec(models_at_a_time=2)


def test_another_seed_is_another_order_of_images(tmp_path):
    candidates, held_out = make_pool(tmp_path)
    curves = [
        learned(spec_for(seed=seed), candidates, held_out, NO_TRACE).details["curve"]
        for seed in (0, 0, 1)
    ]
    assert curves[0] == curves[1] != curves[2]


def test_a_diverged_candidate_is_named(tmp_path):
    candidates, held_out = make_pool(tmp_path)
    broken = read_weights(candidates[2].weights)
    broken["head.bias"][0] = torch.inf
    write_weights(candidates[2].weights, broken)
    with pytest.raises(ValueError, match=r"2.safetensors: values are NaN or infinite in head.bias"):
        learned(spec_for(), candidates, held_out, NO_TRACE)


def test_a_diverging_loss_asks_for_a_lower_learning_rate(tmp_path):
    candidates, held_out = make_pool(tmp_path)
    spec = spec_for(constraint="affine", learning_rate=1e30)
    with pytest.raises(ValueError, match=r"held-out loss is .* in epoch 1; lower the learn"):
        learned(spec, candidates, held_out, NO_TRACE)


def test_unequal_keys_are_refused_before_anything_is_learned(tmp_path):
    candidates, held_out = make_pool(tmp_path)
    other = tmp_path / "other.safetensors"
    write_weights(other, {**read_weights(candidates[0].weights), "extra": torch.ones(1)})
    candidates[1] = replace(candidates[1], weights=other)
    with pytest.raises(ValueError, match=r"other.safetensors: extra is not expected"):
        learned(spec_for(), candidates, held_out, NO_TRACE)


@pytest.mark.slow
def test_a_compiled_model_learns_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    candidates, held_out = make_pool(tmp_path)
    plain = learned(spec_for("layer"), candidates, held_out, NO_TRACE)
    evaluator = Evaluator(TinyNet(), batch_size=64, compiled=True)
    compiled = HeldOut(evaluator, held_out.examples, held_out.labels)
    soup = learned(spec_for("layer"), candidates, compiled, NO_TRACE)
    np.testing.assert_allclose(soup.details["curve"], plain.details["curve"], rtol=1e-4)
    for key in plain.weights:
        torch.testing.assert_close(soup.weights[key], plain.weights[key], rtol=1e-3, atol=1e-4)


def test_a_network_stored_channels_last_learns_the_same_and_stays_so(tmp_path):
    # Compiled code checks the strides of the weights that it was made for.
    candidates, held_out = make_pool(tmp_path)
    plain = learned(spec_for("layer"), candidates, held_out, NO_TRACE)
    network = TinyNet().to(memory_format=torch.channels_last)
    strides = network.blocks[0][0].weight.stride()
    assert strides != TinyNet().blocks[0][0].weight.stride()
    evaluator = Evaluator(network, batch_size=20)
    held_out = HeldOut(evaluator, held_out.examples, held_out.labels)
    soup = learned(spec_for("layer"), candidates, held_out, NO_TRACE)
    assert network.blocks[0][0].weight.stride() == strides
    np.testing.assert_allclose(soup.details["curve"], plain.details["curve"], rtol=1e-4)
    for key in plain.weights:
        torch.testing.assert_close(soup.weights[key], plain.weights[key], rtol=1e-3, atol=1e-4)
