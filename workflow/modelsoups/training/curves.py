"""Curves of a run as it goes, for whoever watches it: CSV, or TensorBoard's event files.

They are written beside the run's weights, from the curve that its saved state has: a run that goes
on writes its epochs so far anew, so that none stands there twice and none that was lost is left.
No output of a rule: whether they are written makes no finished run anew.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from modelsoups.base.files import publish

Row = Mapping[str, float]
Watch = Callable[[Sequence[Row]], None]  # called with all epochs so far: at the start, after each

COLUMNS = ("loss", "lr", "images_per_second")
EVENTS = "events.out.tfevents.*"


def watch_csv(folder: Path) -> Watch:
    """Write `curve.csv`, whole each time: a row an epoch, numbered from 1."""

    def watch(curve: Sequence[Row]) -> None:
        table = pd.DataFrame(curve, columns=[*COLUMNS])
        table.insert(0, "epoch", range(1, len(curve) + 1))
        with publish(folder / "curve.csv") as draft:
            table.to_csv(draft, index=False)

    return watch


def watch_tensorboard(folder: Path) -> Watch:
    """Write an event file with a step an epoch, numbered from 1, in place of those that are there.

    Raises:
        ValueError: the package tensorboard, which torch's writer needs, is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            f"curves: tensorboard needs the package tensorboard ({error}); install it, or write csv"
        ) from error
    for old in folder.glob(EVENTS):
        old.unlink()
    # A TensorBoard that has read the old file drops its steps from 0 on.
    writer = SummaryWriter(str(folder), purge_step=0)
    written = 0

    def watch(curve: Sequence[Row]) -> None:
        nonlocal written
        for epoch, row in enumerate(curve[written:], written + 1):
            for name in COLUMNS:
                writer.add_scalar(name, row[name], epoch)
        written = len(curve)
        writer.flush()

    return watch


KINDS: dict[str, Callable[[Path], Watch]] = {
    "nothing": lambda folder: lambda curve: None,
    "csv": watch_csv,
    "tensorboard": watch_tensorboard,
}
