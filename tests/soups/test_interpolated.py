from pathlib import Path

import numpy as np
import pytest
import torch

from modelsoups.base.progress import Trace
from modelsoups.evaluation.logits import write_logits
from modelsoups.soups.interpolated import Line, interpolated, pairs
from modelsoups.soups.pool import Candidate, HeldOut, Soup
from modelsoups.soups.registry import InterpolatedSpec
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import read_weights
from pools_of_networks import TinyNet, make_pool

torch.set_num_threads(1)  # for tensors this small a second thread only costs

NO_TRACE = Trace(None, None)


def cook(candidates: list[Candidate], held_out: HeldOut, trace=NO_TRACE, **options) -> Soup:
    """A soup of all but the first, which is the initialisation."""
    spec = InterpolatedSpec(**options)
    return interpolated(spec, candidates[1:], held_out, trace, candidates[0].weights)


def label_by(path: Path, candidates: list[Candidate], held_out: HeldOut) -> None:
    """Make the predictions of a model's weights the labels."""
    held_out.pour(read_weights(path), "it")
    held_out.labels[:] = held_out.logits().argmax(axis=1)
    for candidate in candidates:
        held_out.pour(read_weights(candidate.weights), "it")
        write_logits(candidate.logits, held_out.logits(), held_out.labels, {})


def test_pairs_begin_at_the_soup_and_then_come_the_nearest():
    assert pairs(InterpolatedSpec(step=0.5)) == [(1, 0), (0.5, 0), (0, 0)]
    assert pairs(InterpolatedSpec(step=0.5, by_depth=True)) == [
        *[(1, 0), (0.5, 0.5)],  # a and a + b are off 1 by 0, then by 0.5 together
        *[(0.5, 0), (0, 1), (0, 0.5), (0, 0)],
    ]
    assert pairs(InterpolatedSpec(step=0.75, largest=1.5)) == [(1, 0), (0.75, 0), (1.5, 0), (0, 0)]


@pytest.mark.parametrize("spec", [{}, {"by_depth": True}, {"step": 0.25, "largest": 1.5}])
def test_as_many_pairs_as_a_job_asks_for(spec):
    assert len(pairs(InterpolatedSpec(**spec))) == InterpolatedSpec(**spec).num_trials


def test_weights_move_by_a_and_by_b_with_depth():
    start, end = TinyNet().state_dict(), TinyNet().state_dict()
    end["norm.running_mean"] = start["norm.running_mean"] + 1
    line = Line(start, end, TinyNet())
    assert line.factors(0.5, 0.4) == {"conv": 0.5, "head": 0.9}  # norm is of the head
    found = line.at(0.5, 0.4)
    for key, factor in (("conv.weight", 0.5), ("conv.bias", 0.5), ("head.bias", 0.9)):
        wanted = start[key] + factor * (end[key] - start[key])
        torch.testing.assert_close(found[key], wanted)
    beyond = line.at(1.5, 0)
    torch.testing.assert_close(
        beyond["head.bias"], start["head.bias"] + 1.5 * (end["head.bias"] - start["head.bias"])
    )
    assert beyond["norm.running_mean"].equal(end["norm.running_mean"])  # no further than the soup


def test_ends_are_the_soup_and_the_initialisation_to_the_bit(tmp_path):
    candidates, held_out = make_pool(tmp_path, 0)
    start = read_weights(candidates[0].weights)
    end = average([each.weights for each in candidates[1:]])
    line = Line(start, end, held_out.evaluator.model)
    for weights, at in ((end, line.at(1, 0)), (start, line.at(0, 0))):
        assert all(at[key].equal(weights[key]) for key in weights)


@pytest.mark.parametrize("by_depth", [False, True])
def test_choice_is_that_of_full_evaluation_on_the_held_out_set(tmp_path, by_depth):
    num_early = num_elsewhere = 0
    for seed in range(6):
        candidates, held_out = make_pool(tmp_path, seed, num_candidates=3, spread=0.6)
        soup = cook(candidates, held_out, by_depth=by_depth, step=0.25, largest=1.25)
        end = average([each.weights for each in candidates[1:]])
        line = Line(read_weights(candidates[0].weights), end, held_out.evaluator.model)
        best, chosen = -1.0, (0.0, 0.0)
        spec = InterpolatedSpec(by_depth=by_depth, step=0.25, largest=1.25)
        for (a, b), trial in zip(pairs(spec), soup.details["trials"], strict=True):
            held_out.pour(line.at(a, b), "it")
            score = (held_out.logits().argmax(axis=1) == held_out.labels).sum() / len(held_out)
            assert (trial["a"], trial["b"]) == (a, b)
            assert trial["score"] in (None, score)
            assert trial["bound"] is None or trial["bound"] >= score
            if score > best:
                best, chosen = score, (a, b)
        assert (soup.details["a"], soup.details["b"]) == chosen
        assert soup.held_out_score == best
        assert all(soup.weights[key].equal(tensor) for key, tensor in line.at(*chosen).items())
        num_early += sum(trial["bound"] is not None for trial in soup.details["trials"])
        num_elsewhere += chosen != (1, 0)
    assert num_early > 10 and num_elsewhere > 1  # the pools do have what is to be tested


def test_labels_of_the_initialisation_lead_back_to_it(tmp_path):
    candidates, held_out = make_pool(tmp_path, 1, num_candidates=3, spread=3.0)
    label_by(candidates[0].weights, candidates, held_out)
    soup = cook(candidates, held_out)
    assert soup.held_out_score == 1 and soup.details["a"] < 0.5
    factor = soup.details["a"]
    assert soup.ingredients == ["001", "002", "initialization"]
    assert soup.coefficients == pytest.approx([factor / 2, factor / 2, 1 - factor])


def test_soup_itself_is_taken_where_nothing_is_better(tmp_path):
    candidates, held_out = make_pool(tmp_path, 1, num_candidates=2)
    label_by(candidates[1].weights, candidates, held_out)
    soup = cook(candidates, held_out, by_depth=True, step=0.5)
    wanted = read_weights(candidates[1].weights)
    assert (soup.details["a"], soup.details["b"]) == (1, 0)
    assert all(soup.weights[key].equal(wanted[key]) for key in wanted)
    assert soup.ingredients == ["001"] and soup.coefficients["head"] == [1]


def test_an_interrupted_search_goes_on_where_it_was(tmp_path):
    candidates, held_out = make_pool(tmp_path, 3, num_candidates=4, spread=0.6)
    wanted = cook(candidates, held_out, by_depth=True, step=0.25)
    for stop in (1, 4, len(wanted.details["trials"])):
        trace = Trace(tmp_path / "progress.json", "it")
        trace.save(wanted.details["trials"][:stop])
        found = cook(candidates, held_out, trace, by_depth=True, step=0.25)
        assert found.details == wanted.details
        assert all(found.weights[key].equal(wanted.weights[key]) for key in wanted.weights)


def test_a_metric_that_nothing_bounds_is_evaluated_in_full(tmp_path):
    candidates, held_out = make_pool(tmp_path, 4)
    soup = cook(candidates, held_out, metric="matthews", step=0.5)
    assert soup.details["early_rejection"].startswith("off: matthews of 5 classes may fall")
    assert [trial["num_evaluated"] for trial in soup.details["trials"]] == [len(held_out)] * 3
    assert np.isfinite([trial["score"] for trial in soup.details["trials"]]).all()
    by_f1 = cook(candidates, held_out, metric="macro_f1", step=0.5)
    assert by_f1.details["early_rejection"] == "exact"
    assert by_f1.details["num_evaluated"] < 3 * len(held_out)
