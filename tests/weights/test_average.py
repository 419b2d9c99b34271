from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from modelsoups.weights import average as weights_module
from modelsoups.weights.average import average, check_finite, copy_into, estimate_statistics
from modelsoups.weights.checkpoints import read_weights, write_weights


def random_weights(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "a": torch.randn(5, 3, generator=generator),
        "b": torch.randn((), generator=generator),
        "c": torch.randn(4, generator=generator).half(),
    }


def equal(first, second) -> bool:
    return first.keys() == second.keys() and all(
        first[key].dtype == second[key].dtype and first[key].equal(second[key]) for key in first
    )


def test_mean_of_three_by_hand():
    pool = [{"a": torch.tensor([x, 2 * x])} for x in (1.0, 2.0, 6.0)]
    assert average(pool)["a"].tolist() == [3.0, 6.0]  # (1 + 2 + 6) / 3, twice it


def test_coefficients_by_hand():
    pool = [{"a": torch.tensor([1.0])}, {"a": torch.tensor([10.0])}]
    assert average(pool, [0.5, 2.0])["a"].tolist() == [20.5]


def test_coefficients_for_each_tensor():
    pool = [{k: torch.tensor([x]) for k in "ab"} for x in (1.0, 3.0)]
    found = average(pool, {"a": [1.0, 0.0], "b": [0.5, 0.5]})
    assert (found["a"].item(), found["b"].item()) == (1.0, 2.0)
    with pytest.raises(
        ValueError, match=r"coefficients for b \(1 in all\), found those of \['a'\]; of"
    ):
        average(pool, {"a": [1.0, 0.0]})
    with pytest.raises(ValueError, match="expected 2 coefficients, found 3"):
        average(pool, [1.0, 0.0, 0.0])


def test_average_of_one_is_itself_and_of_equals_that_model():
    one = random_weights(0)
    assert equal(average([one]), one)
    assert equal(average([one] * 7), one)


def test_interpolation_ends_at_its_ends():
    first, second = random_weights(0), random_weights(1)
    assert equal(average([first, second], [1, 0]), first)
    assert equal(average([first, second], [0, 1]), second)
    assert equal(average([first, second], [0.5, 0.5]), average([first, second]))


def test_mean_is_the_exact_mean_correctly_rounded():
    generator = np.random.default_rng(0)
    for count in (2, 3, 7, 72):
        # Magnitudes from 1e-6 to 1e3, signs mixed: float32 sums would be off in most elements.
        values = generator.normal(size=(count, 500)) * 10 ** generator.uniform(-6, 3, (count, 500))
        pool = [{"a": torch.from_numpy(row).float()} for row in values]
        found = average(pool)["a"]
        for column in range(500):
            exact = sum((Fraction(w["a"][column].item()) for w in pool), Fraction(0)) / count
            neighbours = [
                torch.nextafter(found[column], torch.tensor(s * torch.inf)) for s in (-1, 1)
            ]
            distance = abs(Fraction(found[column].item()) - exact)
            assert all(distance <= abs(Fraction(n.item()) - exact) for n in neighbours)


def test_half_precision_sums_do_not_overflow():
    pool = [{"a": torch.tensor([60000.0]).half()}] * 8  # the largest float16 is 65504
    assert average(pool)["a"].item() == 60000


def test_order_of_ingredients_does_not_matter():
    pool = [random_weights(seed) for seed in range(12)]
    assert equal(average(pool), average(pool[::-1]))


def test_files_give_the_same_as_memory_also_in_small_parts(tmp_path, monkeypatch):
    pool = [random_weights(seed) for seed in range(4)]
    for k, weights in enumerate(pool):
        write_weights(tmp_path / str(k), weights)
    paths = [tmp_path / str(k) for k in range(4)]
    assert equal(average(paths), average(pool))
    monkeypatch.setattr(weights_module, "WIDTH", 4)  # 15 elements of `a` in four parts
    assert equal(average(paths), average(pool))


@pytest.mark.parametrize("size", [1, 2])
def test_ingredients_are_added_in_their_order_whatever_the_size_of_a_tensor(size):
    small = torch.full((size,), 2.0**-53, dtype=torch.float64)  # is lost beside 1, two are not
    pool = [{"a": torch.ones_like(small)}, *[{"a": small}] * 15]
    assert average(pool)["a"].tolist() == [1 / 16] * size
    assert average(pool, [1] * 16)["a"].tolist() == [1] * size


