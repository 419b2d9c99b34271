import sys

import pandas as pd
import pytest

from modelsoups.training.curves import KINDS

ROWS = [{"loss": 2.5 - i, "lr": 0.1 * (i + 1), "images_per_second": 100.0 + i} for i in range(3)]


def read_csv(folder):
    return pd.read_csv(folder / "curve.csv")


def read_events(folder):
    """Scalars of the one event file, as TensorBoard reads them."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    [file] = folder.glob("events.out.tfevents.*")
    events = reading.EventAccumulator(str(file))
    events.Reload()
    found = {name: events.Scalars(name) for name in events.Tags()["scalars"]}
    columns = {name: [each.value for each in scalars] for name, scalars in found.items()}
    steps = {tuple(each.step for each in scalars) for scalars in found.values()}
    return pd.DataFrame({"epoch": [*steps.pop()], **columns}) if found else pd.DataFrame()


READERS = {"csv": read_csv, "tensorboard": read_events}


@pytest.fixture(params=READERS)
def kind(request):
    if request.param == "tensorboard":
        pytest.importorskip("tensorboard")
    return request.param


def expected(rows):
    return pd.DataFrame(rows).assign(epoch=range(1, len(rows) + 1))


def test_curve_can_be_read_after_each_epoch(tmp_path, kind):
    watch = KINDS[kind](tmp_path)
    watch([])
    for stop in (1, 2, 3):
        watch(ROWS[:stop])
        found = READERS[kind](tmp_path)
        pd.testing.assert_frame_equal(found, expected(ROWS[:stop]), check_like=True, rtol=1e-6)


def test_run_that_goes_on_has_no_epoch_twice_and_none_that_was_lost(tmp_path, kind):
    first = KINDS[kind](tmp_path)
    first([])
    first([{**row, "loss": 9.0} for row in ROWS[:1]])  # lost: the state was saved before it
    first([{**row, "loss": 9.0} for row in ROWS[:2]])
    second = KINDS[kind](tmp_path)
    second(ROWS[:1])  # what the saved state has
    second(ROWS[:2])
    second(ROWS)
    found = READERS[kind](tmp_path)
    pd.testing.assert_frame_equal(found, expected(ROWS), check_like=True, rtol=1e-6)


def test_nothing_is_written_unless_asked_for(tmp_path):
    KINDS["nothing"](tmp_path)(ROWS)
    assert not [*tmp_path.iterdir()]


def test_missing_package_is_named_before_anything_is_removed(tmp_path, monkeypatch):
    old = tmp_path / "events.out.tfevents.1"
    old.touch()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="needs the package tensorboard .* or write csv"):
        KINDS["tensorboard"](tmp_path)
    assert old.exists()
