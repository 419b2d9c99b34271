import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from modelsoups.base.progress import Trace
from modelsoups.evaluation.logits import read_logits, write_logits
from modelsoups.evaluation.metrics import METRICS
from modelsoups.soups.greedy import greedy
from modelsoups.soups.pool import Candidate, check_pool
from modelsoups.soups.registry import GreedySpec
from modelsoups.soups.rejection import margins
from modelsoups.soups.selection import Decision, order_candidates
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import read_weights, write_weights
from own_metrics import mean_sharp_brier
from pools_of_networks import TinyNet, make_pool
from small_pools import make_held_out

torch.set_num_threads(1)  # for tensors this small a second thread only costs

NO_TRACE = Trace(None, None)


def plain_greedy(candidates, held_out, order, accept_ties=False, passes=1):
    """Recipe 1 as written: a fresh mean and a full evaluation for each candidate."""
    ingredients: list[int] = []
    best = -1.0
    for _ in range(passes):
        before = len(ingredients)
        for position in order:
            trial = [*ingredients, position]
            held_out.pour(average([candidates[i].weights for i in trial]), "it")
            score = (held_out.logits().argmax(axis=1) == held_out.labels).sum() / len(held_out)
            if score > best or (accept_ties and score == best):
                ingredients, best = trial, score
        if len(ingredients) == before:  # so would every further pass
            break
    return ingredients, best


def picks(soup) -> list[str]:
    return [d["name"] for d in soup.candidates if d["decision"] == "kept"]


