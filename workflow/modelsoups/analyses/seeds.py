"""Runs that differ in their seed alone: soups and ensembles of 1..k of them (Figures B.2, G.4).

The calibrated soup and ensemble are "composed of models which are calibrated through temperature
scaling": each run's logits are divided by a temperature of its own, fitted on the held-out set. In
the soup that is a division of its head's weights and bias, before averaging.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from modelsoups.analyses.mixes import Kitchen, score_rows
from modelsoups.evaluation.calibration import expected_calibration_error, fit_inverse_temperature
from modelsoups.evaluation.scores import require_held_out
from modelsoups.evaluation.statistics import bootstrap_interval

Outputs = Mapping[str, Mapping[str, np.ndarray]]  # dataset -> run -> logits (n, C)


def study_seeds(
    kitchen: Kitchen,
    outputs: Outputs,
    runs: Sequence[str],
    held_out: str,
    roles: Mapping[str, str],
) -> pd.DataFrame:
    """Metrics of the k-th run, and of the soup and ensemble of the first k runs, for every k.

    Args:
        kitchen: has the runs' weights and all datasets of `outputs`.
        outputs: the runs' logits on every dataset, the held-out set too.
        runs: in the order they are added.
        held_out: the set that temperatures are fitted on. roles: dataset -> role.
    Returns: method (individual, soup, ensemble, calibrated soup, calibrated ensemble), k, run (of
        the individual), dataset, metric, value, n. Metric `ece_gain` is the ECE of the method minus
        the runs' mean ECE, for the largest k, with a 95 % interval over images in low, high.
    """
    require_held_out(held_out, roles)
    labels = {dataset: kitchen.labels(dataset) for dataset in outputs}
    betas = {run: fit_inverse_temperature(outputs[held_out][run], labels[held_out]) for run in runs}
    ones = dict.fromkeys(runs, 1.0)
    rows: list[dict[str, Any]] = []
    for k, run in enumerate(runs, start=1):
        chosen = runs[:k]
        soups: dict[str, dict[str, np.ndarray]] = {}
        for method, factors in (("soup", ones), ("calibrated soup", betas)):
            each = dict.fromkeys(chosen, 1 / k)
            kitchen.pour(each, {name: factors[name] / k for name in chosen})
            soups[method] = {dataset: kitchen.logits(dataset) for dataset in outputs}
        for dataset, logits in outputs.items():
            found = {
                "individual": logits[run],
                **{method: soup[dataset] for method, soup in soups.items()},
                "ensemble": scaled_mean(logits, chosen, ones),
                "calibrated ensemble": scaled_mean(logits, chosen, betas),
            }
            for method, values in found.items():
                about = {"method": method, "k": k, "run": run if method == "individual" else ""}
                rows += score_rows(about, dataset, values, labels[dataset])
                if k == len(runs) > 1 and method in ("soup", "ensemble"):
                    singles = [logits[name] for name in runs]
                    rows.append(
                        {
                            **{**about, "dataset": dataset, "metric": "ece_gain"},
                            "n": len(labels[dataset]),
                            **ece_gain(values, singles, labels[dataset]),
                        }
                    )
    return pd.DataFrame(rows)


def scaled_mean(
    logits: Mapping[str, np.ndarray], runs: Sequence[str], factors: Mapping[str, float]
) -> np.ndarray:
    """Mean of the runs' logits (n, C), each times its factor: float64."""
    return np.mean([factors[run] * logits[run].astype(np.float64) for run in runs], axis=0)


def ece_gain(
    values: np.ndarray, singles: Sequence[np.ndarray], labels: np.ndarray
) -> dict[str, float]:
    """ECE of logits minus the mean ECE of others on the same images, with a bootstrap interval."""

    def gain(images: np.ndarray) -> float:
        each = [expected_calibration_error(single[images], labels[images]) for single in singles]
        return expected_calibration_error(values[images], labels[images]) - float(np.mean(each))

    low, high = bootstrap_interval(gain, len(labels), num_resamples=300)
    return {"value": gain(np.arange(len(labels))), "low": low, "high": high}
