"""The diagnosis of a pool of the workflow: from its files, with what is stored already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelsoups.base.files import read_json
from modelsoups.data.examples import Examples
from modelsoups.diagnosis.diagnose import Diagnosis, Known, diagnose
from modelsoups.diagnosis.held_out import estimate_on, evaluate_on, scores_of
from modelsoups.evaluation.evaluator import Evaluator, sample
from modelsoups.evaluation.failures import why_no_logits
from modelsoups.evaluation.logits import read_logits
from modelsoups.soups.ensembles import mean_of
from modelsoups.soups.pool import HeldOut

MAX_EXAMPLES = 1_000  # of the held-out set, a seeded sample

Files = Mapping[str, Path]


def diagnose_pool(
    evaluator: Evaluator,
    examples: Examples,
    labels: np.ndarray,
    *,
    weights: Files,
    logits: Files,
    initialization: Path | None = None,
    soups: Files | None = None,
    records: Files | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Diagnosis:
    """Diagnose a pool on a sample of the held-out set.

    Args:
        examples, labels: of the whole held-out set.
        weights, logits: model of the pool -> its file; logits on the held-out set. The start may be
            among them.
        initialization: weights that all models started from, if there are such.
        soups: recipe -> the held-out logits of its soup. records: recipe -> its record.
        settings: run -> hyper-parameters.
    """
    chosen = sample(len(labels), MAX_EXAMPLES)
    held_out = HeldOut(evaluator, examples.take(chosen), labels[chosen])
    models = {name: path for name, path in weights.items() if path != initialization}
    evaluated = [name for name in models if why_no_logits(logits[name]) is None]
    stored = {name: read_logits(logits[name]).logits[chosen] for name in evaluated}
    known = Known(
        alone={name: scores_of(each, held_out.labels) for name, each in stored.items()},
        predictions={name: each.argmax(axis=1) for name, each in stored.items()},
        labels=held_out.labels,
        ensemble=lambda names: scores_of(mean_of(stored[name] for name in names), held_out.labels),
        soups={
            name: scores_of(read_logits(path).logits[chosen], held_out.labels)
            for name, path in (soups or {}).items()
        },
        settings=settings or {},
        decisions=read_decisions(records or {}),
    )
    return diagnose(
        models,
        evaluate_on(held_out),
        initialization=initialization,
        estimate=estimate_on(held_out),
        known=known,
    )


def read_decisions(records: Files) -> dict[str, dict[str, str]]:
    """Model -> recipe -> what became of it, from the records of recipes that try one by one."""
    found: dict[str, dict[str, str]] = {}
    for recipe, path in records.items():
        for each in read_json(path)["candidates"]:
            if "score" not in each:
                continue
            score, limit = each["score"], ""
            if score is None:
                score, limit = each["bound"], "at most "
            text = f"{each['decision']}, the soup in question scoring {limit}{100 * score:.1f} %"
            found.setdefault(each["name"], {}).setdefault(recipe, text)
    return found
