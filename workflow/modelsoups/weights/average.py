"""Weights: average them, and put them into a model (paper Sec. 2: a soup is an average).

What becomes of the special cases:

- *Rounding*: sums are float64 and are cast once, to the ingredients' dtype.
- *Mixed dtypes*: keys may differ in dtype. One key with several floating dtypes gets the one that
  holds them all (float16 with bfloat16: float32), with a warning; other differences are an error.
- *Integer and boolean tensors* (position indices) are not averaged: they must be equal, and are
  kept. BatchNorm's counters `num_batches_tracked` may differ: the largest is kept. Complex and
  quantised tensors are treated as integers; sparse ones and floats of 8 bits are an error.
- *Tied tensors* (several keys, one storage; language models) are computed once and stay tied. A
  file holds them once, under the first key, and its metadata say which other keys are the same.
- *Normalisation statistics* are averaged as any other tensor; `estimate_statistics` replaces them
  by those of given images.
- *Factors of adapters* (LoRA's A and B) are an error: the mean of factors is not that of products.
- *Non-finite values* are an error that names the files and keys.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from modelsoups.weights.checkpoints import (
    Entry,
    InMemory,
    Model,
    Source,
    Weights,
    check_alike,
    find_tied,
    items_of,
    open_source,
    read_each,
    read_whole,
)

# Elements read and summed at a time: few enough for the cache, and for torch not to split them
# among threads of its own; enough to outweigh the calls.
WIDTH = 2**15 - 1
FACTORS = (".lora_A.", ".lora_B.")  # in the names that PEFT gives
COUNTER = "num_batches_tracked"  # BatchNorm's; read by nothing but a cumulative average


def average(
    ingredients: Iterable[Model] | Mapping[str, Model],
    coefficients: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
) -> Weights:
    """The sum of `coefficients` times ingredients; without coefficients, their mean.

    Each element is a float64 sum in the order of the ingredients, rounded once. The sum of K
    float32 numbers is off by at most K 2^-53 of the largest partial sum, so the result is the
    correctly rounded one unless that lies this close to the middle of two float32 numbers (a chance
    of about K 2^-29). Half precision is rounded from float32, as all that torch casts: about one
    element in 20,000 is the second nearest. It never depends on anything but the ingredients.

    Args:
        ingredients: weights, or safetensors files, of equal keys and shapes; at least one. An
            ingredient that stands twice counts twice. A mapping names them, for errors.
        coefficients: (num_ingredients,), or key -> (num_ingredients,) for each floating tensor.

    Returns: weights in main memory, wherever the ingredients are.
    Raises:
        ValueError: keys or shapes differ, integer tensors differ, values are not finite, or they
            are factors of adapters.
    """
    sources = [open_source(each, f"ingredient {name}") for name, each in items_of(ingredients)]
    common, result = check_together(sources)
    tied = find_tied(common)
    keys = [key for key in common if key not in result and key not in tied]
    each: Sequence[Sequence[float] | None]
    if isinstance(coefficients, Mapping):
        if missing := [key for key in keys if key not in coefficients]:
            raise ValueError(
                f"expected coefficients for {', '.join(missing[:4])} ({len(missing)} in all), "
                f"found those of {[*coefficients][:4]}; of ingredients give them as a list"
            )
        each = [coefficients[key] for key in keys]
    else:
        each = [coefficients] * len(keys)
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        means = threads.map(partial(_average_tensor, sources, common), keys, each)
        result.update(zip(keys, means, strict=True))
    return {key: result[tied.get(key, key)] for key in common}


def check_together(sources: Sequence[Source]) -> tuple[dict[str, Entry], Weights]:
    """The tensors that sources have in common, and a soup's integers: `average` without the mean.

    Raises:
        ValueError: as `average`; that values are not finite only the mean tells.
    """
    common = check_alike(sources)
    factors = [key for key in common if any(each in f".{key}." for each in FACTORS)]
    if factors and len(sources) > 1:
        raise ValueError(
            f"{', '.join(factors[:2])}, ...: factors of adapters; their means are not the factors "
            "of the mean. Merge each adapter into its model first (`model.merge_and_unload()` of "
            "PEFT), or average the products"
        )
    return common, common_integers(sources, common)


def _average_tensor(
    sources: Sequence[Source],
    common: Mapping[str, Entry],
    key: str,
    coefficients: Sequence[float] | None,
) -> torch.Tensor:
    entry = common[key]
    if coefficients is not None and len(coefficients) != len(sources):
        raise ValueError(f"expected {len(sources)} coefficients, found {len(coefficients)}")
    result = torch.empty(entry.numel, dtype=entry.dtype)
    size = min(WIDTH, entry.numel)
    # float32 holds the narrower ones, too, of which numpy does not know all.
    memory = torch.empty(size, dtype=torch.promote_types(entry.dtype, torch.float32))
    total = torch.empty(size, dtype=torch.float64)
    for start in range(0, entry.numel, WIDTH):
        part = result[start : start + WIDTH]
        row, summed = memory[: len(part)], total[: len(part)].zero_()
        rows = read_each(sources, key, start, row)
        if coefficients is None:
            values, sums = row.numpy(), summed.numpy()
            for _ in rows:
                np.add(sums, values, out=sums)  # torch would widen all values first
            summed.div_(len(sources))
        else:
            for _, coefficient in zip(rows, coefficients, strict=True):
                summed.add_(row, alpha=float(coefficient))
        part.copy_(summed)
        if not torch.stack(part.aminmax()).isfinite().all():  # quicker than each element's
            _raise_non_finite(sources, key)
    return result.view(entry.shape)


def common_integers(sources: Sequence[Source], common: Mapping[str, Entry]) -> Weights:
    """The integer and boolean tensors of a soup: those that all sources have.

    Raises:
        ValueError: they differ; names every key and source. BatchNorm's counters may.
    """
    result: Weights = {}
    problems = []
    for key in [key for key, entry in common.items() if not entry.dtype.is_floating_point]:
        values = [read_whole(source, key) for source in sources]
        if key.endswith(COUNTER):
            result[key] = torch.stack(values).amax(0)
            continue
        result[key] = values[0].clone()
        pairs = zip(sources, values, strict=True)
        different = [str(source.path) for source, value in pairs if not value.equal(values[0])]
        if different:
            problems.append(f"\n  {key} ({common[key].dtype}) in {', '.join(different)}")
    if problems:
        raise ValueError(
            "integers are not averaged and have to be equal in all ingredients, as have complex "
            "and quantised numbers (of complex weights give `torch.view_as_real`); other than in "
            f"{sources[0].path} are:{''.join(problems)}"
        )
    return result


def check_finite(weights: Mapping[str, torch.Tensor], name: str | Path) -> None:
    """Raise a ValueError that names every tensor with values that are NaN or infinite."""
    if broken := [key for key, tensor in weights.items() if not tensor.isfinite().all()]:
        raise ValueError(
            f"{name}: values are NaN or infinite in {', '.join(broken)}; "
            "leave diverged runs out of the pool"
        )


def _raise_non_finite(sources: Sequence[Source], key: str) -> None:
    bad = [str(s.path) for s in sources if not read_whole(s, key).isfinite().all()]
    raise ValueError(
        f"{key} of the average is not finite; values are NaN or infinite in "
        f"{', '.join(bad) or 'no ingredient: the coefficients are too large'}; "
        "leave diverged runs out of the pool"
    )


def check_fit(model: nn.Module, weights: Mapping[str, torch.Tensor | Entry]) -> dict[str, str]:
    """Key of a model -> the first of those that it ties to it, if weights fit the model.

    Of tensors that the model ties, one is enough.

    Raises:
        ValueError: keys or shapes differ.
    """
    state = model.state_dict()
    tied = find_tied(InMemory("model", state).entries)
    firsts = {key: tied.get(key, key) for key in state}
    given = {firsts[key] for key in weights.keys() & state.keys()}
    problems = [f"{key} is not expected" for key in weights.keys() - state.keys()]
    problems += [f"{key} is missing" for key in set(firsts.values()) - given]
    for key in weights.keys() & state.keys():
        if tuple(weights[key].shape) != tuple(state[key].shape):
            shapes = f"{tuple(weights[key].shape)}, expected {tuple(state[key].shape)}"
            problems.append(f"{key} has shape {shapes}")
    _raise_unfit(problems)
    return firsts


def copy_into(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy weights into a model's tensors, in place: a compiled model stays compiled.

    Raises:
        ValueError: keys or shapes differ, or keys that the model ties have different values.
    """
    firsts = check_fit(model, weights)
    others: dict[str, str] = {}  # first of a group -> the key that is given first
    problems = []
    for key in weights:
        other = others.setdefault(firsts[key], key)
        if weights[key] is not weights[other] and not weights[key].equal(weights[other]):
            problems.append(f"{key} differs from {other}, to which the model ties it")
    _raise_unfit(problems)
    copy_each(model, ((key, weights[key]) for key in others.values()))


