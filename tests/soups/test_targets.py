"""Soups and ensembles of models that give numbers or labels, or that a user's function scores."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from modelsoups.base.files import read_json
from modelsoups.base.progress import Trace
from modelsoups.data.examples import Images
from modelsoups.diagnosis.pool import diagnose_pool
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.evaluation.logits import read_logits, write_logits
from modelsoups.evaluation.own import score_examples, write_own
from modelsoups.evaluation.targets import kind_of
from modelsoups.soups.ensembles import choose_ensemble
from modelsoups.soups.greedy import greedy
from modelsoups.soups.learned import learned
from modelsoups.soups.pool import Candidate, HeldOut, open_held_out
from modelsoups.soups.recipes import cook
from modelsoups.soups.registry import GreedySpec, LearnedSpec
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import write_weights

NO_TRACE = Trace(None, None)
NUM_IMAGES = 120


class Outputs(nn.Module):
    """Two outputs of 2 x 2 images."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(12, 2)

    def forward(self, images):
        return self.head(images.float().flatten(1) / 255)


class Whole(nn.Module):
    """As a model made elsewhere is wrapped."""

    def __init__(self):
        super().__init__()
        self.model = Outputs()

    def forward(self, images):
        return self.model(images)


def make_targets(kind, images):
    """What a network near those of the pool gives, with noise."""
    rng = np.random.default_rng(1)
    torch.manual_seed(0)
    with torch.no_grad():
        outputs = Outputs()(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    outputs = outputs + rng.normal(0, 0.1, outputs.shape).astype(np.float32)
    return outputs if kind == "numbers" else outputs > np.median(outputs)


@pytest.fixture
def make(tmp_path):
    """From a kind of targets to candidates on both sides of the truth, one far off, and the set."""

    def pool(kind):
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (NUM_IMAGES, 2, 2, 3), dtype=np.uint8)
        evaluator = Evaluator(Outputs(), batch_size=16)
        held_out = HeldOut(evaluator, Images(images), make_targets(kind, images))
        torch.manual_seed(0)
        center = Outputs().state_dict()
        candidates = []
        for number in range(5):
            torch.manual_seed(10 + number)
            size = 2.0 if number == 2 else 0.1
            weights = {k: v + size * torch.randn(v.shape) for k, v in center.items()}
            name = f"{number:03d}"
            paths = [tmp_path / f"{kind}-{name}.{suffix}" for suffix in ("safetensors", "parquet")]
            write_weights(paths[0], weights)
            held_out.pour(weights, name)
            metadata = {"dataset": "held-out"}
            write_logits(paths[1], held_out.logits(), held_out.labels, metadata)
            candidates.append(Candidate(name=name, weights=paths[0], logits=paths[1]))
        return candidates, held_out

    return pool


CHOICES = [("numbers", "mae"), ("numbers", "mse"), ("numbers", "r2"), ("labels", "labels_f1")]
CHOICES += [("labels", "average_precision"), ("labels", "binary_loss"), ("labels", "all_labels")]


@pytest.mark.parametrize(("kind", "metric"), CHOICES)
def test_greedy_decides_as_a_full_evaluation_would(make, kind, metric):
    candidates, held_out = make(kind)
    soups = [
        greedy(GreedySpec(metric=metric, early_rejection=early), candidates, held_out, NO_TRACE)
        for early in (True, False)
    ]
    first, second = soups
    assert first.ingredients == second.ingredients
    assert [each["decision"] for each in first.candidates] == [
        each["decision"] for each in second.candidates
    ]
    assert "002" not in first.ingredients
    assert len(first.ingredients) > 1 or metric == "binary_loss"  # here the best is best alone
    whole = average([c.weights for c in candidates if c.name in first.ingredients])
    assert all(torch.allclose(whole[key], first.weights[key]) for key in whole)
    exact = metric in ("mae", "mse", "binary_loss", "all_labels")
    assert first.details["early_rejection"].startswith("exact" if exact else "off")
    if metric == "mae":  # the one far off is seen to be so on a part of the examples
        [far] = [each for each in first.candidates if each["name"] == "002"]
        assert far["num_evaluated"] < NUM_IMAGES and far["score"] is None
    [best] = [each for each in first.candidates if each["name"] == first.ingredients[0]]
    outputs = read_logits(candidates[int(best["name"])].logits).logits
    if metric == "mae":
        assert best["held_out_mae"] == pytest.approx(np.abs(outputs - held_out.labels).mean())
    assert "held_out_accuracy" not in best


@pytest.mark.parametrize(("kind", "loss"), [("numbers", "mse"), ("labels", "binary_loss")])
def test_learned_coefficients_lower_the_loss_of_the_uniform_soup(make, kind, loss):
    candidates, held_out = make(kind)
    spec = LearnedSpec(epochs=20, learning_rate=0.2, batch_size=40)
    soup = learned(spec, candidates, held_out, NO_TRACE)
    held_out.pour(average([c.weights for c in candidates]), "uniform")
    uniform = held_out.score(loss, held_out.logits())
    held_out.pour(soup.weights, "learned")
    if kind == "numbers":  # of labels the loss is that of tempered logits
        assert held_out.score(loss, held_out.logits()) > uniform  # more is better
    assert np.mean(soup.details["curve"][-1]) < np.mean(soup.details["curve"][0])
    assert min(soup.coefficients) == soup.coefficients[2]
    assert (soup.details["beta"] == 1) == (kind == "numbers")


