"""The functions of `import modelsoups`, and the README's example of them, run as it is shown."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
import torch

import modelsoups
from modelsoups.weights.checkpoints import write_weights

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

# What the README's reader has: a model, held-out images with labels, and files of three runs.
BEFORE = """
import sys
refused = set({refused!r})

class Hiding:  # what `pip install .` does not install
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in refused
        return None if hidden else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
import modelsoups
assert "torch" not in sys.modules and "numpy" not in sys.modules, "importing it is to be light"
import torch
from wrong_pools import Network
model = Network(8).eval()
held_out = torch.load("held-out.pt")
images, labels = held_out["images"], held_out["labels"]
"""
AFTER = """
import json
found = {"greedy": greedy.coefficients, "learned": learned.coefficients}
found["uniform"] = float(evaluate(uniform).double().mean())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def runs(kitchen) -> dict:
    return {f"run{seed}": kitchen.train(kitchen.start, seed=seed, epochs=1) for seed in (1, 2, 3)}


@pytest.fixture(scope="module")
def evaluate(kitchen):
    return lambda weights: kitchen.evaluate(weights)["accuracy"]


@pytest.fixture(scope="module")
def images(kitchen) -> torch.Tensor:
    return torch.from_numpy(kitchen.examples.pixels).permute(0, 3, 1, 2)


@pytest.mark.slow
def test_readme_example_runs_with_what_a_plain_install_has(
    tmp_path, kitchen, runs, evaluate, images
):
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    lines = [line for line in example.splitlines() if line.strip()]
    assert len(lines) <= 12
    extras = {re.split(r"[><=]", each)[0] for each in PROJECT["optional-dependencies"]["workflow"]}
    extras = {name.lower().replace("_", "-") for name in extras}
    refused = sorted(
        module
        for module, owners in packages_distributions().items()
        if {owner.lower().replace("_", "-") for owner in owners} & extras
    )
    assert {"timm", "snakemake", "matplotlib", "open_clip"} <= set(refused)
    for name, weights in runs.items():
        write_weights(tmp_path / f"{name}.safetensors", weights)
    labels = torch.from_numpy(kitchen.examples.labels)
    torch.save({"images": images, "labels": labels}, tmp_path / "held-out.pt")
    script = BEFORE.format(refused=refused) + example + AFTER
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT / 'workflow'}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *diagnosis, last = done.stdout.strip().splitlines()
    found = json.loads(last)
    assert diagnosis[0] == "Diagnosis:"
    assert sum(found["greedy"].values()) == pytest.approx(1)
    assert sum(found["learned"].values()) == pytest.approx(1)
    assert len(set(found["learned"].values())) == 3
    uniform = evaluate(modelsoups.average(list(runs.values()))).mean()
    assert found["uniform"] == pytest.approx(uniform)


def test_greedy_is_recipe_1_and_never_below_the_best(runs, evaluate):
    found = modelsoups.greedy(runs, evaluate)
    alone = {name: evaluate(weights).mean() for name, weights in runs.items()}
    assert [each.name for each in found.decisions] == sorted(alone, key=alone.get, reverse=True)
    # The recipe, by hand.
    kept: list[str] = []
    best = -1.0
    for each in found.decisions:
        soup = modelsoups.average([runs[name] for name in [*kept, each.name]])
        score = evaluate(soup).mean()
        assert each.score == pytest.approx(score)
        if score > best:
            kept, best = [*kept, each.name], score
    assert dict(found.coefficients) == pytest.approx({name: 1 / len(kept) for name in kept})
    assert evaluate(found.weights).mean() == pytest.approx(best)
    assert best >= max(alone.values())


def test_number_decides_as_its_values_do(runs, evaluate):
    by_values = modelsoups.greedy(runs, evaluate)
    by_mean = modelsoups.greedy(
        list(runs.values()), lambda weights: float(evaluate(weights).mean())
    )
    decided = [each.decision for each in by_values.decisions]
    assert [each.decision for each in by_mean.decisions] == decided
    assert set(by_mean.coefficients) <= {"0", "1", "2"}
    num_examples = len(evaluate(runs["run1"]))
    assert {each.num_evaluated for each in by_values.decisions} == {num_examples}


