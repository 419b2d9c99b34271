"""Logging for scripts: one file a job, which also receives the error that ends it."""

import logging
import sys
from pathlib import Path


def log_to(path: str | Path) -> None:
    """Send this process's log records, warnings and an uncaught exception to a file."""
    logging.basicConfig(
        filename=path,
        encoding="utf-8",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    logging.captureWarnings(True)
    default_hook = sys.excepthook

    def log_and_raise(kind, error, traceback):
        logging.critical("failed", exc_info=(kind, error, traceback))
        default_hook(kind, error, traceback)

    sys.excepthook = log_and_raise