@pytest.mark.parametrize("kind", ["numbers", "labels"])
def test_ensembles_average_outputs(make, tmp_path, kind):
    candidates, _ = make(kind)
    arguments = {
        "model": "ensemble",
        "sweep": "own",
        "held_out": "held-out",
        "names": [each.name for each in candidates],
        "logits": [each.logits for each in candidates],
    }
    output = tmp_path / "ensemble.parquet"
    record = choose_ensemble({"kind": "uniform"}, output=output, **arguments)
    mean = np.mean([read_logits(each.logits).logits for each in candidates], axis=0)
    np.testing.assert_allclose(read_logits(output).logits, mean, rtol=1e-5, atol=1e-6)
    chosen = choose_ensemble({"kind": "greedy"}, output=output, **arguments)
    assert "002" not in chosen["ingredients"]
    key = {"numbers": "held_out_mae", "labels": "held_out_average_precision"}[kind]
    better = np.less_equal if kind == "numbers" else np.greater_equal
    assert better(chosen[key], min(each[key] for each in chosen["candidates"])) or kind == "labels"
    assert better(chosen[key], record[key])


@pytest.mark.parametrize("kind", ["numbers", "labels"])
def test_diagnosis_names_the_model_that_is_far_off(make, kind):
    candidates, held_out = make(kind)
    found = diagnose_pool(
        held_out,
        weights={each.name: each.weights for each in candidates},
        logits={each.name: each.logits for each in candidates},
    )
    assert "002" in {name for each in found.verdicts for name in each.models}


@pytest.fixture
def scored(make, tmp_path, monkeypatch):
    """The pool of numbers as a user's function scores it: candidates, and the held-out set."""
    (tmp_path / "own_scores.py").write_text(
        "import numpy as np\n"
        "import torch\n"
        "def errors(model, path):\n"
        "    data = np.load(path)\n"
        "    given = model(torch.from_numpy(data['images']).permute(0, 3, 1, 2)).numpy()\n"
        "    return np.abs(given - data['targets']).mean(axis=1)\n"
        "def mean_error(model, path):\n"
        "    return errors(model, path).mean()\n"
        "def nothing(model, path):\n"
        "    return [float('nan')]\n"
        "def by_name(model, path):\n"
        "    return {'error': 0.5}\n"
        "def narrow(model, path):\n"
        "    return torch.ones(3, dtype=torch.bfloat16)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    candidates, held_out = make("numbers")
    pixels = held_out.examples.pixels
    np.savez(tmp_path / "val.npz", images=pixels, targets=held_out.labels)

    def score(function):
        model, pool = Whole(), []
        for each in candidates:
            path = tmp_path / f"scored-{each.name}.safetensors"
            state = {f"model.{key}": value for key, value in average([each.weights]).items()}
            write_weights(path, state)
            model.load_state_dict(state)
            output = path.with_suffix(".parquet")
            write_own(output, model, function, "val.npz", {"dataset": "held-out"})
            pool.append(Candidate(name=each.name, weights=path, logits=output))
        metric = {"function": function, "better": "lower", "evaluates": True}
        evaluator = Evaluator(model)
        opened = open_held_out(evaluator, None, None, pool[0].logits, metric, "val.npz")
        return pool, opened, metric

    yield candidates, held_out, score
    sys.modules.pop("own_scores", None)


@pytest.mark.parametrize("function", ["own_scores:errors", "own_scores:mean_error"])
def test_a_users_evaluator_decides_as_the_metric_that_it_computes(scored, function, tmp_path):
    candidates, held_out, score = scored
    wanted = greedy(GreedySpec(metric="mae"), candidates, held_out, NO_TRACE)
    pool, opened, metric = score(function)
    assert kind_of(opened.labels) == "score"
    cook(
        {"kind": "greedy", "metric": metric},
        model="greedy",
        sweep="own",
        names=[each.name for each in pool],
        weights=[each.weights for each in pool],
        logits=[each.logits for each in pool],
        held_out=opened,
        held_out_files=[],
        output=tmp_path / "soup/weights.safetensors",
        record=tmp_path / "soup/record.json",
        cost=tmp_path / "soup/cost.json",
    )
    record = read_json(tmp_path / "soup/record.json")
    assert record["ingredients"] == wanted.ingredients
    assert record["reports"] == metric
    name = function.partition(":")[2]
    assert record[f"held_out_{name}"] == pytest.approx(1 - wanted.held_out_score, rel=1e-5)
    found = diagnose_pool(
        opened,
        weights={each.name: each.weights for each in pool},
        logits={each.name: each.logits for each in pool},
    )
    assert found.facts.reference != "002"


def test_a_users_evaluator_has_to_return_finite_numbers(scored):
    with pytest.raises(ValueError, match="own_scores:nothing: expected a finite number"):
        score_examples("own_scores:nothing", Whole(), "val.npz")
    with pytest.raises(ValueError, match="by_name: expected a finite .* found an object of type d"):
        score_examples("own_scores:by_name", Whole(), "val.npz")
    assert score_examples("own_scores:narrow", Whole(), "val.npz").tolist() == [1, 1, 1]