def test_keys_may_stand_in_another_order(tmp_path):
    save_file({"a": torch.ones(2), "b": torch.zeros(3)}, tmp_path / "0")
    save_file({"b": torch.ones(3), "a": torch.zeros(2)}, tmp_path / "1")
    found = average([tmp_path / "0", tmp_path / "1"])
    assert {key: tensor.tolist() for key, tensor in found.items()} == {
        "a": [0.5, 0.5],
        "b": [0.5, 0.5, 0.5],
    }


def test_mixed_dtypes_average_in_the_widest():
    pool = [{"a": torch.tensor([1.0]).half()}, {"a": torch.tensor([1 + 2**-20])}]
    found = average(pool)["a"]
    assert found.dtype == torch.float32
    assert found.item() == 1 + 2**-21


def test_equal_integers_are_kept_and_counters_take_the_largest():
    pool = [
        {"position_ids": torch.arange(3), "bn.num_batches_tracked": torch.tensor(n)}
        for n in (10, 30, 20)
    ]
    found = average(pool, [0.2, 0.3, 0.5])
    assert found["position_ids"].tolist() == [0, 1, 2]
    assert found["bn.num_batches_tracked"].item() == 30
    assert found["bn.num_batches_tracked"].dtype == torch.int64


def test_different_integers_are_refused_by_key_and_file(tmp_path):
    for k, (ids, mask) in enumerate([([0, 1], [True]), ([0, 2], [True]), ([0, 1], [False])]):
        save_file({"ids": torch.tensor(ids), "mask": torch.tensor(mask)}, tmp_path / str(k))
    with pytest.raises(ValueError) as error:
        average([tmp_path / str(k) for k in range(3)])
    assert f"ids (torch.int64) in {tmp_path / '1'}" in str(error.value)
    assert f"mask (torch.bool) in {tmp_path / '2'}" in str(error.value)


def test_what_is_neither_float_nor_integer_is_told_of():
    complex_one = torch.ones(2, dtype=torch.complex64)
    assert average([{"a": complex_one}] * 2)["a"].equal(complex_one)
    with pytest.raises(ValueError, match=r"complex weights.*\n  a \(torch.complex64\)"):
        average([{"a": complex_one}, {"a": 2 * complex_one}])
    for odd in (torch.ones(2).to(torch.float8_e4m3fn), torch.ones(2).to_sparse()):
        with pytest.raises(ValueError, match=r"ingredient 1: expected dense .* found a \("):
            average([{"a": torch.ones(2)}, {"a": odd}])


