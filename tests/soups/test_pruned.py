from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch

from modelsoups.base.progress import Trace
from modelsoups.evaluation.logits import read_logits
from modelsoups.soups.greedy import greedy
from modelsoups.soups.pool import check_pool
from modelsoups.soups.pruned import prune, pruned
from modelsoups.soups.registry import GreedySpec, PrunedSpec, UniformSpec
from modelsoups.soups.selection import Attempt
from modelsoups.soups.uniform import uniform
from modelsoups.weights.average import average
from pools_of_networks import make_pool

torch.set_num_threads(1)  # for tensors this small a second thread only costs

NO_TRACE = Trace(None, None)


def scored(score: float) -> Attempt:
    return Attempt(score=score, bound=None, num_evaluated=10)


def plain_pruned(candidates, held_out, order):
    """As written: a fresh mean and a full evaluation for each trial."""

    def score(positions) -> float:
        held_out.pour(average([candidates[i].weights for i in sorted(positions)]), "it")
        return (held_out.logits().argmax(axis=1) == held_out.labels).sum() / len(held_out)

    waiting, in_vain, best = deque(order), 0, score(order)
    while in_vain < len(waiting) and len(waiting) > 1:
        trial = score([each for each in waiting if each != waiting[0]])
        if trial > best:
            waiting.popleft()
            in_vain, best = 0, trial
        else:
            waiting.rotate(-1)
            in_vain += 1
    return sorted(waiting), best


def test_candidates_go_while_the_score_rises_and_are_tried_again_after_each_removal():
    """Scores by hand: all 5; without a 4, b 6; then without c 6 (a tie), a 7; then c 5."""
    scores = {"abc-a": 4, "abc-b": 6, "ac-c": 6, "ac-a": 7}
    left = ["a", "b", "c"]
    tried = []

    def attempt(name, to_beat):
        tried.append((f"{''.join(left)}-{name}", to_beat))
        return scored(scores[tried[-1][0]])

    accuracies = {"a": 0.1, "b": 0.2, "c": 0.3}
    made = prune(["a", "b", "c"], accuracies, 5, attempt=attempt, remove=left.remove)
    assert tried == [("abc-a", 5), ("abc-b", 5), ("ac-c", 6), ("ac-a", 6)]
    assert [each.decision for each in made] == ["kept", "removed", "kept", "removed"]
    assert left == ["c"]  # the last one stays, untried


def test_a_tie_or_a_bound_removes_nothing():
    answers = iter([scored(5), Attempt(score=None, bound=4.0, num_evaluated=3)])
    made = prune(
        ["a", "b"], {"a": 0, "b": 0}, 5, attempt=lambda *_: next(answers), remove=lambda _: 1 / 0
    )
    assert [each.decision for each in made] == ["kept", "kept"]


@pytest.mark.slow
@pytest.mark.parametrize("order", ["held-out", "random"])
def test_what_is_left_and_its_score_are_those_of_full_evaluation(tmp_path, order):
    num_removed = num_early = 0
    for seed in range(8):
        candidates, held_out = make_pool(tmp_path, seed, num_images=60 + 15 * seed)
        spec = PrunedSpec(order=order, seed=seed)
        soup = pruned(spec, candidates, held_out, NO_TRACE)
        accuracies = check_pool(candidates, held_out)
        tried = (
            np.random.default_rng(seed).permutation(len(candidates)).tolist()
            if order == "random"
            else np.argsort(accuracies, kind="stable").tolist()
        )
        left, score = plain_pruned(candidates, held_out, tried)
        assert soup.ingredients == [f"{position:03}" for position in left]
        assert soup.held_out_score == score
        assert (
            soup.held_out_score
            >= uniform(UniformSpec(), candidates, held_out, NO_TRACE).held_out_score
        )
        wanted = average([candidates[position].weights for position in left])
        assert all(soup.weights[key].equal(wanted[key]) for key in wanted)
        full = pruned(replace(spec, early_rejection=False), candidates, held_out, NO_TRACE)
        assert full.ingredients == soup.ingredients
        assert [d["decision"] for d in full.candidates] == [d["decision"] for d in soup.candidates]
        for early, late in zip(soup.candidates, full.candidates, strict=True):
            assert early.get("bound") is None or early["bound"] >= late["score"]
        num_removed += len(candidates) - len(left)
        num_early += sum(each.get("bound") is not None for each in soup.candidates)
    assert num_removed > 5 and num_early > 20  # the pools do have what is to be tested


def test_the_score_is_that_of_the_last_removal(tmp_path):
    candidates, held_out = make_pool(tmp_path, 2)
    soup = pruned(PrunedSpec(early_rejection=False), candidates, held_out, NO_TRACE)
    scores = [each["score"] for each in soup.candidates if each["decision"] == "removed"]
    assert soup.held_out_score == scores[-1] == max(scores)


def test_an_interrupted_pruning_goes_on_where_it_was(tmp_path):
    candidates, held_out = make_pool(tmp_path, 2)
    wanted = pruned(PrunedSpec(), candidates, held_out, NO_TRACE)
    removed = [each["decision"] for each in wanted.candidates].index("removed")
    for stop in (1, removed + 1, removed + 2, len(wanted.candidates)):
        trace = Trace(tmp_path / "progress.json", "it")
        trace.save(wanted.candidates[:stop])
        found = pruned(PrunedSpec(), candidates, held_out, trace)
        assert found.candidates == wanted.candidates
        assert found.held_out_score == wanted.held_out_score
        assert all(found.weights[key].equal(wanted.weights[key]) for key in wanted.weights)
        assert len(trace.load()) == len(wanted.candidates)


def test_soups_of_one_and_of_equals_are_that_candidate(tmp_path):
    candidates, held_out = make_pool(tmp_path, 0, num_candidates=1)
    soup = pruned(PrunedSpec(), candidates, held_out, NO_TRACE)
    assert soup.ingredients == ["000"]
    assert [each["decision"] for each in soup.candidates] == ["kept"]
    copies = [replace(candidates[0], name=name) for name in "abc"]
    soup = pruned(PrunedSpec(), copies, held_out, NO_TRACE)
    assert soup.ingredients == ["a", "b", "c"]  # no removal helps
    alone = greedy(GreedySpec(), candidates, held_out, NO_TRACE)
    assert all(soup.weights[key].equal(alone.weights[key]) for key in alone.weights)


def test_estimated_statistics_are_those_of_every_trial_and_of_the_soup(tmp_path):
    candidates, held_out = make_pool(tmp_path, 3)
    soup = pruned(PrunedSpec(statistics="estimate"), candidates, held_out, NO_TRACE)
    mean = average([each.weights for each in candidates if each.name in soup.ingredients])
    held_out.pour(mean, "it")
    estimated = held_out.estimate()
    assert estimated and all(soup.weights[key].equal(estimated[key]) for key in estimated)
    assert read_logits(candidates[0].logits).logits.shape == (len(held_out), 5)


def test_a_metric_that_nothing_bounds_is_evaluated_in_full(tmp_path):
    candidates, held_out = make_pool(tmp_path, 4)
    soup = pruned(PrunedSpec(metric="matthews"), candidates, held_out, NO_TRACE)
    assert soup.details["early_rejection"].startswith("off: matthews of 5 classes may fall")
    assert all(
        each["num_evaluated"] == len(held_out) for each in soup.candidates if "score" in each
    )
