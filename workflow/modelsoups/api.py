"""Soups from Python: `modelsoups.average`, `greedy`, `learned` and `diagnose`.

Ingredients are state dicts or safetensors files, as a list, or as a mapping that names them. No
workflow, config or data set of this project is needed; files are read in parts, so that a pool may
be larger than the memory.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelsoups.base.progress import Trace
from modelsoups.soups.registry import GreedySpec, LearnedSpec
from modelsoups.soups.selection import Attempt, Decision, choose, order_candidates
from modelsoups.weights.average import average, check_together
from modelsoups.weights.checkpoints import Model, Source, Weights, items_of, load, open_source

if TYPE_CHECKING:
    from modelsoups.diagnosis.diagnose import Diagnosis

__all__ = ["Mix", "average", "diagnose", "greedy", "learned"]

Models = Iterable[Model] | Mapping[str, Model]
# Weights to how good each held-out example is with them (n,), or to one number; higher is better.
Evaluate = Callable[[Weights], Any]


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A soup."""

    weights: Weights
    coefficients: Mapping[str, Any]  # ingredient -> its share, or a share a layer or tensor
    decisions: Sequence[Decision] = field(default_factory=tuple)  # of the greedy soup


def greedy(
    ingredients: Models,
    evaluate: Evaluate,
    *,
    order: str = "held-out",
    seed: int = 0,
    accept_ties: bool = False,
    replacement: bool = False,
) -> Mix:
    """The greedy soup (paper Recipe 1): one after another, kept if the mean with it is better.

    The ingredients that are kept are read again for every trial.

    Args:
        evaluate: weights -> values of the held-out examples, of which the mean decides, or that
            mean. It is called once for each ingredient alone, and once for each trial, and must
            not write into an ingredient, as a model does whose own `state_dict()` is one.
        order, seed, accept_ties, replacement: as in `modelsoups.soups.registry.GreedySpec`.
    Raises:
        ValueError: ingredients do not fit one another, which is told before any is evaluated;
            values are not finite, or a score is NaN.
    """
    spec = GreedySpec(order=order, seed=seed, accept_ties=accept_ties, replacement=replacement)  # type: ignore[arg-type]
    models = named(ingredients)
    check_together(opened(models))
    evaluate = leaving_alone(models, evaluate)
    values = {name: scored(evaluate, load(model), name) for name, model in models.items()}
    scores = {name: float(each.mean()) for name, each in values.items()}
    names = [list(models)[i] for i in order_candidates(list(scores.values()), spec)]
    kept: list[str] = []

    def attempt(position: int, to_beat: float | None) -> Attempt:
        tried = [*kept, names[position]]
        if len(tried) == 1:
            found = values[tried[0]]
        else:
            soup = average(opened(models, tried))
            found = scored(evaluate, soup, f"the soup of {', '.join(tried)}")
        return Attempt(score=float(found.mean()), bound=None, num_evaluated=len(found))

    decisions = choose(
        names,
        [scores[name] for name in names],
        spec,
        attempt=attempt,
        keep=lambda position: kept.append(names[position]),
    )
    shares = {name: count / len(kept) for name, count in Counter(kept).items()}
    weights = average(opened(models, kept))
    return Mix(weights=weights, coefficients=shares, decisions=decisions)


@torch.inference_mode(False)  # with gradients, whatever the caller has
def learned(
    ingredients: Models,
    model: torch.nn.Module,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    **options: Any,
) -> Mix:
    """The learned soup (paper Appendix I): coefficients that minimise the held-out loss: the
    cross-entropy of classes, the binary one of labels, the squared error of numbers.

    Memory: two copies of the model and a gradient, and the ingredients in float32 if all of them
    together have at most `resident_gib` (4); of more, files are read again for every step.

    Args:
        model: from inputs (b, ...) to logits (b, num_classes), on the device to compute on; it is
            copied, in float32, and left as it was.
        inputs: (n, ...) of the held-out examples; floats become float32. labels: (n,) integers, or
            (n, C) bool of which several may be true, or (n, T) floats.
        options: fields of `modelsoups.soups.registry.LearnedSpec`: coefficients_per, constraint,
            learning_rate, epochs, batch_size, ...
    """
    from modelsoups.evaluation.evaluator import Evaluator
    from modelsoups.soups.learned import learn
    from modelsoups.soups.pool import HeldOut

    spec = LearnedSpec(**options)
    models = named(ingredients)
    device = next(model.parameters()).device
    own = deepcopy(model).float()
    evaluator = Evaluator(own, device=device, batch_size=spec.batch_size, fill=False)
    held_out = HeldOut(evaluator, Tensors(inputs), np.asarray(in_float32(labels).cpu()))
    weights, by_group, _ = learn(spec, opened(models), held_out, Trace(None, None))
    if spec.coefficients_per == "model":
        shares: Mapping[str, Any] = dict(zip(models, by_group["model"], strict=True))
    else:
        shares = {
            name: {group: each[number] for group, each in by_group.items()}
            for number, name in enumerate(models)
        }
    return Mix(weights=weights, coefficients=shares)


