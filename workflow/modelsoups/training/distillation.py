"""Distillation from an ensemble of other runs (Hinton et al. 2014; paper Appendix L, Table L.1).

The teachers compute each batch as the student gets it: "we cannot cache the predictions of the
models in the ensemble", whose images are augmented. Their ensemble is the mean of logits, as
everywhere in the paper (Sec. 4). It gives neither a temperature nor a share for the labels; here
the student learns from the teachers alone (as Beyer et al. 2021, whom it cites), at temperature 1
unless the run has another.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from modelsoups.study.search import RunSpec
from modelsoups.weights.checkpoints import read_weights, why_no_weights


def load_teachers(paths: Sequence[str], build: Callable[[], nn.Module]) -> list[nn.Module]:
    """The models of files of weights.

    Args: build: makes one whose weights are replaced.
    Raises: ValueError if one is of a run that failed and was skipped.
    """
    teachers = []
    for path in paths:
        if (failure := why_no_weights(path)) is not None:
            raise ValueError(
                f"{path}: expected the weights of a teacher, found a run that failed ({failure}); "
                "take it out of `teachers`"
            )
        teachers.append(build())
        teachers[-1].load_state_dict(read_weights(path))
    return teachers


class Teachers:
    """Targets of a batch from other models: (b, num_classes) probabilities, float32."""

    def __init__(self, spec: RunSpec, teachers: Sequence[nn.Module]):
        self._temperature = spec.temperature
        self._teachers = [each.eval() for each in teachers]

    @torch.no_grad()
    def __call__(self, batch: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The batch as it is, with the teachers' targets in place of those of the labels."""
        logits = torch.stack([teacher(batch).float() for teacher in self._teachers]).mean(0)
        return batch, (logits / self._temperature).softmax(1)


def distillation(spec: RunSpec) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy with the teachers' probabilities, both at the run's temperature T.

    It is multiplied by T squared, as Hinton et al. do, so that its gradient keeps its size.
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return spec.temperature**2 * cross_entropy(logits / spec.temperature, targets)

    return loss
