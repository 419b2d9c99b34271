"""What a prediction by each method takes: the cost of Table 2, measured (Section 2)."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from modelsoups.data.examples import Examples
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.evaluation.scores import rank, the_dataset


def list_members(
    scores: pd.DataFrame,
    roles: Mapping[str, str],
    soups: Sequence[str],
    ensembles: Mapping[str, Mapping[str, Any]],
) -> dict[str, list[str]]:
    """The models that one prediction of each method takes: of the best run on the held-out set, of
    soups, and of ensembles.

    Args: scores: tidy, of a sweep. roles: dataset -> role. ensembles: name -> its record.
    """
    runs = scores[scores["kind"] == "run"]
    best = rank(runs, the_dataset(roles, "held_out"), roles).index[0]
    return {
        **{model: [model] for model in [best, *soups]},
        **{name: record["ingredients"] for name, record in ensembles.items()},
    }


def time_predictions(
    evaluator: Evaluator,
    members: Mapping[str, Sequence[str]],
    read: Callable[[str], Mapping[str, torch.Tensor]],
    examples: Examples,
    num_repeats: int,
) -> pd.DataFrame:
    """Time the predictions of methods on the same examples, one method after the other, repeatedly.

    Models of an ensemble run one after the other. Reading weights is not timed: a deployed method
    keeps them in memory.

    Args:
        evaluator: its weights are replaced. members: method -> the models that one prediction of it
            takes. read: weights of a model. num_repeats: of which the median counts.
    Returns:
        one row a method: model, num_models, num_examples, seconds (the median), weights_mb (of all
        its models, as they are in memory), device, threads, precision.
    """
    first = next(iter(members.values()))[0]
    evaluator.pour(read(first), first)
    evaluator.outputs(examples)  # what is done once, such as compiling, does not count
    tensors = evaluator.model.state_dict().values()
    megabytes = sum(tensor.nbytes for tensor in tensors) / 1e6
    seconds: dict[str, list[float]] = {method: [] for method in members}
    for _ in tqdm(range(num_repeats), "timing", disable=None):
        for method, models in members.items():
            seconds[method].append(
                sum(time_one(evaluator, read(model), model, examples) for model in models)
            )
    return pd.DataFrame(
        [
            {
                "model": method,
                "num_models": len(models),
                "num_examples": len(examples),
                "seconds": median(seconds[method]),
                "weights_mb": len(models) * megabytes,
                "device": evaluator.device.type,
                "threads": torch.get_num_threads(),
                "precision": evaluator.precision,
            }
            for method, models in members.items()
        ]
    )


def time_one(
    evaluator: Evaluator, weights: Mapping[str, torch.Tensor], name: str, examples: Examples
) -> float:
    """Seconds in which a model gives its outputs on all examples."""
    evaluator.pour(weights, name)
    start = time.perf_counter()
    evaluator.outputs(examples)  # ends in main memory: a GPU has done all of it
    return time.perf_counter() - start
