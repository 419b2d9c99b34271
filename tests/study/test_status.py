import math
import os

import pytest

from modelsoups.base.files import write_json
from modelsoups.study.status import RunStatus, read_run, sum_up, to_text

EPOCHS = """2026-11-26 12:00:00,1 INFO s 003 epoch 1/4: loss 2.5000, 100 images/s
2026-11-26 12:01:00,1 INFO s 003 epoch 2/4: loss 1.2500, 300 images/s
"""
FAILED = """2026-11-26 12:02:00,1 CRITICAL failed
Traceback (most recent call last):
FloatingPointError: s 003: the loss is nan in epoch 3 of 4
"""
STOPPED = """2026-11-26 12:02:00,1 CRITICAL failed
Traceback (most recent call last):
modelsoups.training.processes.Terminated: s 003: SIGTERM came; saved in resume.pt
"""
INTERRUPTED = """2026-11-26 12:02:00,1 CRITICAL failed
Traceback (most recent call last):
KeyboardInterrupt
"""


@pytest.fixture
def read(tmp_path):
    """How far a run of four epochs is whose log has this text, and that was written just now."""

    def read(text=None, record=None, silent=0):
        log = tmp_path / "run.log"
        if text is not None:
            log.write_text(text)
            os.utime(log, (1000, 1000))
        if record is not None:
            write_json(tmp_path / "record.json", record)
        return read_run("s", "003", 4, tmp_path / "record.json", log, now=1000 + silent)

    return read


def test_run_without_a_log_waits(read):
    assert read() == RunStatus(sweep="s", run="003", state="waiting", epochs=4)


def test_running_run_is_as_far_as_its_log_says(read):
    status = read(EPOCHS)
    assert (status.state, status.epochs_done, status.loss) == ("running", 2, 1.25)
    assert status.images_per_second == pytest.approx(150)  # as many images at 100 as at 300


def test_run_that_begins_runs_without_an_epoch(read):
    status = read("INFO hello\n")
    assert (status.state, status.epochs_done) == ("running", 0)
    assert math.isnan(status.loss)


def test_run_that_goes_on_has_the_epochs_of_its_earlier_attempts(read):
    resumed = "2026-11-26 12:02:00,1 INFO going on from a b/resume.pt: epoch 3, step 5\n"
    assert read(resumed).epochs_done == 2
    assert "running: s 003, 2 of 4 epochs" in to_text("a study", {}, [read(resumed)], {})
    assert "nan" not in to_text("a study", {}, [read(resumed)], {})
    assert read(resumed + EPOCHS.replace(" 2/4", " 3/4")).epochs_done == 3


@pytest.mark.parametrize(
    ("text", "silent", "state", "reason"),
    [
        (EPOCHS + FAILED, 0, "failed", "the loss is nan"),
        (EPOCHS + STOPPED, 0, "stopped", "SIGTERM came"),
        (EPOCHS + INTERRUPTED, 0, "stopped", "KeyboardInterrupt"),
        (EPOCHS, 3 * 3600, "stopped", "silent for 3 hours"),
    ],
)
def test_run_that_does_not_go_on_says_why(read, text, silent, state, reason):
    status = read(text, silent=silent)
    assert (status.state, status.epochs_done) == (state, 2)
    assert reason in status.reason


def test_finished_run_is_as_its_record_says_whatever_the_log(read):
    curve = [{"loss": 2.0, "images_per_second": 50.0}] * 4
    status = read(FAILED, record={"curve": curve, "processes": 2})
    assert (status.state, status.epochs_done, status.images_per_second) == ("done", 4, 50)
    assert status.processes == 2


def test_run_that_was_skipped_failed(read):
    status = read(record={"curve": [], "failure": "the loss is nan"})
    assert (status.state, status.reason) == ("failed", "the loss is nan")


def run(state, done, speed=0.0):
    return RunStatus(
        sweep="s", run="000", state=state, epochs=4, epochs_done=done, images_per_second=speed
    )


def test_hours_spent_and_left_are_those_of_the_speed_seen():
    runs = [run("done", 4, 100.0), run("running", 2, 50.0), run("waiting", 0)]
    sweep = sum_up(runs, num_images=3600)
    assert sweep.counts == {"done": 1, "running": 1, "waiting": 1}
    assert (sweep.epochs_done, sweep.epochs) == (6, 12)
    assert sweep.hours_spent == pytest.approx(4 * 36 / 3600 + 2 * 72 / 3600)
    assert sweep.images_per_second == pytest.approx(6 * 3600 / (4 * 36 + 2 * 72))
    assert sweep.hours_left == pytest.approx(6 * 3600 / 75 / 3600)


def test_before_any_epoch_the_configs_guess_is_taken():
    sweep = sum_up([run("waiting", 0)], num_images=900, images_per_second=10.0)
    assert (sweep.hours_spent, sweep.hours_left) == (0, pytest.approx(4 * 900 / 10 / 3600))


def test_failed_run_has_nothing_left():
    assert sum_up([run("failed", 1)], num_images=900, images_per_second=10.0).hours_left == 0


def test_text_has_a_row_a_sweep_and_a_line_for_each_run_that_is_not_waiting_or_done():
    runs = [run("done", 4, 100.0), run("running", 2, 50.0), run("failed", 1, 50.0)]
    text = to_text("mine", {"s": sum_up(runs, 3600)}, runs, {"soups": (1, 7)}, now=0)
    lines = text.splitlines()
    assert lines[0] == "Status of the study: mine"
    assert lines[2].split() == ["s", "1", "1", "0", "0", "1", "7/12", "70", "0.10", "0.03"]
    assert "soups: 1 of 7" in lines
    assert sum(line.startswith(("running: s", "failed: s")) for line in lines) == 2
    assert "With 1 at a time the runs are done in 0.03 hours" in lines[-1]