def diagnose(
    ingredients: Models,
    evaluate: Evaluate,
    *,
    initialization: Model | None = None,
    estimate: Callable[[Weights], Weights] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    margin: float = 0.02,
) -> "Diagnosis":
    """Why the soup of these models is no better than the best of them; printed, it is in words.

    Args:
        evaluate: weights -> values of the held-out examples, or one number (without intervals
            then). It is called about five times for each ingredient, so a sample will do.
        initialization: what the models were fine-tuned from.
        estimate: weights -> the same with the statistics of BatchNorms estimated on examples.
        settings: name -> hyper-parameters, of which `lr` is looked at.
        margin: a smaller difference of scores is no reason.
    """
    from modelsoups.diagnosis.diagnose import Known
    from modelsoups.diagnosis.diagnose import diagnose as examine

    models = named(ingredients)
    start = {} if initialization is None else {"initialization": initialization}
    opened(start)
    evaluate = leaving_alone({**models, **start}, evaluate)
    return examine(
        models,
        lambda weights: {"score": values_of(evaluate(dict(weights)))},  # which may take keys out
        initialization=initialization,
        estimate=estimate,
        known=Known(settings=settings or {}),
        margin=margin,
    )


def named(models: Models) -> dict[str, Model]:
    """Models by name: those of the mapping, their files, or their number in the list.

    Raises:
        ValueError: one of them is neither a state dict nor a safetensors file, or two are the same
            tensors: those of one model that went on training after its `state_dict()` was taken.
    """
    items = items_of(models)
    if isinstance(models, Mapping):
        found = dict(items)
    else:
        files = (str, PathLike)
        found = {str(each) if isinstance(each, files) else name: each for name, each in items}
    if len(found) < len(items):
        raise ValueError(
            "expected each file once, found one twice; name the ingredients by a mapping"
        )
    opened(found)
    first: dict[tuple[int, ...], str] = {}  # addresses of tensors -> the ingredient
    for name, each in found.items():
        if isinstance(each, Mapping):
            addresses = tuple(tensor.data_ptr() for tensor in each.values())
            if (other := first.setdefault(addresses, name)) != name and any(addresses):
                raise ValueError(
                    f"ingredients {other} and {name} are the same tensors, though perhaps taken at "
                    "different times: `state_dict()` copies nothing; take "
                    "`copy.deepcopy(model.state_dict())`"
                )
    return found


def opened(models: Mapping[str, Model], names: Iterable[str] | None = None) -> list[Source]:
    """Models, opened under their names. Args: names: of those meant; by default all."""
    chosen = models if names is None else names
    return [open_source(models[name], f"ingredient {name}") for name in chosen]


def leaving_alone(models: Mapping[str, Model], evaluate: Evaluate) -> Evaluate:
    """`evaluate`, which must not write into the tensors of ingredients: those of `state_dict()` are
    the model's own, and loading other weights into it would change what is averaged.

    Torch counts what is written into a tensor; not so into one of inference mode.
    """
    tensors = [
        (name, key, tensor)
        for name, model in models.items()
        if isinstance(model, Mapping)
        for key, tensor in model.items()
        if not tensor.is_inference()
    ]
    before = [tensor._version for *_, tensor in tensors]

    def watched(weights: Weights) -> Any:
        found = evaluate(weights)
        for (name, key, tensor), version in zip(tensors, before, strict=True):
            if tensor._version != version:
                raise ValueError(
                    f"{name}: `evaluate` has written into its {key}; give it as "
                    "`copy.deepcopy(model.state_dict())`, or evaluate with another model"
                )
        return found

    return watched


def values_of(found: Any) -> np.ndarray:
    """What `evaluate` returned: (n,) float64, or (1,).

    Raises: ValueError if it is no number, and no array or list of such.
    """
    wanted = (
        "expected `evaluate` to return a value for each held-out example, in a tensor, an array or "
        f"a list, or one number; found {type(found).__name__} {found!s:.80}"
    )
    try:
        values = torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(wanted) from error
    if not values.numel():
        raise ValueError(wanted)
    return values.detach().cpu().double().reshape(-1).numpy()


def scored(evaluate: Evaluate, weights: Weights, name: str) -> np.ndarray:
    """What `evaluate` returns (n,), whose mean is the score. Args: name: of the weights."""
    found = values_of(evaluate(weights))
    if np.isnan(found.mean()):
        raise ValueError(f"{name}: expected a score, found NaN; leave out runs that diverged")
    return found


def in_float32(tensor: torch.Tensor) -> torch.Tensor:
    """Floats of another precision in this one; integers and bool as they are."""
    return tensor.float() if tensor.is_floating_point() else tensor


class Tensors:
    """Examples that are held in a tensor; floats come in float32."""

    def __init__(self, inputs: torch.Tensor):
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, indices: np.ndarray) -> torch.Tensor:
        return in_float32(self.inputs[torch.from_numpy(indices).to(self.inputs.device)])

    def shapes(self, indices: np.ndarray) -> np.ndarray:
        return np.zeros(len(indices), int)

    def take(self, indices: np.ndarray) -> "Tensors":
        return Tensors(self.batch(indices))

    def to(self, device: torch.device) -> "Tensors":
        return Tensors(self.inputs.to(device))
