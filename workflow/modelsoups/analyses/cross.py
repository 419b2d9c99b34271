"""Cross-dataset soups: backbones from other data sets, a target's zero-shot head (Appendix E).

"Since each task has a different set of classes, the last layers cannot be part of the soup": the
backbones of the zero-shot initialisation and of some models are averaged, and the head stays that
of the target's class names. Every subset of the models is evaluated, so that a mean over all orders
of adding them is exact.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from modelsoups.analyses.mixes import HEAD, score_rows
from modelsoups.analyses.parts import Parts
from modelsoups.evaluation.evaluator import EvaluationSet, Evaluator
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import Weights, read_weights

NOTHING = "zero-shot"  # what the soup without any model is called


def subsets(models: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every subset of models, smaller ones first: of n models 2^n."""
    for size in range(len(models) + 1):
        yield from combinations(models, size)


def split_head(weights: Weights) -> tuple[Weights, Weights]:
    """The tensors of a backbone, and those of its head."""
    head = {key: tensor for key, tensor in weights.items() if key.startswith(HEAD)}
    return {key: tensor for key, tensor in weights.items() if key not in head}, head


def evaluate_subsets(
    evaluator: Evaluator,
    initialization: Path,
    files: Mapping[str, Path],
    target: EvaluationSet,
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Every metric of the backbone soup of the initialisation and each subset of models.

    Args:
        initialization: weights of the zero-shot model of the target's classes.
        files: model -> its weights, fine-tuned from the same backbone, with a head of its own.
        target: the target's test images. parts: what is finished already.
    Returns: one row a subset and metric: models (joined by a space), k (how many), dataset,
        metric, value, n, and of accuracy right (of `mixes.score_rows`).
    """
    parts = parts or Parts()
    start, head = split_head(read_weights(initialization))
    backbones = {model: split_head(read_weights(path))[0] for model, path in files.items()}
    rows = []
    for chosen in tqdm([*subsets(list(files))], unit="soup", disable=None):
        name = " ".join(chosen)
        found = parts.find(target.dataset, name)
        if found is None:
            soup = average([start, *(backbones[model] for model in chosen)])
            evaluator.pour({**soup, **head}, f"the soup of {name or NOTHING}")
            about = {"models": name, "k": len(chosen)}
            made = score_rows(about, target.dataset, evaluator.logits(target), target.labels)
            found = parts.add(target.dataset, name, made)
        rows += found
    return pd.DataFrame(rows)