def test_learned_lowers_the_loss_and_leaves_the_model_as_it_was(kitchen, runs, images):
    model = kitchen.held_out.evaluator.model
    kitchen.evaluate(runs["run1"])
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    labels = torch.from_numpy(kitchen.examples.labels)
    found = modelsoups.learned(runs, model, images, labels, coefficients_per="layer", epochs=2)
    assert all(tensor.equal(before[key]) for key, tensor in model.state_dict().items())
    assert set(found.coefficients) == set(runs)
    shares = np.array([list(each.values()) for each in found.coefficients.values()])
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    loss = {
        name: kitchen.evaluate(weights)["loss"].mean()
        for name, weights in {**runs, "soup": found.weights}.items()
    }
    assert loss["soup"] < max(loss.values())


def test_learned_from_files_is_that_of_state_dicts(tmp_path, kitchen, runs, images):
    files = {name: tmp_path / f"{name}.safetensors" for name in runs}
    for name, path in files.items():
        write_weights(path, runs[name])
    model = kitchen.held_out.evaluator.model
    labels = torch.from_numpy(kitchen.examples.labels)
    one, other = (
        modelsoups.learned(each, model, images, labels, epochs=1) for each in (files, runs)
    )
    assert one.coefficients == other.coefficients
    assert all(tensor.equal(other.weights[key]) for key, tensor in one.weights.items())


def test_diagnosis_names_the_model_with_another_start(kitchen, runs, evaluate):
    odd = kitchen.train(None, seed=9, lr=0.1, epochs=4, styles=("noto",))
    found = modelsoups.diagnose({**runs, "odd": odd}, evaluate, initialization=kitchen.start)
    assert found.verdicts[0].kind == "initialization"
    assert "odd does not share the initialisation" in str(found)
    assert list(found.models.columns)[:3] == ["model", "verdict", "score"]


def test_diagnosis_by_one_number_does_not_speak_of_one_example(layers):
    states, network, *_ = layers
    start = network.state_dict()

    def closeness(weights):
        return -float(sum((weights[key] - start[key]).norm() for key in start))

    found = modelsoups.diagnose(states, closeness, margin=1e9)
    assert found.verdicts[-1].kind == "fine"
    assert "held-out examples" not in str(found)


def test_state_dicts_of_one_model_at_several_times_are_refused(layers):
    _, network, inputs, labels = layers
    pool = []
    for _ in range(2):
        torch.nn.init.normal_(network[0].weight)  # as training would
        pool.append(network.state_dict())
    for call in (
        lambda: modelsoups.greedy(pool, lambda weights: 1.0),
        lambda: modelsoups.learned(pool, network, inputs, labels),
    ):
        with pytest.raises(ValueError, match="ingredients 0 and 1 are the same tensors"):
            call()


def test_model_that_is_an_ingredient_cannot_be_evaluated_with(layers):
    states, network, inputs, labels = layers
    pool = {"a": states[0], "own": network.state_dict(), "c": states[2]}

    def evaluate(weights):
        network.load_state_dict(weights)
        return network(inputs).argmax(dim=1) == labels

    for call in (modelsoups.greedy, modelsoups.diagnose):
        with pytest.raises(ValueError, match=r"own: `evaluate` has written into its 0\."):
            call(pool, evaluate)
    with pytest.raises(ValueError, match="initialization: `evaluate` has written into"):
        modelsoups.diagnose(states, evaluate, initialization=network.state_dict())
    with pytest.raises(ValueError, match="initialization: expected a state dict .* 'model': dict"):
        modelsoups.diagnose(states, evaluate, initialization={"model": states[0]})
    copied = {key: tensor.clone() for key, tensor in pool["own"].items()}
    modelsoups.greedy({**pool, "own": copied}, evaluate)
    with torch.inference_mode():
        modelsoups.greedy([{"w": torch.ones(2)} for _ in range(2)], lambda weights: weights["w"])


