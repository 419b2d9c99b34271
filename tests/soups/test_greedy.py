import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from modelsoups.evaluation.logits import read_logits, write_logits
from modelsoups.soups.greedy import GreedySpec, choose, greedy, order_candidates
from modelsoups.soups.pool import Candidate, HeldOut, Trace, check_pool
from modelsoups.soups.rejection import Attempt, attempt_per_image, correct, margins, score_all
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import write_weights

torch.set_num_threads(1)  # for tensors this small a second thread only costs

NO_TRACE = Trace(None, None)


class TinyNet(nn.Module):
    """A network with BatchNorm on 4 x 4 images."""

    def __init__(self, num_classes: int = 5):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6 * 4, num_classes)

    def forward(self, images):
        return self.head(self.norm(self.conv(images.float() / 255 - 0.5)).relu().flatten(1))


def make_pool(
    folder: Path, seed: int, num_candidates: int = 8, num_images: int = 150, spread: float = 0.3
) -> tuple[list[Candidate], HeldOut]:
    """Perturbations of one network, some far worse, on labels that it mostly gets right."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (num_images, 4, 4, 3), dtype=np.uint8)
    model = TinyNet()
    center = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    held_out = HeldOut(model, images, np.zeros(num_images), batch_size=16)
    labels = held_out.logits().argmax(axis=1)
    wrong = random.random(num_images) < 0.2
    labels[wrong] = random.integers(0, 5, wrong.sum())
    held_out = HeldOut(model, images, labels, batch_size=16)
    candidates = []
    for k in range(num_candidates):
        scale = spread * random.choice([0.2, 0.5, 1.0])
        weights = {
            key: tensor + scale * tensor.std() * torch.randn_like(tensor)
            if key.startswith(("conv", "head"))
            else tensor
            for key, tensor in center.items()
        }
        path = folder / f"{seed}-{k}.safetensors"
        write_weights(path, weights)
        held_out.pour(weights)
        logits = path.with_suffix(".parquet")
        write_logits(logits, held_out.logits(), held_out.labels, {})
        candidates.append(Candidate(name=f"{k:03}", weights=path, logits=logits))
    return candidates, held_out


def plain_greedy(candidates, held_out, order, accept_ties=False, passes=1):
    """Recipe 1 as written: a fresh mean and a full evaluation for each candidate."""
    ingredients: list[int] = []
    best = -1.0
    for _ in range(passes):
        for position in order:
            trial = [*ingredients, position]
            held_out.pour(average([candidates[i].weights for i in trial]))
            score = (held_out.logits().argmax(axis=1) == held_out.labels).sum() / len(held_out)
            if score > best or (accept_ties and score == best):
                ingredients, best = trial, score
    return ingredients, best


def picks(soup) -> list[str]:
    return [d["name"] for d in soup.candidates if d["decision"] == "kept"]


@pytest.mark.parametrize("accept_ties", [False, True])
@pytest.mark.parametrize("order", ["held-out", "random"])
def test_picks_and_score_are_those_of_full_evaluation(tmp_path, accept_ties, order):
    num_rejected_early = num_ties = 0
    for seed in range(12):
        candidates, held_out = make_pool(tmp_path, seed, num_images=60 + 15 * seed)
        spec = GreedySpec(accept_ties=accept_ties, order=order, seed=seed)
        soup = greedy(spec, candidates, held_out, NO_TRACE)
        accuracies = check_pool(candidates, held_out)
        tried = order_candidates(accuracies, spec)
        ingredients, score = plain_greedy(candidates, held_out, tried, accept_ties)
        assert [d["name"] for d in soup.candidates] == [f"{i:03}" for i in tried]
        assert picks(soup) == soup.ingredients == [f"{i:03}" for i in ingredients]
        assert soup.held_out_accuracy == score
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
    evaluated = dict(held_out.model.state_dict())  # of the last candidate, rejected or not
    paths = [next(c.weights for c in candidates if c.name == name) for name in soup.ingredients]
    wanted = average(paths)
    assert all(soup.weights[key].equal(wanted[key]) for key in wanted)
    # ... and just these weights were evaluated when the last ingredient was tried.
    last = [d["decision"] for d in soup.candidates][::-1].index("kept")
    upto = [d["name"] for d in soup.candidates][: len(candidates) - last]
    first = [next(c for c in candidates if c.name == name) for name in upto]
    greedy(GreedySpec(), first, held_out, NO_TRACE)
    evaluated = held_out.model.state_dict()
    assert all(evaluated[key].equal(wanted[key]) for key in wanted)
    assert soup.coefficients == [1 / len(paths)] * len(paths)


def test_never_below_the_best_candidate(tmp_path):
    for seed in range(5):
        candidates, held_out = make_pool(tmp_path, seed, spread=1.0)
        best = max(check_pool(candidates, held_out))
        assert greedy(GreedySpec(), candidates, held_out, NO_TRACE).held_out_accuracy >= best


def test_early_rejection_reads_a_fraction_of_the_images(tmp_path):
    candidates, held_out = make_pool(tmp_path, 0, num_candidates=12, num_images=1000)
    details = greedy(GreedySpec(), candidates, held_out, NO_TRACE).details
    assert details["images_of_full_evaluation"] == 11 * 1000
    assert details["images_evaluated"] < 0.6 * 11 * 1000


@pytest.mark.parametrize("metric", ["macro_f1", "matthews"])
def test_metrics_of_all_predictions_are_evaluated_in_full(tmp_path, metric):
    candidates, held_out = make_pool(tmp_path, 1)
    soup = greedy(GreedySpec(metric=metric), candidates, held_out, NO_TRACE)
    assert all(d["images_evaluated"] == 150 and d["bound"] is None for d in soup.candidates[1:])
    kept = [d["score"] for d in soup.candidates if d["decision"] == "kept"]
    assert kept == sorted(set(kept))
    held_out.pour(soup.weights)
    assert kept[-1] == score_all(metric, held_out.logits(), held_out.labels)


def test_replacement_goes_on_until_a_pass_adds_nothing(tmp_path):
    repeated = 0
    for seed in range(10):
        candidates, held_out = make_pool(tmp_path, seed, spread=1.0)
        soup = greedy(GreedySpec(replacement=True), candidates, held_out, NO_TRACE)
        accuracies = check_pool(candidates, held_out)
        order = order_candidates(accuracies, GreedySpec())
        ingredients, score = plain_greedy(candidates, held_out, order, passes=10)
        assert picks(soup) == [f"{i:03}" for i in ingredients]
        assert soup.held_out_accuracy == score
        assert all(d["decision"] == "rejected" for d in soup.candidates[-8:])
        counts = [ingredients.count(int(name)) for name in soup.ingredients]
        assert soup.coefficients == [count / len(ingredients) for count in counts]
        repeated += max(counts) > 1
    assert repeated


def test_order_is_by_accuracy_and_of_equals_the_later_first():
    assert order_candidates([0.5, 0.7, 0.5, 0.6], GreedySpec()) == [1, 3, 2, 0]


def test_random_order_is_a_permutation_set_by_its_seed():
    orders = [order_candidates([0.5] * 9, GreedySpec(order="random", seed=s)) for s in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(9))


def scripted(scores):
    """An `attempt` that looks scores up."""
    return lambda place, to_beat: Attempt(score=scores[place], bound=None, images_evaluated=1)


@pytest.mark.parametrize(
    ("accept_ties", "kept"), [(False, ["a", "d"]), (True, ["a", "b", "d", "e"])]
)
def test_a_tie_is_kept_only_if_ties_are_accepted(accept_ties, kept):
    decisions = choose(
        list("abcde"),
        [0.5] * 5,
        GreedySpec(accept_ties=accept_ties),
        attempt=scripted([0.5, 0.5, 0.4, 0.6, 0.6]),
    )
    assert [d.name for d in decisions if d.decision == "kept"] == kept


def test_the_first_candidate_is_kept_even_with_no_image_right():
    decisions = choose(["a", "b"], [0.0, 0.0], GreedySpec(), attempt=scripted([0.0, 0.0]))
    assert [d.decision for d in decisions] == ["kept", "rejected"]


def test_a_whole_metric_may_be_negative():
    decisions = choose(["a", "b"], [0.1, 0.1], GreedySpec(), attempt=scripted([-0.5, -0.2]))
    assert [d.decision for d in decisions] == ["kept", "kept"]


class Script(HeldOut):
    """A held-out set of one feature: the image's index; a model that is right where told."""

    def __init__(self, right, batch_size=2):
        self.right, self.batch_size = np.array(right), batch_size
        self.labels = np.zeros(len(right), dtype=np.int64)

    def logits(self, indices=None):
        return np.stack([self.right[indices], 1 - self.right[indices]], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("to_beat", "accept_ties", "score", "bound", "images"),
    [
        (0.50, False, None, 0.50, 4),  # 3 of 6 right by the 4th image at most: cannot beat 3
        (0.50, True, 0.50, None, 6),  # but can equal it, and does
        (0.60, True, None, 0.50, 4),
        (0.40, False, 0.50, None, 6),
        (0.90, False, None, 4 / 6, 2),
        (1.00, False, None, 4 / 6, 2),
    ],
)
def test_evaluation_stops_where_the_rest_cannot_help(to_beat, accept_ties, score, bound, images):
    held_out = Script([1, 1, 1, 0, 0, 0])
    order = np.array([3, 4, 5, 0, 1, 2])  # the wrong ones first
    attempt, logits = attempt_per_image(held_out, correct, order, to_beat, accept_ties)
    assert attempt == Attempt(score=score, bound=bound, images_evaluated=images)
    assert (logits is None) == (score is None)
    if logits is not None:
        assert logits[:, 0].tolist() == [1, 1, 1, 0, 0, 0]  # in the images' own order


