"""Runs that failed and are skipped (a sweep's `on_failure: skip`): their files say so.

Snakemake needs every run's files, so a skipped run has them too: weights without a tensor and
logits without an image, each with the reason in its metadata. Soups, ensembles and scores leave
such runs out, and records name them. No torch: scores are computed without.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelsoups.evaluation.logits import read_metadata, write_logits

logger = logging.getLogger(__name__)


def write_no_logits(path: str | Path, failure: str, metadata: Mapping[str, Any]) -> None:
    """Write the logits of a run that failed: of no image, with the reason."""
    none = np.empty((0, 1), np.float32)
    write_logits(path, none, np.empty(0, np.int64), {**metadata, "failure": failure})


def why_no_logits(path: str | Path) -> str | None:
    """The reason why a run failed, from its logits; None if it did not."""
    return read_metadata(path).get("failure")


def without_failures(
    names: Sequence[str], logits: Sequence[str | Path]
) -> tuple[list[str], dict[str, str]]:
    """Names of the models that did not fail, and of those that did with the reason.

    Args: logits: of each model, on any data set.
    Raises: ValueError if all failed.
    """
    reasons = {name: why_no_logits(path) for name, path in zip(names, logits, strict=True)}
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    if names and len(skipped) == len(names):
        raise ValueError(
            f"expected models to choose from, but all {len(names)} failed; {names[0]}: "
            f"{skipped[names[0]]}"
        )
    for name, reason in skipped.items():
        logger.warning("%s is left out: %s", name, reason)
    return [name for name in names if name not in skipped], skipped
