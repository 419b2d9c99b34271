"""The diagnosis of a pool of the workflow: from its files, with what is stored already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelsoups.base.files import read_json
from modelsoups.diagnosis.diagnose import Diagnosis, Known, diagnose
from modelsoups.diagnosis.held_out import estimate_on, evaluate_on, scores_of
from modelsoups.diagnosis.trials import Scores
from modelsoups.evaluation.evaluator import sample
from modelsoups.evaluation.failures import why_no_logits
from modelsoups.evaluation.logits import read_logits
from modelsoups.soups.ensembles import mean_of
from modelsoups.soups.pool import HeldOut

MAX_EXAMPLES = 1_000  # of the held-out set, a seeded sample

Files = Mapping[str, Path]


def diagnose_pool(
    whole: HeldOut,
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
        whole: the held-out set.
        weights, logits: model of the pool -> its file; logits on the held-out set. The start may be
            among them.
        initialization: weights that all models started from, if there are such.
        soups: recipe -> the held-out logits of its soup. records: recipe -> its record.
        settings: run -> hyper-parameters.
    """
    held_out, chosen = sample_of(whole)
    targets = held_out.labels
    models = {name: path for name, path in weights.items() if path != initialization}
    evaluated = [name for name in models if why_no_logits(logits[name]) is None]
    stored = {name: read_logits(logits[name]).logits[chosen] for name in evaluated}

    def scores(outputs: np.ndarray) -> Scores:
        return scores_of(outputs, targets, held_out.reports)

    of_classes = held_out.kind == "class"
    known = Known(
        alone={name: scores(each) for name, each in stored.items()},
        predictions={name: each.argmax(axis=1) for name, each in stored.items() if of_classes},
        labels=targets if of_classes else None,
        ensemble=None
        if held_out.kind == "score"
        else lambda names: scores(mean_of(stored[name] for name in names)),
        soups={
            name: scores(read_logits(path).logits[chosen]) for name, path in (soups or {}).items()
        },
        settings=settings or {},
        decisions=read_decisions(records or {}),
    )
    return diagnose(
        models,
        evaluate_on(held_out),
        initialization=initialization,
        estimate=None if held_out.kind == "score" else estimate_on(held_out),
        known=known,
    )


def sample_of(whole: HeldOut) -> tuple[HeldOut, np.ndarray]:
    """A seeded sample of a held-out set, and its numbers; all that a user's evaluator looks at."""
    if whole.kind == "score":
        return whole, np.arange(len(whole))
    chosen = sample(len(whole), MAX_EXAMPLES)
    return HeldOut(whole.evaluator, whole.examples.take(chosen), whole.labels[chosen]), chosen


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
            shown = f"{100 * score:.1f} %" if 0 <= score <= 1 else f"{score:.4g}"
            text = f"{each['decision']}, the soup in question scoring {limit}{shown}"
            found.setdefault(each["name"], {}).setdefault(recipe, text)
    return found