def test_diagnosis_by_an_evaluate_that_takes_keys_out(layers):
    states, network, inputs, labels = layers
    pool = [{**state, "loss.weight": torch.ones(2)} for state in states]

    def evaluate(weights):
        weights.pop("loss.weight")
        network.load_state_dict(weights)
        return network(inputs).argmax(dim=1) == labels

    assert str(modelsoups.diagnose(pool, evaluate)).startswith("Diagnosis:")


def test_wrong_calls_say_what_is_wrong(runs, evaluate):
    with pytest.raises(AttributeError, match="no attribute 'stir'"):
        modelsoups.stir  # noqa: B018
    for wrong, named in (
        (None, "NoneType None"),
        ([], r"list \[\]"),
        ({"accuracy": 1}, "dict {'acc"),
    ):
        for call in (modelsoups.greedy, modelsoups.diagnose):
            with pytest.raises(
                ValueError, match=f"expected `evaluate` to return .*; found {named}"
            ):
                call(runs, lambda weights, wrong=wrong: wrong)
    with pytest.raises(ValueError, match=r"run2: expected a score, found NaN"):
        modelsoups.greedy({"run2": runs["run2"]}, lambda weights: np.nan)
    with pytest.raises(ValueError, match="each file once"):
        modelsoups.greedy(["a.safetensors", "a.safetensors"], evaluate)
    broken = {key: value for key, value in runs["run1"].items() if key != "head.bias"}
    with pytest.raises(ValueError, match=r"head\.bias is missing"):
        modelsoups.average([runs["run2"], broken])


