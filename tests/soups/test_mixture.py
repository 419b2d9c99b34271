"""The mix of many models' weights and the gradient of its coefficients, against autograd."""

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from mixed_networks import NUM_IMAGES, TURNS, TinyNet, make_pool, spec_for
from modelsoups.soups.mixture import READ_AHEAD, RESIDENT_BLOCK, STREAMED_BLOCK, Mixture
from modelsoups.weights.checkpoints import Checkpoint, read_weights

torch.set_num_threads(1)  # for tensors this small a second thread only costs


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
        cut.setdefault(start, []).append(block.clone())
    assert len(cut) == len(whole)
    for blocks, wanted in zip(cut.values(), whole, strict=True):
        assert torch.cat(blocks, dim=1).equal(wanted)


@pytest.mark.parametrize("alike", [True, False])
def test_tensors_that_follow_one_another_in_every_file_are_read_at_once(
    tmp_path, monkeypatch, alike
):
    candidates, held_out = make_pool(tmp_path)
    pool: list = [candidate.weights for candidate in candidates]
    if not alike:  # one has its tensors elsewhere
        pool[2] = read_weights(pool[2])
    mixture = Mixture(held_out.evaluator.model, pool, spec_for(resident=False))
    calls = []
    read_bytes = Checkpoint.read_bytes

    def count(self, key, *rest):
        calls.append((self.path, key))
        read_bytes(self, key, *rest)

    monkeypatch.setattr(Checkpoint, "read_bytes", count)
    blocks = {}
    for _, span, block in mixture._read_blocks(STREAMED_BLOCK["cpu"], range(4)):
        blocks[span.start] = block.clone()
    files = {path for path, _ in calls}
    keys = {key for _, key in calls}
    if alike:
        assert len(files) == 4 and len(keys) == 1
    else:
        assert len(files) == 3 and len(keys) == len(mixture._parts)
    for key, start, _ in mixture._parts:
        for row, weights in zip(blocks[start], candidates, strict=True):
            assert row.equal(read_weights(weights.weights)[key].flatten())
