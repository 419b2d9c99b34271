"""Search spaces written as data, and what is drawn from them (paper Appendix J.2.1).

Imported while Snakemake parses the workflow: standard library only.
"""

import itertools
import random
from collections.abc import Mapping
from typing import Any

# `Random.random()` is the one method whose stream Python guarantees across versions, so every
# distribution is written as a function of one or more of its values in [0, 1).


def draw(space: Any, rng: random.Random) -> Any:
    """One value of a search space.

    A space is a constant (number, string) or a mapping with one of the keys
    `uniform: [low, high]`, `log_uniform: [low, high]`, `integer: [low, high]` (both ends included),
    `choice: [space, ...]` (with optional `probabilities: [...]`), or
    `randaugment: {magnitude: space, num_ops: space}` (a timm policy name such as "rand-m9-n2").

    Raises:
        ValueError: the mapping is none of these.
    """
    if not isinstance(space, Mapping):
        return space
    check_space(space)
    match space:
        case {"uniform": [low, high]}:
            return low + (high - low) * rng.random()
        case {"log_uniform": [low, high]}:
            return low * (high / low) ** rng.random()
        case {"integer": [low, high]}:
            return low + int((high - low + 1) * rng.random())
        case {"randaugment": {"magnitude": magnitude, "num_ops": num_ops}}:
            return f"rand-m{draw(magnitude, rng)}-n{draw(num_ops, rng)}"
    options = space["choice"]
    remaining = rng.random()
    for option, probability in zip(options, probabilities_of(space), strict=True):
        remaining -= probability
        if remaining < 0:
            return draw(option, rng)
    return draw(options[-1], rng)  # rounding left a sliver above the last option


DISTRIBUTIONS = ("uniform", "log_uniform", "integer", "choice", "randaugment")


def check_space(space: Mapping[str, Any]) -> None:
    """Raise a ValueError unless a mapping is one distribution, with ends and shares that fit."""
    names = space.keys() - {"probabilities"} if "choice" in space else space.keys()
    if len(names) != 1 or not names <= set(DISTRIBUTIONS):
        raise ValueError(
            f"unknown search space {dict(space)}; expected one of {', '.join(DISTRIBUTIONS)} (see "
            "config/README.md)"
        )
    [name] = names
    value = space[name]
    if name == "randaugment":
        if not isinstance(value, Mapping) or value.keys() != {"magnitude", "num_ops"}:
            raise ValueError(f"randaugment: expected magnitude and num_ops, found {value}")
    elif name == "choice":
        if not isinstance(value, list) or not value:
            raise ValueError(f"choice: expected a list of options, found {value}")
        shares = probabilities_of(space)
        check_numbers("probabilities", shares)
        if len(shares) != len(value) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(
                f"choice: expected {len(value)} probabilities that sum to 1, found {shares}"
            )
    else:
        check_numbers(name, value)
        if len(value) != 2 or not value[0] <= value[1]:
            raise ValueError(f"{name}: expected [low, high], found {value}")
        if name == "integer" and not all(type(end) is int for end in value):
            raise ValueError(f"integer: expected whole numbers, found {value}")
        if name == "log_uniform" and value[0] <= 0:
            raise ValueError(f"log_uniform: expected positive ends, found {value}")


def check_numbers(name: str, found: Any) -> None:
    """Raise a ValueError unless this is a list of numbers."""
    if not isinstance(found, list) or not all(type(each) in (int, float) for each in found):
        raise ValueError(f"{name}: expected a list of numbers, found {found}")


def probabilities_of(space: Mapping[str, Any]) -> list[float]:
    """The probability of each option of a choice."""
    options = space["choice"]
    return space.get("probabilities", [1 / len(options)] * len(options))


def random_search(space: Mapping[str, Any], num_runs: int, seed: int) -> list[dict[str, Any]]:
    """Independent draws of every hyper-parameter, in the order of `space` (Appendix J.2.1).

    The stream is sequential: a search with more runs begins with the same ones. A run whose
    space names no `seed` gets its own number.
    """
    rng = random.Random(seed)
    return [
        {"seed": number, **{name: draw(space[name], rng) for name in space}}
        for number in range(num_runs)
    ]


def grid_search(axes: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """Every combination of the axes' values, the last axis varying fastest (Appendix J.2.1)."""
    combinations = itertools.product(*axes.values())
    return [{"seed": 0, **dict(zip(axes, values, strict=True))} for values in combinations]