@pytest.fixture(scope="module")
def twelve_pools(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pools")
    return [make_pool(folder, seed, num_images=60 + 15 * seed) for seed in range(12)]


@pytest.mark.slow
@pytest.mark.parametrize("accept_ties", [False, True])
@pytest.mark.parametrize("order", ["held-out", "random"])
def test_picks_and_score_are_those_of_full_evaluation(twelve_pools, accept_ties, order):
    num_rejected_early = num_ties = 0
    for seed, (candidates, held_out) in enumerate(twelve_pools):
        spec = GreedySpec(accept_ties=accept_ties, order=order, seed=seed)
        soup = greedy(spec, candidates, held_out, NO_TRACE)
        accuracies = check_pool(candidates, held_out)
        tried = order_candidates(accuracies, spec)
        ingredients, score = plain_greedy(candidates, held_out, tried, accept_ties)
        assert [d["name"] for d in soup.candidates] == [f"{i:03}" for i in tried]
        assert picks(soup) == soup.ingredients == [f"{i:03}" for i in ingredients]
        assert soup.held_out_score == score
        full = greedy(replace(spec, early_rejection=False), candidates, held_out, NO_TRACE)
        assert picks(full) == picks(soup)
        for early, late in zip(soup.candidates, full.candidates, strict=True):
            assert early["score"] is None or early["score"] == late["score"]
            assert early["bound"] is None or early["bound"] >= late["score"]
        num_rejected_early += sum(d["bound"] is not None for d in soup.candidates)
        best = [d["score"] for d in full.candidates]
        num_ties += sum(score in best[:i] for i, score in enumerate(best))
    assert num_rejected_early > 20 and num_ties > 5  # the pools do have what is to be tested


def test_the_soup_is_the_mean_of_its_ingredients_whatever_was_tried_between(tmp_path):
    candidates, held_out = make_pool(tmp_path, 3, num_candidates=12)
    soup = greedy(GreedySpec(), candidates, held_out, NO_TRACE)
    assert 1 < len(soup.ingredients) < 12
    evaluated = dict(
        held_out.evaluator.model.state_dict()
    )  # of the last candidate, rejected or not
    paths = [next(c.weights for c in candidates if c.name == name) for name in soup.ingredients]
    wanted = average(paths)
    assert all(soup.weights[key].equal(wanted[key]) for key in wanted)
    # ... and just these weights were evaluated when the last ingredient was tried.
    last = [d["decision"] for d in soup.candidates][::-1].index("kept")
    upto = [d["name"] for d in soup.candidates][: len(candidates) - last]
    first = [next(c for c in candidates if c.name == name) for name in upto]
    greedy(GreedySpec(), first, held_out, NO_TRACE)
    evaluated = held_out.evaluator.model.state_dict()
    assert all(evaluated[key].equal(wanted[key]) for key in wanted)
    assert soup.coefficients == [1 / len(paths)] * len(paths)


def test_never_below_the_best_candidate(tmp_path):
    for seed in range(5):
        candidates, held_out = make_pool(tmp_path, seed, spread=1.0)
        best = max(check_pool(candidates, held_out))
        assert greedy(GreedySpec(), candidates, held_out, NO_TRACE).held_out_score >= best


def test_early_rejection_reads_a_fraction_of_the_images(tmp_path):
    candidates, held_out = make_pool(tmp_path, 0, num_candidates=12, num_images=1000)
    details = greedy(GreedySpec(), candidates, held_out, NO_TRACE).details
    assert details["num_of_full_evaluation"] == 11 * 1000
    assert details["num_evaluated"] < 0.6 * 11 * 1000


@pytest.mark.parametrize("metric", ["macro_f1", "worst_group_accuracy"])
def test_by_other_metrics_too_early_rejection_decides_as_full_evaluation(tmp_path, metric):
    num_rejected_early = 0
    for seed in range(8):
        candidates, held_out = make_pool(tmp_path, seed)
        held_out.groups = np.random.default_rng(seed).integers(-1, 3, len(held_out))
        soup = greedy(GreedySpec(metric=metric), candidates, held_out, NO_TRACE)
        spec = GreedySpec(metric=metric, early_rejection=False)
        full = greedy(spec, candidates, held_out, NO_TRACE)
        assert soup.details["early_rejection"] == "exact"
        assert full.details["early_rejection"] == "off: the recipe has it so"
        assert picks(soup) == picks(full)
        for early, late in zip(soup.candidates, full.candidates, strict=True):
            assert early["score"] is None or early["score"] == late["score"]
            assert early["bound"] is None or early["bound"] >= late["score"]
        num_rejected_early += sum(d["bound"] is not None for d in soup.candidates)
        kept = [d["score"] for d in soup.candidates if d["decision"] == "kept"]
        assert kept == sorted(set(kept))
        held_out.pour(soup.weights, "it")
        assert kept[-1] == held_out.score(metric, held_out.logits())
    assert num_rejected_early > 10  # the pools do have what is to be tested


def test_a_metric_that_nothing_bounds_is_evaluated_in_full_and_the_record_says_why(tmp_path):
    candidates, held_out = make_pool(tmp_path, 1)  # five classes
    soup = greedy(GreedySpec(metric="matthews"), candidates, held_out, NO_TRACE)
    assert all(d["num_evaluated"] == 150 and d["bound"] is None for d in soup.candidates[1:])
    assert soup.details["early_rejection"].startswith("off: matthews of 5 classes may fall when")


def test_a_recipe_by_groups_without_groups_is_an_error(tmp_path):
    candidates, held_out = make_pool(tmp_path, 1)
    with pytest.raises(ValueError, match="needs examples with a group"):
        greedy(GreedySpec(metric="worst_group_accuracy"), candidates, held_out, NO_TRACE)


def test_replacement_goes_on_until_a_pass_adds_nothing(tmp_path):
    repeated = 0
    for seed in range(10):
        candidates, held_out = make_pool(tmp_path, seed, spread=1.0)
        soup = greedy(GreedySpec(replacement=True), candidates, held_out, NO_TRACE)
        accuracies = check_pool(candidates, held_out)
        order = order_candidates(accuracies, GreedySpec())
        ingredients, score = plain_greedy(candidates, held_out, order, passes=10)
        assert picks(soup) == [f"{i:03}" for i in ingredients]
        assert soup.held_out_score == score
        assert all(d["decision"] == "rejected" for d in soup.candidates[-8:])
        counts = [ingredients.count(int(name)) for name in soup.ingredients]
        assert soup.coefficients == [count / len(ingredients) for count in counts]
        repeated += max(counts) > 1
    assert repeated


def test_an_interrupted_greedy_goes_on_where_it_was(tmp_path):
    for replacement in (False, True):
        candidates, held_out = make_pool(tmp_path, 4)
        spec = GreedySpec(replacement=replacement)
        whole = greedy(spec, candidates, held_out, NO_TRACE)
        trace = Trace(tmp_path / f"progress-{replacement}.json", "this spec")
        for stop in (1, 2, 5):
            fails_after(trace, stop)
            with pytest.raises(KeyboardInterrupt):
                greedy(spec, candidates, held_out, trace)
        del trace.save
        assert len(trace.load()) == 8
        soup = greedy(spec, candidates, held_out, trace)
        assert soup.candidates == whole.candidates
        assert all(soup.weights[key].equal(whole.weights[key]) for key in whole.weights)


def fails_after(trace: Trace, count: int) -> None:
    """Let `trace.save` save `count` times, then be interrupted."""
    save, left = Trace.save, [count]

    def save_then_stop(state):
        save(trace, state)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    trace.save = save_then_stop  # type: ignore[method-assign]


def test_stored_logits_that_this_machine_does_not_reproduce_are_made_again(tmp_path):
    candidates, held_out = make_pool(tmp_path, 0)
    wanted = greedy(GreedySpec(), candidates, held_out, NO_TRACE)
    first = max(range(8), key=lambda k: candidates[k].name == wanted.candidates[0]["name"])
    stale = read_logits(candidates[first].logits).logits.copy()
    near = np.abs(margins(stale, held_out.labels)).argsort()[:3]
    stale[near] = stale[near][:, ::-1]  # three predictions of the best candidate are off
    write_logits(candidates[first].logits, stale, held_out.labels, {})
    spec = GreedySpec(order="random", seed=seed_with_first(first))
    soup = greedy(spec, candidates, held_out, NO_TRACE)
    true = (true_logits(held_out, candidates[first]).argmax(1) == held_out.labels).mean()
    assert soup.candidates[0]["score"] == true
    assert soup.candidates[0]["num_evaluated"] > 150


def seed_with_first(position: int) -> int:
    return next(
        seed
        for seed in range(100)
        if order_candidates([0.0] * 8, GreedySpec(order="random", seed=seed))[0] == position
    )


def true_logits(held_out, candidate):
    held_out.pour(average([candidate.weights]), "it")
    return held_out.logits()


class DependsOnBatch(TinyNet):
    """Logits that depend on the other images of the batch."""

    def forward(self, images):
        logits = super().forward(images)
        return logits + 1e-6 * torch.arange(len(images))[:, None] * logits


def test_where_logits_depend_on_the_batch_all_images_are_evaluated_in_order(tmp_path, caplog):
    candidates, held_out = make_pool(tmp_path, 5)
    dependent = make_held_out(
        DependsOnBatch(), held_out.examples.pixels, held_out.labels, batch_size=16
    )
    soup = greedy(GreedySpec(), candidates, dependent, NO_TRACE)
    assert "logits depend on the order of examples" in caplog.text
    assert soup.details["order_is_free"] is False
    assert soup.details["early_rejection"].startswith("off: logits depend on the order")
    assert all(d["num_evaluated"] == 150 for d in soup.candidates[1:])


def test_estimated_statistics_are_those_of_every_trial_and_of_the_soup(tmp_path):
    candidates, held_out = make_pool(tmp_path, 6)
    soup = greedy(GreedySpec(statistics="estimate"), candidates, held_out, NO_TRACE)
    paths = [next(c.weights for c in candidates if c.name == name) for name in soup.ingredients]
    held_out.pour(average(paths), "it")
    wanted = held_out.estimate()
    assert wanted.keys() == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    assert all(soup.weights[key].equal(wanted[key]) for key in wanted)
    held_out.pour(soup.weights, "it")
    assert soup.held_out_score == held_out.score("accuracy", held_out.logits())


def test_a_diverged_candidate_is_named(tmp_path):
    candidates, held_out = make_pool(tmp_path, 0)
    broken = average([candidates[3].weights])
    broken["head.bias"][0] = torch.nan
    write_weights(candidates[3].weights, broken)
    with pytest.raises(ValueError, match=r"0-3.safetensors: values are NaN .* in head.bias; leave"):
        greedy(GreedySpec(), candidates, held_out, NO_TRACE)


def test_logits_of_other_images_and_repeated_names_are_refused(tmp_path):
    candidates, held_out = make_pool(tmp_path, 0)
    with pytest.raises(ValueError, match=r"differently named candidates, found \['000', '000'\]"):
        greedy(GreedySpec(), [candidates[0]] * 2, held_out, NO_TRACE)
    write_logits(candidates[1].logits, np.zeros((7, 5), np.float32), np.zeros(7, int), {})
    with pytest.raises(ValueError, match=r"0-1.parquet: .* \(7 examples, expected 150\); eval"):
        greedy(GreedySpec(), candidates, held_out, NO_TRACE)


def test_half_precision_logits_order_images_but_do_not_score(tmp_path):
    candidates, held_out = make_pool(tmp_path, 0)
    wanted = greedy(GreedySpec(), candidates, held_out, NO_TRACE)
    for candidate in candidates:
        logits = read_logits(candidate.logits).logits
        write_logits(candidate.logits, logits, held_out.labels, {}, dtype="float16")
    soup = greedy(GreedySpec(), candidates, held_out, NO_TRACE)
    assert picks(soup) == picks(wanted)
    assert soup.candidates[0]["num_evaluated"] == 150 + 2 * 16


def test_decisions_are_json(tmp_path):
    candidates, held_out = make_pool(tmp_path, 0)
    soup = greedy(GreedySpec(), candidates, held_out, NO_TRACE)
    assert json.loads(json.dumps([soup.candidates, soup.coefficients, soup.details]))


@pytest.mark.parametrize("metric", ["macro_f1", "matthews"])
def test_candidates_are_tried_in_the_order_of_the_recipes_metric(tmp_path, metric):
    num_different = 0
    for seed in range(4):
        candidates, held_out = make_pool(tmp_path, seed, spread=1.0)
        soup = greedy(GreedySpec(metric=metric), candidates, held_out, NO_TRACE)
        alone = {
            c.name: METRICS[metric](read_logits(c.logits).logits, held_out.labels)
            for c in candidates
        }
        scores = [alone[tried["name"]] for tried in soup.candidates]
        assert scores == sorted(scores, reverse=True)
        assert [tried[f"held_out_{metric}"] for tried in soup.candidates] == scores
        accuracies = [tried["held_out_accuracy"] for tried in soup.candidates]
        num_different += accuracies != sorted(accuracies, reverse=True)
    assert num_different  # the pools do have what is to be tested


def test_with_estimated_statistics_the_first_candidate_is_scored_with_them(tmp_path):
    num_agreeing = 0
    for seed in range(12):  # batches of two: a check of those nearest to another class may pass
        candidates, held_out = make_pool(tmp_path, seed, 2, num_images=40, batch_size=2)
        soup = greedy(GreedySpec(statistics="estimate"), candidates, held_out, NO_TRACE)
        tried = soup.candidates[0]
        first = next(c for c in candidates if c.name == tried["name"])
        held_out.pour(read_weights(first.weights), "it")
        held_out.estimate()
        logits = held_out.logits()
        assert tried["score"] == held_out.score("accuracy", logits)
        num_agreeing += tried["score"] != tried["held_out_accuracy"]
    assert num_agreeing


class Quotient(nn.Module):
    """Logits divided by a parameter."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(12, 3)
        self.divisor = nn.Parameter(torch.ones(1))

    def forward(self, images):
        return self.head(images.float().flatten(1)) / self.divisor


def test_a_soup_whose_logits_are_not_finite_is_an_error_that_names_it(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 2, 2, 3), dtype=np.uint8)
    held_out = make_held_out(Quotient(), images, np.array([0, 0, 0, 0, 0, 1]))
    candidates = []
    for name, divisor in (("000", 1.0), ("001", -1.0)):  # their mean is 0
        weights = {**Quotient().state_dict(), "divisor": torch.tensor([divisor])}
        paths = tmp_path / f"{name}.safetensors", tmp_path / f"{name}.parquet"
        write_weights(paths[0], weights)
        held_out.pour(weights, name)
        write_logits(paths[1], held_out.logits(), held_out.labels, {})
        candidates.append(Candidate(name=name, weights=paths[0], logits=paths[1]))
    with pytest.raises(ValueError, match=r"the soup of 00., 00.: 6 of 6 examples have outputs tha"):
        greedy(GreedySpec(), candidates, held_out, NO_TRACE)


def test_progress_of_candidates_in_another_order_is_not_taken_up(tmp_path, caplog):
    candidates, held_out = make_pool(tmp_path, 4)
    wanted = greedy(GreedySpec(), candidates, held_out, NO_TRACE)
    trace = Trace(tmp_path / "progress.json", "this spec")
    other = [{**d, "name": name} for d, name in zip(asdict_of(wanted), "abc", strict=False)]
    trace.save(other)
    soup = greedy(GreedySpec(), candidates, held_out, trace)
    assert "is of other candidates" in caplog.text
    assert soup.candidates == wanted.candidates


def asdict_of(soup) -> list[dict]:
    """A soup's decisions as progress has them."""
    fields = Decision.__dataclass_fields__
    return [{name: tried[name] for name in fields} for tried in soup.candidates]


BRIER = {"function": "own_metrics:sharp_brier", "better": "lower", "per_example": True}


def test_metric_of_the_users_own_decides_and_rejects_early_as_a_full_evaluation_would(tmp_path):
    num_early = 0
    for seed in range(6):
        candidates, held_out = make_pool(tmp_path, seed)
        soup = greedy(GreedySpec(metric=BRIER), candidates, held_out, NO_TRACE)
        whole = {"function": "own_metrics:mean_sharp_brier", "better": "lower"}
        full = greedy(GreedySpec(metric=whole), candidates, held_out, NO_TRACE)
        assert picks(soup) == picks(full)
        assert all(each["bound"] is None for each in full.candidates)
        assert soup.details["early_rejection"] == "exact"
        assert full.details["early_rejection"].startswith("off: mean_sharp_brier is of all example")
        num_early += sum(each["bound"] is not None for each in soup.candidates)
        scores = [each["score"] for each in soup.candidates if each["decision"] == "kept"]
        held_out.pour(soup.weights, "it")
        assert scores[-1] == pytest.approx(1 - mean_sharp_brier(held_out.logits(), held_out.labels))
        assert scores == sorted(scores)
    assert num_early > 0


@pytest.mark.parametrize("order", ["held-out", "random"])
def test_soup_of_some_layers_has_the_others_of_the_best_model(tmp_path, order):
    """The decisions are those of full evaluations of exactly such soups."""
    for seed in range(12):  # batches of two: a check of the first candidate's logits may pass
        candidates, held_out = make_pool(tmp_path, seed, 4, num_images=40, batch_size=2)
        spec = GreedySpec(only=["conv.*", "head.*"], except_=["head.bias"], order=order, seed=1)
        soup = greedy(spec, candidates, held_out, NO_TRACE)
        accuracies = check_pool(candidates, held_out)
        best = read_weights(candidates[order_candidates(accuracies, GreedySpec())[0]].weights)
        kept = {
            key: best[key] for key in best if key not in ("conv.weight", "conv.bias", "head.weight")
        }
        ingredients, top = [], -1.0
        for position in order_candidates(accuracies, spec):
            trial = [*ingredients, position]
            held_out.pour(average([candidates[i].weights for i in trial]) | kept, "it")
            score = METRICS["accuracy"](held_out.logits(), held_out.labels)
            if not ingredients:
                assert soup.candidates[0]["score"] == score
            if score > top:
                ingredients, top = trial, score
        assert picks(soup) == [f"{i:03}" for i in ingredients]
        assert soup.held_out_score == top
        assert all(soup.weights[key].equal(kept[key]) for key in kept)