@torch.no_grad()
def copy_each(model: nn.Module, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Copy tensors that come one by one into those of a model that they fit (`check_fit`).

    Raises:
        ValueError: keys that the model ties have different values.
    """
    state = model.state_dict()
    tied = find_tied(InMemory("model", state).entries)
    copied: dict[str, str] = {}
    for key, tensor in tensors:
        other = copied.setdefault(tied.get(key, key), key)
        if other == key:
            state[key].copy_(tensor, non_blocking=True)
        elif not state[key].equal(tensor.to(state[key])):
            _raise_unfit([f"{key} differs from {other}, to which the model ties it"])


def _raise_unfit(problems: Sequence[str]) -> None:
    if problems:
        raise ValueError(f"the weights do not fit the model: {'; '.join(sorted(problems))}")


@torch.no_grad()
def estimate_statistics(model: nn.Module, batches: Iterable[torch.Tensor]) -> Weights:
    """Replace the statistics of a model's BatchNorms by their mean over batches, in place.

    Averaged weights give other activations than each ingredient's, which averaged statistics do
    not describe (Izmailov et al. 2018, Sec. 3.2).

    Args:
        batches: images (b, 3, H, W), of one size, since batches count alike.

    Returns:
        the new statistics by key, on the CPU; empty for a model without BatchNorm.
    Raises:
        ValueError: a model with BatchNorm, and no batch.
    """
    norms = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    }
    before = {name: (norm.momentum, norm.training) for name, norm in norms.items()}
    try:
        for norm in norms.values():
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over batches
            norm.train()
        images = None
        for images in batches if norms else ():
            model(images)
        if norms and images is None:
            raise ValueError("expected batches of images to estimate statistics on, found none")
    finally:
        for name, norm in norms.items():
            norm.momentum, norm.training = before[name]
    return {
        f"{name}.{key}": buffer.cpu().clone()
        for name, norm in norms.items()
        for key, buffer in norm.named_buffers(recurse=False)
    }
