"""Why a table or figure could not be made: asked before anything runs.

Each function returns sentences that say what is missing, none if nothing is.
"""

from collections.abc import Mapping
from typing import Any

from modelsoups.study.search import pairs_below, select_all
from modelsoups.study.study import Study


def needs_initialization(study: Study, sweep: str) -> list[str]:
    """Unless all runs of a sweep or pool start from one model that is in the study."""
    if study.initialization_of(sweep) is not None:
        return []
    return [f"{sweep} has no initialization, which all of its runs start from"]


def needs_runs(study: Study, sweep: str) -> list[str]:
    """Unless a sweep or pool has a run, of which the best one is what all else is compared with."""
    if "run" in study.kinds_of(sweep).values():
        return []
    return [f"{sweep} has no run, of which the best is what soups are compared with"]


def needs_settings(study: Study, sweep: str) -> list[str]:
    """Unless the runs of a sweep have hyper-parameters that the study knows."""
    if sweep in study.runs:
        return []
    known = ", ".join(study.runs) or "none"
    return [
        f"needs the hyper-parameters of the runs of {sweep}, which only sweeps have that are "
        f"fine-tuned here: {known}"
    ]


def needs_run(study: Study, sweep: str, match: Mapping[str, Any]) -> list[str]:
    """Unless one run of a sweep has these hyper-parameters."""
    if missing := needs_settings(study, sweep):
        return missing
    found = select_all(study.runs[sweep], match)
    if len(found) == 1:
        return []
    return [f"expected one run of {sweep} with {dict(match)}, found {', '.join(found) or 'none'}"]


def needs_seeds(study: Study, sweep: str, match: Mapping[str, Any]) -> list[str]:
    """Unless the runs with these hyper-parameters are two or more, and differ in the seed alone."""
    if missing := needs_settings(study, sweep):
        return missing
    runs = study.runs[sweep]
    found = select_all(runs, match)
    if len(found) < 2:
        return [
            f"expected runs of {sweep} with {dict(match)} that differ in their seed, found "
            f"{', '.join(found) or 'none'}"
        ]
    others = sorted(
        name
        for name in vars(runs[found[0]])
        if name != "seed" and len({getattr(runs[run], name) for run in found}) > 1
    )
    if not others:
        return []
    return [
        f"runs of {sweep} with {dict(match)} differ not in the seed alone, but in "
        f"{', '.join(others)}; name their values under `match`"
    ]


def needs_pairs(study: Study, sweep: str, below_lr: float, pairs: str) -> list[str]:
    """Unless two runs of a sweep are below a learning rate (and, `one`, differ in one thing)."""
    if missing := needs_settings(study, sweep):
        return missing
    if pairs_below(study.runs[sweep], below_lr, pairs)[1]:
        return []
    return [
        f"no two runs of {sweep} have learning rates below {below_lr}"
        + (" and differ in one hyper-parameter" if pairs == "one" else "")
    ]
