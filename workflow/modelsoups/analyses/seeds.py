"""Runs that differ in their seed alone: soups and ensembles of 1..k of them (Figures B.2, G.4).

The calibrated soup and ensemble are "composed of models which are calibrated through temperature
scaling": each run's logits are divided by a temperature of its own, fitted on the held-out set. In
the soup that is a division of its head's weights and bias, before averaging.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from modelsoups.analyses.mixes import Mixer, Runs, score_rows
from modelsoups.analyses.parts import Parts, RowsOfPart
from modelsoups.evaluation.calibration import expected_calibration_error, fit_inverse_temperature
from modelsoups.evaluation.evaluator import EvaluationSet
from modelsoups.evaluation.failures import without_failures
from modelsoups.evaluation.logits import read_logits
from modelsoups.evaluation.statistics import bootstrap_error
from modelsoups.soups.ensembles import mean_of
from modelsoups.study.search import select_all

Files = Mapping[str, Path]  # run -> its logits on one data set


def choose_seeds(runs: Runs, match: Mapping[str, Any], files: Files) -> list[str]:
    """The runs that have these hyper-parameters and did not fail.

    Raises: ValueError if they are fewer than two.
    """
    matching = select_all(runs, match)
    kept, skipped = without_failures(matching, [files[run] for run in matching])
    if len(kept) < 2:
        failed = f", and failed {', '.join(skipped)}" if skipped else ""
        raise ValueError(
            f"expected at least two runs with {dict(match)}, found {', '.join(kept) or 'none'}"
            f"{failed}; loosen `match`, or add seeds to the sweep"
        )
    return kept


def study_seeds(
    mixer: Mixer,
    sets: Sequence[EvaluationSet],
    files: Mapping[str, Files],
    runs: Sequence[str],
    held_out: str,
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Metrics of the k-th run, and of the soup and ensemble of the first k runs, for every k.

    Args:
        mixer: has the runs' weights.
        sets: the held-out set, which temperatures are fitted on, and those reported.
        files: data set -> run -> its logits.
        runs: in the order they are added.
        held_out: name of the held-out set.
        parts: what is finished already; a part is all of one k on one data set.
    Returns: method (individual, soup, ensemble, calibrated soup, calibrated ensemble), k, run (of
        the individual), dataset, metric, value, n, right (of `score_rows`). Metric `ece_gain` is
        the ECE of the method minus the runs' mean ECE, `ece_excess` that of the soup minus the
        ensemble's, for the largest k, with the standard error over images in `error`.
    """
    parts = parts or Parts()
    betas = {run: inverse_temperature(files[held_out][run]) for run in runs}
    factors = {"soup": dict.fromkeys(runs, 1.0), "calibrated soup": betas}
    rows: RowsOfPart = []
    for k in tqdm(range(1, len(runs) + 1), unit="k", disable=None):
        missing = [each for each in sets if parts.find(each.dataset, str(k)) is None]
        soups: dict[str, dict[str, np.ndarray]] = {each.dataset: {} for each in missing}
        for method, of_heads in factors.items():
            equal = dict.fromkeys(runs[:k], 1 / k)
            heads = {run: of_heads[run] / k for run in equal}
            for each in missing:
                soups[each.dataset][method] = mixer.logits(each, equal, heads)
        for each in missing:
            paths = [files[each.dataset][run] for run in runs]
            found = {
                "individual": read_logits(paths[k - 1]).logits,
                **soups[each.dataset],
                **{
                    method.replace("soup", "ensemble"): scaled_mean(paths[:k], list(of.values()))
                    for method, of in factors.items()
                },
            }
            made = []
            for method, logits in found.items():
                run = runs[k - 1] if method == "individual" else ""
                about = {"method": method, "k": k, "run": run}
                made += score_rows(about, each.dataset, logits, each.labels)
                if k == len(runs) > 1 and method in ("soup", "ensemble"):
                    about |= {"dataset": each.dataset, "n": len(each.labels)}
                    singles = [read_logits(path).logits for path in paths]
                    others = {"ece_gain": singles}
                    others |= {"ece_excess": [found["ensemble"]]} if method == "soup" else {}
                    for metric, beside in others.items():
                        gain = ece_gain(logits, beside, each.labels)
                        made.append({**about, "metric": metric, **gain})
            parts.add(each.dataset, str(k), made)
        rows += [row for each in sets for row in parts.find(each.dataset, str(k)) or []]
    return pd.DataFrame(rows)


def scaled_mean(paths: Sequence[Path], factors: Sequence[float]) -> np.ndarray:
    """Mean of stored logits (n, C), each times its factor: float64."""
    return mean_of((read_logits(path).logits for path in paths), factors)


def inverse_temperature(path: Path) -> float:
    """The factor on a model's logits that fits the labels best, from its stored logits."""
    stored = read_logits(path)
    return fit_inverse_temperature(stored.logits, stored.labels)


def ece_gain(
    values: np.ndarray, singles: Sequence[np.ndarray], labels: np.ndarray
) -> dict[str, float]:
    """ECE of logits minus the mean ECE of others on the same images, with its standard error."""

    def gain(images: np.ndarray) -> float:
        each = [expected_calibration_error(single[images], labels[images]) for single in singles]
        return expected_calibration_error(values[images], labels[images]) - float(np.mean(each))

    error = bootstrap_error(gain, len(labels), num_resamples=300)
    return {"value": gain(np.arange(len(labels))), "error": error}
