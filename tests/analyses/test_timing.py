"""Times of predictions: what counts, and what does not."""

import itertools

import pytest

from modelsoups.analyses import timing
from modelsoups.analyses.timing import list_members, time_predictions
from modelsoups.weights.checkpoints import read_weights
from small_scores import ROLES, SCORES
from weight_space import make_evaluator

MEMBERS = {"000": ["000"], "ensemble": ["000", "001", "002"]}


@pytest.fixture
def time(files, photos, monkeypatch):
    """From a clock, whose readings are given, to the table, and the models read and run."""

    def run(readings, num_repeats=3):
        monkeypatch.setattr(timing.time, "perf_counter", iter(readings).__next__)
        evaluator, read = make_evaluator(), []
        outputs = evaluator.outputs
        ran = []

        def follow(examples):
            ran.append((evaluator.name, len(examples)))
            return outputs(examples)

        evaluator.outputs = follow

        def weights(model):
            read.append(model)
            return read_weights(files[model])

        table = time_predictions(evaluator, MEMBERS, weights, photos.examples, num_repeats)
        return table.set_index("model"), ran

    return run


def clock(durations):
    """Readings at the start and end of each duration, an hour apart."""
    for number, duration in enumerate(durations):
        yield from (3600.0 * number, 3600.0 * number + duration)


def test_members_are_the_best_run_by_the_held_out_set_soups_and_what_ensembles_are_made_of():
    ensembles = {"ensemble": {"ingredients": ["000", "002"]}}
    members = list_members(SCORES, ROLES, ["greedy"], ensembles)
    assert members == {"001": ["001"], "greedy": ["greedy"], "ensemble": ["000", "002"]}


def test_seconds_are_the_median_of_repeats_summed_over_the_models(time):
    table, _ = time(clock([1, 2, 3, 4, 9, 2, 3, 5, 2, 10, 10, 10]))
    assert table["seconds"].to_dict() == {"000": 2, "ensemble": 10}  # of 1, 9, 2; of 9, 10, 30


def test_every_method_predicts_all_examples_in_turn_and_the_first_time_is_not_counted(time):
    table, ran = time(itertools.count(0.0, 0.5), num_repeats=2)
    assert ran == [("000", 8), *[(name, 8) for name in ["000", "000", "001", "002"]] * 2]
    assert table["num_examples"].tolist() == [8, 8]


def test_weights_are_those_of_all_models_of_a_method(time, files):
    table, _ = time(itertools.count(0.0, 0.5))
    one = sum(tensor.nbytes for tensor in read_weights(files["000"]).values()) / 1e6
    assert table["weights_mb"].to_dict() == pytest.approx({"000": one, "ensemble": 3 * one})
    assert table["num_models"].to_dict() == {"000": 1, "ensemble": 3}
    assert (table["precision"] == "float32").all() and (table["device"] == "cpu").all()