def test_graded_scores_an_image_are_bounded_exactly():
    """A bound that rounding put below the score would reject what full evaluation keeps."""
    scores = lambda logits, labels: np.full(len(labels), 0.1)  # noqa: E731
    held_out = Script([1] * 10, batch_size=3)
    mean = 0.1  # the correctly rounded mean of ten 0.1; a running sum gives 0.09999999999999999
    attempt, _ = attempt_per_image(held_out, scores, np.arange(10), mean, accept_ties=True)
    assert attempt.score == mean


def test_margin_is_the_labels_logit_above_the_largest_other():
    logits = np.array([[1.0, 4.0, 2.0], [3.0, 0.0, 2.5]])
    assert margins(logits, np.array([1, 2])).tolist() == [2.0, -0.5]


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


def test_progress_of_another_spec_or_other_inputs_does_not_count(tmp_path, caplog):
    path = tmp_path / "progress.json"
    Trace(path, {"seed": 1}).save([1, 2])
    assert Trace(path, {"seed": 1}).load() == [1, 2]
    with caplog.at_level("INFO"):
        assert Trace(path, {"seed": 2}).load() is None
    assert "is of another spec or other inputs" in caplog.text
    Trace(path, {"seed": 1}).remove()
    assert not path.exists()


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
    assert soup.candidates[0]["images_evaluated"] > 150


