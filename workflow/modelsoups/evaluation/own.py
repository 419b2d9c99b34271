"""An evaluator of the user's own: `package.module:function` of a model and what the config says.

For tasks whose outputs this project knows nothing of: segmentation, detection, retrieval. The
function returns a number for each held-out example, or one for all; their mean counts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelsoups.base.functions import import_function
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.evaluation.logits import write_logits
from modelsoups.evaluation.targets import no_targets


class OwnEvaluator:
    """In an `Evaluator`'s place: its outputs are what the function gives each example, (n, 1)."""

    def __init__(self, evaluator: Evaluator, evaluate: str, given: Any):
        """Args: evaluator: has the model. evaluate, given: as in `score_examples`."""
        self.model, self.device = evaluator.model, evaluator.device
        self.forward, self.batch_size = evaluator.forward, evaluator.batch_size
        self.pour, self.pour_each = evaluator.pour, evaluator.pour_each
        self._evaluate, self._given = evaluate, given

    def outputs(
        self, examples: "Unseen", indices: np.ndarray | None = None, label: str | None = None
    ) -> np.ndarray:
        """Scores (n, 1) float64 of all examples at once.

        Raises: ValueError as `score_examples`, and if there are not as many as before.
        """
        scores = score_examples(self._evaluate, self.model, self._given)
        if len(scores) != len(examples):
            raise ValueError(
                f"{self._evaluate}: expected {len(examples)} numbers as for the first model, found "
                f"{len(scores)}; each model has to be scored on the same examples"
            )
        return scores[:, None]


class Unseen:
    """Examples of which only the number is known: the user's function reads them."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def to(self, device: torch.device) -> "Unseen":
        return self


def score_examples(evaluate: str, model: torch.nn.Module, given: Any) -> np.ndarray:
    """What the user's function gives each example: (n,) float64; one number is (1,).

    Args:
        evaluate: `package.module:function`; called with the model as the user builds it, in
            evaluation mode and without gradients, and `given`.
        model: a `models.own.OwnModel`.
    Raises: ValueError if it returns anything else than finite numbers.
    """
    with torch.inference_mode():
        found = import_function(evaluate)(model.model, given)
    wanted = f"{evaluate}: expected a finite number for each example, or one for all, found"
    if torch.is_tensor(found):
        found = found.detach().cpu().double()  # bfloat16 is no type of NumPy's
    try:
        scores = np.asarray(found, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{wanted} an object of type {type(found).__name__} ({error})") from error
    if np.ndim(found) > 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(
            f"{wanted} shape {np.shape(found)} with {(~np.isfinite(scores)).sum()} that are NaN or "
            "infinite"
        )
    return scores


def write_own(
    path: Path, model: torch.nn.Module, evaluate: str, given: Any, made_from: Mapping[str, Any]
) -> None:
    """Write the scores of a model on a set, in the form of logits (n, 1)."""
    scores = score_examples(evaluate, model, given)[:, None]
    write_logits(path, scores, no_targets(len(scores)), made_from, "float64")
