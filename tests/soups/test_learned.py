import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from modelsoups.base.progress import Trace
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.evaluation.logits import read_logits, write_logits
from modelsoups.soups.learned import (
    READ_AHEAD,
    RESIDENT_BLOCK,
    STREAMED_BLOCK,
    Mixture,
    learned,
)
from modelsoups.soups.pool import Candidate, HeldOut
from modelsoups.soups.registry import LearnedSpec
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import read_weights, write_weights
from small_pools import make_held_out

torch.set_num_threads(1)  # for tensors this small a second thread only costs

NO_TRACE = Trace(None, None)
NUM_IMAGES = 60


class TinyNet(nn.Module):
    """Two blocks with BatchNorm between an embedding and a head; the blocks share a kernel."""

    def __init__(self):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 4, 1)
        first, second = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        second.weight = first.weight
        self.blocks = nn.Sequential(
            nn.Sequential(first, nn.BatchNorm2d(4), nn.Tanh()),
            nn.Sequential(second, nn.BatchNorm2d(4), nn.Tanh()),
        )
        self.head = nn.Linear(4 * 9, 3)

    def forward(self, images):
        return self.head(self.blocks(self.conv_stem(images.float() / 255 - 0.5)).flatten(1))


def make_pool(folder: Path, count: int = 4, spread: float = 1.0) -> tuple[list[Candidate], HeldOut]:
    """Perturbations of one network, unequal in everything, their statistics included."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (NUM_IMAGES, 3, 3, 3), dtype=np.uint8)
    held_out = make_held_out(TinyNet(), images, random.integers(0, 3, NUM_IMAGES), batch_size=20)
    model = TinyNet()
    center = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    candidates = []
    for k in range(count):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                noise = spread * torch.randn_like(parameter) * center[name].std()
                parameter.copy_(center[name] + noise)
        for name, buffer in model.named_buffers():
            if "running" in name:
                middle = float(name.endswith("var"))
                buffer.uniform_(middle - 0.5 * spread, middle + 0.5 * spread)
        path = folder / f"{k}.safetensors"
        write_weights(path, dict(model.state_dict()))
        held_out.pour(read_weights(path), "it")
        logits = path.with_suffix(".parquet")
        write_logits(logits, held_out.logits(), held_out.labels, {})
        candidates.append(Candidate(name=f"{k:03}", weights=path, logits=logits))
    return candidates, held_out


def group_by_hand(per: str, key: str) -> str:
    key = key.replace("blocks.1.0.weight", "blocks.0.0.weight")  # they are tied
    layers = {"conv_stem": "embedding", "head": "head"}
    return {
        "model": "model",
        "layer": layers.get(key.split(".")[0]) or ".".join(key.split(".")[:3]),
        "tensor": key,
    }[per]


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


def spec_for(per="model", constraint="softmax", resident=True, **fields) -> LearnedSpec:
    size = 1.0 if resident else 0.0
    return LearnedSpec(
        coefficients_per=per,
        constraint=constraint,
        resident_gib=size,
        **{"batch_size": 25, **fields},
    )


TURNS = spec_for("layer", "affine", models_at_a_time=2)


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("constraint", ["softmax", "affine"])
@pytest.mark.parametrize("per", ["model", "layer", "tensor"])
def test_gradient_is_that_of_autograd_through_all_models(tmp_path, per, constraint, resident):
    candidates, held_out = make_pool(tmp_path)
    spec = spec_for(per, constraint, resident)
    pool = [read_weights(c.weights) for c in candidates]

    mixture = Mixture(held_out.evaluator.model, [c.weights for c in candidates], spec)
    torch.manual_seed(1)
    alpha = torch.rand(4, len(mixture.groups), requires_grad=True)
    mixture.mix(alpha)
    labels = torch.from_numpy(held_out.labels)
    images = held_out.batch(np.arange(NUM_IMAGES))
    cross_entropy(held_out.evaluator.model(images), labels).backward()
    found = mixture.gradient()

    mix = {}
    for key, group in mixture.group_of.items():
        column = alpha[:, mixture.groups.index(group)]
        column = column.detach() if "running" in key else column
        mix[key] = sum(a * weights[key] for a, weights in zip(column, pool, strict=True))
    mix["blocks.1.0.weight"] = mix["blocks.0.0.weight"]
    logits = functional_call(TinyNet().eval(), mix, (images,), tie_weights=False)
    cross_entropy(logits, labels).backward()
    torch.testing.assert_close(found.float(), alpha.grad, rtol=2e-5, atol=2e-6)
    assert found.abs().max() > 0.01


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
        "modelsoups.soups.learned.STREAMED_BLOCK", {"cpu": 44}
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


def test_a_step_of_affine_coefficients_is_the_projected_one(tmp_path):
    candidates, held_out = make_pool(tmp_path)
    mixture = Mixture(
        held_out.evaluator.model, [c.weights for c in candidates], spec_for(constraint="affine")
    )
    group = mixture.groups.index("model")
    raw = torch.zeros(4, len(mixture.groups), requires_grad=True)
    before = mixture.coefficients(raw)
    assert before.tolist() == [[0.25] * len(mixture.groups)] * 4
    gradient = torch.zeros_like(before)
    gradient[:, group] = torch.tensor([4.0, 0.0, -2.0, 6.0])  # its mean is 2
    before.backward(gradient)
    # of r: (g - mean g) / K = (2, -2, -4, 4) / 4
    assert raw.grad[:, group].tolist() == [0.5, -0.5, -1, 1]
    after = mixture.coefficients(raw.detach() - 4 * raw.grad)[:, group]
    # r = (-2, 2, 4, -4), of mean 0: alpha = (1 + r) / 4, which is 1/4 - (g - mean g) / 4
    assert after.tolist() == [-0.25, 0.75, 1.25, -0.75]


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


def test_gradient_of_a_turn_is_that_of_its_models_among_all(tmp_path):
    candidates, held_out = make_pool(tmp_path)
    paths = [c.weights for c in candidates]
    model, labels = held_out.evaluator.model, torch.from_numpy(held_out.labels)
    mixture = Mixture(model, paths, TURNS)
    torch.manual_seed(1)
    before, after = (torch.randn(4, len(mixture.groups)) for _ in range(2))
    after[:2] = before[:2]  # they stay
    mixture.begin_epoch_of_turns(mixture.coefficients(before))
    mixture.begin_turn(range(2, 4))
    mixture.mix_in_turn((after - before)[2:])
    mix = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    cross_entropy(model(held_out.batch(np.arange(NUM_IMAGES))), labels).backward()
    found = mixture.gradient_in_turn()

    raw = after.clone().requires_grad_()
    coefficients = mixture.coefficients(raw)
    mixture.mix(coefficients.detach())
    for key, tensor in model.state_dict().items():
        torch.testing.assert_close(mix[key], tensor, rtol=1e-5, atol=1e-6)
    cross_entropy(model(held_out.batch(np.arange(NUM_IMAGES))), labels).backward()
    coefficients.backward(mixture.gradient())
    torch.testing.assert_close(found, raw.grad[2:], rtol=1e-4, atol=1e-6)
    assert found.abs().max() > 1e-3


def test_turns_read_every_file_twice_an_epoch_and_hold_the_models_of_one(tmp_path, monkeypatch):
    candidates, held_out = make_pool(tmp_path)
    numbers = [0]
    read = Mixture._read

    def count(self, files, part):
        block = read(self, files, part)
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


def float64_gradient(mixture: Mixture, candidates, alpha: torch.Tensor) -> torch.Tensor:
    """Gradient of what is learned (K,), of one coefficient a model, from that of the weights."""
    parts = [mixture._gradient[start : start + size] for _, start, size in mixture._parts]
    pool = [read_weights(c.weights) for c in candidates]
    products = torch.tensor(
        [
            sum(
                torch.dot(weights[key].double().flatten(), part.double()).item()
                for (key, *_), part in zip(mixture._parts, parts, strict=True)
            )
            for weights in pool
        ],
        dtype=torch.float64,
    )
    return alpha * (products - (alpha * products).sum())


def float32_gradient(mixture: Mixture, candidates, alpha: torch.Tensor) -> torch.Tensor:
    """As `float64_gradient`, with one sum in float32 over all weights, as was done at first."""
    pool = [read_weights(c.weights) for c in candidates]
    matrix = torch.stack(
        [torch.cat([weights[key].flatten() for key, *_ in mixture._parts]) for weights in pool]
    )
    products = matrix @ mixture._gradient
    return alpha.float() * (products - (alpha.float() * products).sum())


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_gradient_keeps_its_digits_however_alike_ingredients_are(tmp_path, spread, resident):
    candidates, held_out = make_pool(tmp_path, spread=spread)
    mixture = Mixture(
        held_out.evaluator.model,
        [c.weights for c in candidates],
        spec_for("model", resident=resident),
    )
    raw = torch.tensor([[0.1], [-0.2], [0.3], [0.0]], requires_grad=True)
    alpha = mixture.coefficients(raw)
    mixture.mix(alpha.detach())
    logits = held_out.evaluator.model(held_out.batch(np.arange(NUM_IMAGES)))
    cross_entropy(logits, torch.from_numpy(held_out.labels)).backward()
    alpha.backward(mixture.gradient())

    column = alpha.detach()[:, 0]
    wanted = float64_gradient(mixture, candidates, column)

    def error(found: torch.Tensor) -> float:
        return float((found - wanted).abs().max() / wanted.abs().max())

    assert error(raw.grad[:, 0]) < 1e-6
    if spread == 1e-3:  # where a float32 sum over all weights is off by 1e-4, in this tiny network
        assert error(float32_gradient(mixture, candidates, column)) > 5e-5


@pytest.mark.parametrize("size", [*STREAMED_BLOCK.values(), *RESIDENT_BLOCK.values()])
def test_blocks_of_72_large_models_cover_them_in_products_that_gpus_compute(size):
    """ViT-L/14's largest tensors and all of its weights in one; 2^31 elements overflow."""
    mixture = object.__new__(Mixture)
    mixture.num_ingredients = 72
    mixture._parts = [("token_embedding", 0, 4_194_304), ("all", 4_194_304, 304_000_000)]
    stop = 0
    for _, start, begin, end in mixture._cut(size, 72):
        assert start + begin == stop
        assert 0 < 72 * (end - begin) <= size <= 2**30
        stop = start + end
    assert stop == 308_194_304


def test_streamed_blocks_are_those_read_at_once_however_many_are_read_ahead(tmp_path, monkeypatch):
    candidates, held_out = make_pool(tmp_path)
    paths = [c.weights for c in candidates]
    mixture = Mixture(held_out.evaluator.model, paths, spec_for(resident=False))
    everyone = range(4)
    whole = [block.clone() for *_, block in mixture._read_blocks(RESIDENT_BLOCK["cpu"], everyone)]
    monkeypatch.setitem(READ_AHEAD, "cpu", 3)
    cut: dict[int, list[torch.Tensor]] = {}
    for (_, start, *_), (_, span, block) in zip(
        mixture._cut(44, 4), mixture._read_blocks(44, everyone), strict=True
    ):
        assert block.shape == (4, span.stop - span.start)
        cut.setdefault(start, []).append(block)
    assert len(cut) == len(whole)
    for blocks, wanted in zip(cut.values(), whole, strict=True):
        assert torch.cat(blocks, dim=1).equal(wanted)


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