def seed_with_first(position: int) -> int:
    return next(
        seed
        for seed in range(100)
        if order_candidates([0.0] * 8, GreedySpec(order="random", seed=seed))[0] == position
    )


def true_logits(held_out, candidate):
    held_out.pour(average([candidate.weights]))
    return held_out.logits()


class DependsOnBatch(TinyNet):
    """Logits that depend on the other images of the batch."""

    def forward(self, images):
        logits = super().forward(images)
        return logits + 1e-6 * torch.arange(len(images))[:, None] * logits


def test_where_logits_depend_on_the_batch_all_images_are_evaluated_in_order(tmp_path, caplog):
    candidates, held_out = make_pool(tmp_path, 5)
    dependent = HeldOut(
        DependsOnBatch(), np.array(held_out._images), held_out.labels, batch_size=16
    )
    soup = greedy(GreedySpec(), candidates, dependent, NO_TRACE)
    assert "logits depend on the order of images" in caplog.text
    assert soup.details["order_is_free"] is False
    assert all(d["images_evaluated"] == 150 for d in soup.candidates[1:])


def test_estimated_statistics_are_those_of_every_trial_and_of_the_soup(tmp_path):
    candidates, held_out = make_pool(tmp_path, 6)
    soup = greedy(GreedySpec(statistics="estimate"), candidates, held_out, NO_TRACE)
    paths = [next(c.weights for c in candidates if c.name == name) for name in soup.ingredients]
    held_out.pour(average(paths))
    wanted = held_out.estimate()
    assert wanted.keys() == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    assert all(soup.weights[key].equal(wanted[key]) for key in wanted)
    held_out.pour(soup.weights)
    assert soup.held_out_accuracy == score_all("accuracy", held_out.logits(), held_out.labels)


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
    with pytest.raises(ValueError, match=r"0-1.parquet: .* \(7 images, expected 150\); eval"):
        greedy(GreedySpec(), candidates, held_out, NO_TRACE)


def test_half_precision_logits_order_images_but_do_not_score(tmp_path):
    candidates, held_out = make_pool(tmp_path, 0)
    wanted = greedy(GreedySpec(), candidates, held_out, NO_TRACE)
    for candidate in candidates:
        logits = read_logits(candidate.logits).logits
        write_logits(candidate.logits, logits, held_out.labels, {}, dtype="float16")
    soup = greedy(GreedySpec(), candidates, held_out, NO_TRACE)
    assert picks(soup) == picks(wanted)
    assert soup.candidates[0]["images_evaluated"] == 150 + 2 * 16


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"order": "best"}, "greedy: order is 'best', allowed: held-out, random"),
        ({"metric": "top5"}, "greedy: metric is 'top5', allowed: accuracy, macro_f1, matthews"),
        ({"statistics": "none"}, "greedy: statistics is 'none', allowed: average, estimate"),
        ({"replacement": True, "accept_ties": True}, "could add equals for ever"),
    ],
)
def test_a_spec_with_an_unknown_value_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        GreedySpec(**fields)


def test_decisions_are_json(tmp_path):
    candidates, held_out = make_pool(tmp_path, 0)
    soup = greedy(GreedySpec(), candidates, held_out, NO_TRACE)
    assert json.loads(json.dumps([soup.candidates, soup.coefficients, soup.details]))
