"""The soup of models made elsewhere, in their form; and whether they are what their maker says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from modelsoups.evaluation.logits import read_predictions
from modelsoups.evaluation.metrics import accuracy_of_predictions
from modelsoups.models.ingredients import names_in
from modelsoups.models.own import OwnSpec, build
from modelsoups.weights.checkpoints import read_weights
from modelsoups.weights.export import average_others, write_like
from modelsoups.weights.stored import Stored

TOLERANCE = 0.005  # between a user's accuracy and the one found here: decoders and kernels differ


def check_accuracies(logits: Mapping[str, Path], said: Mapping[str, float]) -> pd.DataFrame:
    """The accuracy of models on the held-out set beside what their maker says it is.

    Args: logits: model -> its logits on the held-out set. said: model -> accuracy, a fraction.
    Returns: columns model, said, found.
    Raises: ValueError if one is off by more than half a percentage point.
    """
    rows = []
    for model, path in logits.items():
        stored = read_predictions(path)
        found = accuracy_of_predictions(stored["prediction"].to_numpy(), stored["label"].to_numpy())
        rows.append((model, said[model], found))
    table = pd.DataFrame(rows, columns=["model", "said", "found"])
    wrong = table[(table.said - table.found).abs() > TOLERANCE]
    if len(wrong):
        each = ", ".join(
            f"{row.model}: {row.found:.4f}, not {row.said:.4f}" for row in wrong.itertuples()
        )
        raise ValueError(
            f"models do not have the accuracy that `soup.accuracy` says: {each}. Are they seen as "
            "they were trained (results/own/model.json has size, resize, interpolation, mean and "
            "std, and what was assumed), is the order of classes theirs, and is it this held-out "
            "set?"
        )
    return table


def export(
    spec: OwnSpec,
    record: Mapping[str, Any],
    soup: str | Path,
    models: Mapping[str, Stored],
    hashes: Mapping[str, str],
    folder: Path,
    prefix: str | None = None,
) -> list[Path]:
    """Write a soup in the form of its first ingredient.

    Args:
        record, soup: of the soup, and its weights under a study's names.
        models: name -> ingredients as they were given. hashes: name -> SHA-256 of its file.
        folder: to write to. prefix: of `fit_names`.
    Returns: the files written.
    """
    names = list(record["ingredients"])
    first = models[names[0]]
    mapped = names_in(first, spec, build(spec), prefix)
    weights = read_weights(soup)
    tensors = {name: weights[key] for key, name in mapped.items()}
    others = [name for name in first.entries if name not in tensors]
    coefficients = record["coefficients"]
    if not isinstance(coefficients, list):  # one a layer: what is no layer of the model has none
        coefficients = [1 / len(names)] * len(names)
    tensors |= average_others([models[name] for name in names], others, coefficients)
    provenance = {
        "recipe": record["recipe"],
        "ingredients": {name: hashes[name] for name in names},
        "coefficients": record["coefficients"],
        **{key: value for key, value in record.items() if key.startswith("held_out_")},
    }
    return write_like(first, tensors, folder, provenance)
