"""The tables of a diagnosis."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from modelsoups.diagnosis.distances import angles_from_first, relative_distances

if TYPE_CHECKING:
    from modelsoups.diagnosis.facts import Facts
    from modelsoups.diagnosis.verdicts import Verdict


def list_models(facts: "Facts | None", verdicts: "Sequence[Verdict]") -> pd.DataFrame:
    """One row a model, the best first, then those that were not compared.

    Columns: model; verdict (the kinds that name it); score (alone, of the metric that decides);
    middle (score halfway to the reference less the mean of both ends) with middle_low, middle_high;
    without (score of the uniform soup without it less that of all); moved (distance from the start)
    and distance (from the reference), relative to the weights' length; angle (with the reference,
    as seen from the start, in degrees); cosine (of the weights, with
    the reference's, median over layers); head (mean cosine of the classifier's rows with the
    typical model's); statistics (distance of BatchNorm statistics from the models' median, in
    standard deviations); the hyper-parameters that are known and vary.
    """
    kinds: dict[str, list[str]] = {}
    for verdict in verdicts:
        for name in verdict.models:
            kinds.setdefault(name, []).append(verdict.kind)
    if facts is None:
        return pd.DataFrame([{"model": n, "verdict": " ".join(k)} for n, k in kinds.items()])
    names = list(facts.geometry.names)
    cosines = facts.geometry.cosines[names.index(facts.reference)]
    angles = angles_with(facts, facts.reference, facts.geometry.total)
    rows = []
    for name, model in sorted(facts.models.items(), key=lambda each: -each[1].score):
        middle = model.line.middle if model.line else None
        rows.append(
            {
                "model": name,
                "verdict": " ".join(kinds.get(name, [])),
                "score": model.score,
                "middle": middle and middle.value,
                "middle_low": middle and middle.low,
                "middle_high": middle and middle.high,
                "without": model.without and model.without.value,
                "moved": model.moved,
                "distance": facts.distance(facts.reference, name),
                "angle": angles.get(name),
                "cosine": cosines[names.index(name)],
                "head": model.match and model.match.cosine,
                "statistics": model.statistics,
                **_varied(facts, name),
            }
        )
    rows += [
        {"model": name, "verdict": " ".join(kinds.get(name, []))}
        for name in (*facts.failed, *facts.misfits)
    ]
    return pd.DataFrame(rows)


def angles_with(facts: "Facts", model: str, products: np.ndarray) -> dict[str, float]:
    """Other models -> their angles in degrees with one, as seen from the start if it is known."""
    if facts.start is None:
        return {}
    _, *names = facts.geometry.names
    found = dict(zip(names, angles_from_first(products)[names.index(model)].tolist(), strict=True))
    return {name: angle for name, angle in found.items() if name != model}


def _varied(facts: "Facts", name: str) -> dict[str, object]:
    settings = [model.settings for model in facts.models.values()]
    keys = dict.fromkeys(key for each in settings for key in each)
    varied = [key for key in keys if len({repr(each.get(key)) for each in settings}) > 1]
    return {key: facts.models[name].settings.get(key) for key in varied}


def list_lines(facts: "Facts") -> pd.DataFrame:
    """Scores from the reference to each model: model, metric, alpha, value."""
    return pd.DataFrame(
        [
            {"model": name, "metric": metric, "alpha": alpha, "value": value}
            for name, model in facts.models.items()
            if model.line is not None
            for metric in model.line.scores[0.0]
            for alpha, value in model.line.values(metric).items()
        ],
        columns=["model", "metric", "alpha", "value"],
    )


def list_layers(facts: "Facts") -> pd.DataFrame:
    """How far models are from the start, or else from the reference, layer by layer, and the drop.

    Columns: layer; one a model, relative distances; angle: median of those with the reference, as
    seen from the start, in degrees; drop: of the score of the reference with this
    layer alone halfway to the model that it has the largest barrier with, if there is one.
    """
    names = list(facts.geometry.names)
    origin = names.index(facts.start or facts.reference)
    rows = []
    for layer, products in facts.geometry.by_layer.items():
        distances = relative_distances(products)
        angles = list(angles_with(facts, facts.reference, products).values())
        each = {name: distances[origin, i] for i, name in enumerate(names) if i != origin}
        drop = {"drop": facts.blocks.get(layer, np.nan)} if facts.blocks else {}
        angle = {"angle": float(np.median(angles))} if angles else {}
        rows.append({"layer": layer, **each, **angle, **drop})
    return pd.DataFrame(rows)