@pytest.fixture
def layers() -> tuple[list[dict], torch.nn.Module, torch.Tensor, torch.Tensor]:
    """Three state dicts of a network of two layers, the network, and 60 examples with labels."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
    states = [
        {
            key: tensor + 0.5 * torch.randn_like(tensor)
            for key, tensor in network.state_dict().items()
        }
        for _ in range(3)
    ]
    return states, network, torch.randn(60, 5), torch.randint(0, 3, (60,))


def test_learned_coefficients_do_not_depend_on_what_the_caller_has_frozen(layers):
    states, network, inputs, labels = layers
    found = modelsoups.learned(states, network, inputs, labels).coefficients
    assert len(set(found.values())) == 3
    network[0].requires_grad_(False)
    assert modelsoups.learned(states, network, inputs, labels).coefficients == found
    assert [each.requires_grad for each in network.parameters()] == [False, False, True, True]
    network.requires_grad_(False)
    assert modelsoups.learned(states, network, inputs, labels).coefficients == found
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert modelsoups.learned(states, network, inputs, labels).coefficients == found


def test_learned_refuses_a_model_without_gradients_or_outputs(layers):
    states, network, inputs, labels = layers
    network.forward = torch.no_grad()(network.forward)
    with pytest.raises(ValueError, match="found none; take"):
        modelsoups.learned(states, network, inputs, labels)
    network.forward = lambda batch: {"logits": batch}
    with pytest.raises(ValueError, match="expected a tensor of outputs, found dict; give a model"):
        modelsoups.learned(states, network, inputs, labels)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_learned_takes_a_model_in_another_precision(layers, dtype):
    states, network, inputs, labels = layers
    cast = [{key: tensor.to(dtype) for key, tensor in state.items()} for state in states]
    found = modelsoups.learned(cast, network.to(dtype), inputs.to(dtype), labels)
    assert {tensor.dtype for tensor in [*found.weights.values(), *network.parameters()]} == {dtype}
    in_float32 = modelsoups.learned(states, network.float(), inputs, labels).coefficients
    assert dict(found.coefficients) == pytest.approx(dict(in_float32), abs=0.01)
    numbers = torch.rand(60, 3).to(dtype)
    shares = modelsoups.learned(cast, network, inputs.to(dtype), numbers).coefficients
    assert sum(shares.values()) == pytest.approx(1)


class Tied(torch.nn.Module):
    """An embedding that is the output layer, too: one parameter, or two with one memory."""

    def __init__(self, by_memory):
        super().__init__()
        self.embedding, self.output = torch.nn.Embedding(6, 4), torch.nn.Linear(4, 6, bias=False)
        if by_memory:
            self.output.weight.data = self.embedding.weight.data
        else:
            self.output.weight = self.embedding.weight

    def forward(self, tokens):
        return self.output(torch.tanh(self.embedding(tokens)))


@pytest.mark.parametrize("per", ["model", "tensor"])
def test_learned_coefficients_are_the_same_however_tensors_are_tied(per):
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(6, 4, generator=generator) for _ in range(3)]
    states = [dict.fromkeys(("embedding.weight", "output.weight"), each) for each in tensors]
    tokens = torch.randint(0, 6, (60,), generator=generator)
    one, other = (
        modelsoups.learned(states, Tied(by_memory), tokens, (tokens * 2) % 6, coefficients_per=per)
        for by_memory in (False, True)
    )
    shares = [
        [
            each if per == "model" else each["embedding.weight"]
            for each in soup.coefficients.values()
        ]
        for soup in (one, other)
    ]
    assert len(set(shares[0])) == 3
    assert shares[1] == pytest.approx(shares[0], abs=1e-6)


def test_ingredients_may_be_a_mapping_a_list_or_a_generator(layers):
    states, network, inputs, labels = layers

    def evaluate(weights):
        network.load_state_dict(weights)
        return network(inputs).argmax(dim=1) == labels

    plain = modelsoups.average(states)
    for given in (dict(enumerate(states)), iter(states)):
        mean = modelsoups.average(given)
        assert all(tensor.equal(plain[key]) for key, tensor in mean.items())
    found = modelsoups.greedy(states, evaluate)
    for given in (dict(enumerate(states)), iter(states)):
        assert modelsoups.greedy(given, evaluate).decisions == found.decisions
    assert set(modelsoups.learned(iter(states), network, inputs, labels).coefficients) == set("012")


def test_what_is_no_ingredient_is_told_before_anything_is_evaluated(tmp_path, layers):
    states, network, inputs, labels = layers
    torch.save(states[0], tmp_path / "0.pt")
    wrong = [
        ("runs/0.safetensors", r"found one file \(runs/0.safetensors\); put it in a list"),
        (states[0], "found one state dict; put it in a list"),
        ([], "expected ingredients, found none"),
        (iter([]), "expected ingredients, found none"),
        ([states[0], network], "ingredient 1: .* found Sequential; give a model's `state_dict"),
        ({"a": {"model": states[0], "epoch": 3}}, "ingredient a: .* 'model': dict, 'epoch'"),
        ([tmp_path / "0.pt"], "found a zip archive; of what torch.save wrote give the state dict"),
    ]

    def never(weights):
        raise AssertionError("evaluated")

    for given, message in wrong:
        for call in (
            modelsoups.average,
            lambda given: modelsoups.greedy(given, never),
            lambda given: modelsoups.learned(given, network, inputs, labels),
            lambda given: modelsoups.diagnose(given, never),
        ):
            with pytest.raises(ValueError, match=message):
                call(given)


def test_ingredients_that_do_not_fit_are_named_before_anything_is_evaluated(layers):
    states, *_ = layers
    pool = {
        name: {**state, "ids": torch.arange(3)} for name, state in zip("abc", states, strict=True)
    }

    def never(weights):
        raise AssertionError("evaluated")

    for changes, message in (
        ({"ids": torch.arange(3) + 1}, r"other than in ingredient a are:\n.* in ingredient c$"),
        ({"0.bias": torch.zeros(5)}, r"ingredient c: 0.bias has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            modelsoups.greedy({**pool, "c": pool["c"] | changes}, never)
    with pytest.raises(ValueError, match="factors of adapters"):
        modelsoups.greedy([{"x.lora_A.weight": torch.ones(2)} for _ in range(2)], never)


def test_diverged_ingredient_is_called_by_its_name(layers):
    states, network, inputs, labels = layers
    states[2]["0.bias"][0] = torch.nan
    pool = dict(zip("abc", states, strict=True))
    with pytest.raises(ValueError, match="NaN or infinite in ingredient c;"):
        modelsoups.greedy(pool, lambda weights: torch.tensor([True, False]))
    with pytest.raises(ValueError, match="^ingredient c: values are NaN"):
        modelsoups.learned(pool, network, inputs, labels)
