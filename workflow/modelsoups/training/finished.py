"""A run that is there already: its job is planned again, but would only make it again."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import modelsoups
from modelsoups.base.code import code_of, digest_of
from modelsoups.base.files import read_json
from modelsoups.weights.checkpoints import Checkpoint

logger = logging.getLogger(__name__)

PACKAGE = Path(modelsoups.__path__[0])
# Modules that lead to all that a run is made by.
STARTS = ("training/loop.py", "evaluation/best.py", "data/tasks.py")


def code_digest() -> str:
    """A digest of the modules that fine-tuning runs."""
    paths = code_of(*(PACKAGE / name for name in STARTS), package=PACKAGE)
    return digest_of(paths, PACKAGE)


def keep_finished(made: Mapping[str, str], identity: Mapping[str, Any]) -> bool:
    """Keep a run's files, as of now, if all are there, whole, and of the same run.

    Snakemake plans a run again when what it starts from is made again, equal or not. The files of
    another run are removed: a run that is being trained has none.

    Args:
        made: weights of the run, and of averages along it -> record.
        identity: fields of the records that say what the run is made of and by; hashes, not times.
    Returns:
        whether they are kept.
    """
    wanted = json.loads(json.dumps(identity))
    try:
        for weights in made:
            Checkpoint(weights)
        records = [read_json(record) for record in made.values()]
    except (OSError, ValueError):
        records = [{}]
    is_same = all({name: found.get(name) for name in wanted} == wanted for found in records)
    if is_same:
        logger.info("%s: kept, nothing that it is made of or by has changed", ", ".join(made))
    for path in map(Path, (*made.values(), *made)):
        os.utime(path) if is_same else path.unlink(missing_ok=True)
    return is_same
