"""The best checkpoint of a run, and of its averages, by the held-out set (Sec. 3.3.2, J.2.3)."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from modelsoups.evaluation.evaluator import EvaluationSet, Evaluator
from modelsoups.evaluation.metrics import is_correct
from modelsoups.models.backbones import Classifier
from modelsoups.study.search import RunSpec
from modelsoups.training.processes import Process
from modelsoups.weights.average import copy_into
from modelsoups.weights.checkpoints import Weights

logger = logging.getLogger(__name__)


class BestCheckpoint:
    """Follows a run, or an average of its weights, and keeps what did best on the held-out set.

    "For each combination of training run and EMA decay rate, we evaluate accuracy on our held out
    validation set every 1000 steps. We use these accuracy values to pick the best checkpoint": a
    share of a run here, as runs differ in length. Its last step counts too. Of equal ones the
    earliest is kept, on which the paper is silent. Evaluation is in float32, whatever the run is
    computed in, and leaves the run as it is.
    """

    def __init__(
        self,
        spec: RunSpec,
        model: Classifier,
        held_out: EvaluationSet,
        num_examples: int,
        *,
        device: torch.device,
        batch_size: int = 64,
        process: Process = Process(),  # noqa: B008
        average: Callable[[], Weights] | None = None,
    ):
        """Begin with no checkpoint.

        Args:
            spec: with `evaluate_every` on.
            num_examples: of the training set.
            batch_size: held-out images a forward pass.
            process: this one of the run's; each evaluates its part, the first keeps the weights.
            average: what is followed in place of the model's own weights, as it is when called.
        """
        self._num_steps = spec.epochs * (num_examples // spec.batch_size)
        self._interval = max(1, round(spec.evaluate_every * self._num_steps))
        self._model, self._held_out = model, held_out
        self._device, self._batch_size, self._process = device, batch_size, process
        self._average = average
        self.kept: Weights = {}
        self.trials: list[dict[str, float]] = []  # `step`, from 1, and `held_out_accuracy`

    @property
    def step(self) -> int:
        """Number of steps, from 1, after which the weights were those that are kept."""
        best = max(self.trials, key=lambda trial: trial["held_out_accuracy"])
        return int(best["step"])

    def after_step(self, step: int) -> None:
        """Evaluate if it is time, and keep the weights if they are the best so far."""
        done = step + 1
        if done % self._interval and done != self._num_steps:
            return
        own = self._copy() if self._average else {}
        if self._average:
            copy_into(self._model, self._average())
        accuracy = self._evaluate()
        logger.info("step %d of %d: held-out accuracy %.4f", done, self._num_steps, accuracy)
        self.trials.append({"step": done, "held_out_accuracy": accuracy})
        if self.step == done and self._process.is_first:
            self.kept = {name: tensor.cpu() for name, tensor in self._copy().items()}
        if self._average:
            copy_into(self._model, own)

    def _copy(self) -> Weights:
        """The model's weights as they are now."""
        return {name: each.detach().clone() for name, each in self._model.state_dict().items()}

    def after_epoch(self, epoch: int) -> None:
        """Nothing: steps are what counts."""

    def _evaluate(self) -> float:
        """Accuracy in [0, 1] of the weights as they are, together with the other processes."""
        modes = {module: module.training for module in self._model.modules()}
        evaluator = Evaluator(self._model, device=self._device, batch_size=self._batch_size)
        size, parts = len(self._held_out.labels), self._process.num_processes
        mine = np.arange(size)[self._process.rank :: parts]
        try:
            logits = evaluator.logits(self._held_out, mine)
            correct = is_correct(logits, self._held_out.labels[mine]).sum()
        except ValueError as error:  # outputs that are not finite: no process may stop alone
            logger.warning("%s", error)
            correct = np.float64(0)
        for module, mode in modes.items():
            module.training = mode
        total = self._process.mean(torch.tensor(correct)) * parts
        return total.item() / size

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.kept, "trials": self.trials}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.kept, self.trials = state["weights"], state["trials"]