class Elsewhere(torch.Tensor):
    """A tensor that goes with none in main memory, as one on a GPU, until it is copied there."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        if any(type(each) is torch.Tensor for each in args):
            raise RuntimeError("expected all tensors to be on the same device")
        return super().__torch_function__(function, types, args, kwargs or {})


def test_weights_on_a_gpu_are_averaged_in_main_memory():
    pool = [{"a": torch.tensor([x, 2 * x]), "ids": torch.arange(2)} for x in (1.0, 5.0)]
    there = {key: tensor.as_subclass(Elsewhere) for key, tensor in pool[1].items()}
    for given in ([pool[0], there], [there, pool[0]], [there, there]):
        found = average(given)
        assert {type(tensor) for tensor in found.values()} == {torch.Tensor}
        assert found["a"].tolist() == ([5.0, 10.0] if given[0] is given[1] else [3.0, 6.0])


def test_tied_tensors_stay_tied():
    pool = []
    for x in (1.0, 3.0):
        shared = torch.tensor([x])
        pool.append({"embedding": shared, "head": shared})
    found = average(pool)
    assert found["head"] is found["embedding"]
    assert found["head"].item() == 2


def test_non_finite_values_are_refused_by_key_and_file(tmp_path):
    for k, value in enumerate([1.0, torch.nan, -torch.inf, torch.inf]):
        save_file({"fine": torch.ones(1), "bad": torch.tensor([1.0, value])}, tmp_path / str(k))
    with pytest.raises(ValueError) as error:
        average([tmp_path / str(k) for k in range(4)])
    message = str(error.value)
    assert message.startswith("bad of the average is not finite")
    assert all((str(tmp_path / str(k)) in message) == (k > 0) for k in range(4))
    with pytest.raises(ValueError, match="1: values are NaN or infinite in bad; leave diverged"):
        check_finite(read_weights(tmp_path / "1"), "1")


def test_too_large_coefficients_are_refused():
    with pytest.raises(ValueError, match="the coefficients are too large"):
        average([{"a": torch.tensor([1e4]).half()}], [10.0])


def test_no_ingredients_are_refused():
    with pytest.raises(ValueError, match="expected ingredients, found none"):
        average([])


class TiedLanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight


def test_copying_replaces_values_in_place():
    model = nn.Linear(3, 2)
    before = {key: tensor.data_ptr() for key, tensor in model.state_dict().items()}
    wanted = {"weight": torch.ones(2, 3), "bias": torch.arange(2.0)}
    copy_into(model, wanted)
    assert equal(dict(model.state_dict()), wanted)
    assert before == {key: tensor.data_ptr() for key, tensor in model.state_dict().items()}


def test_of_tied_tensors_one_is_enough_and_different_ones_are_refused():
    model = TiedLanguageModel()
    copy_into(model, {"head.weight": torch.ones(5, 3)})
    assert model.embedding.weight.eq(1).all()
    both = {"embedding.weight": torch.zeros(5, 3), "head.weight": torch.zeros(5, 3)}
    copy_into(model, both)
    assert model.head.weight.eq(0).all()
    with pytest.raises(ValueError, match=r"head.weight differs from embedding.weight, to which"):
        copy_into(model, both | {"head.weight": torch.ones(5, 3)})


def test_weights_of_another_model_are_refused_with_every_key_and_change_nothing():
    model = nn.Linear(3, 2)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(ValueError) as error:
        copy_into(model, {"weight": torch.ones(4, 3), "scale": torch.ones(1)})
    assert str(error.value) == (
        "the weights do not fit the model: bias is missing; scale is not expected; "
        "weight has shape (4, 3), expected (2, 3)"
    )
    assert equal(dict(model.state_dict()), before)


def test_estimated_statistics_are_the_means_over_batches():
    model = nn.Sequential(nn.BatchNorm2d(1), nn.ReLU()).eval()
    batches = [torch.tensor([0.0, 2.0]).view(2, 1, 1, 1), torch.tensor([4.0, 8.0]).view(2, 1, 1, 1)]
    estimate_statistics(model, [batches[0] + 9])  # leaves nothing behind
    found = estimate_statistics(model, batches)
    # means (0 + 2) / 2 = 1 and (4 + 8) / 2 = 6; unbiased variances 2 and 8
    assert found["0.running_mean"].tolist() == [3.5]
    assert found["0.running_var"].tolist() == [5.0]
    assert found.keys() == {"0.running_mean", "0.running_var", "0.num_batches_tracked"}
    assert model[0].momentum == 0.1 and not model[0].training
    copy_into(model, dict(model.state_dict()) | found)


def test_a_model_without_normalisation_statistics_has_none_to_estimate():
    model = nn.Sequential(nn.LayerNorm(2), nn.BatchNorm1d(2, track_running_stats=False))
    assert estimate_statistics(model, [torch.ones(3, 2)]) == {}


def test_statistics_are_not_estimated_on_no_images():
    with pytest.raises(ValueError, match="expected batches of images to estimate statistics on"):
        estimate_statistics(nn.BatchNorm2d(1), [])
    assert estimate_statistics(nn.LayerNorm(2), []) == {}


def test_factors_of_adapters_are_not_averaged_apart():
    """For A = B = 1 and A = B = -1 the products' mean is 1, the product of the means 0."""
    adapters = [
        {"m.lora_A.weight": torch.full((1, 1), sign), "m.lora_B.weight": torch.full((1, 1), sign)}
        for sign in (1.0, -1.0)
    ]
    with pytest.raises(ValueError, match=r"m.lora_A.weight, m.lora_B.weight, ...: factors of ada"):
        average(adapters)
    assert average(adapters[:1]) == adapters[0]
