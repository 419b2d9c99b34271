import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from modelsoups.models import gpus
from modelsoups.models.gpus import VISIBLE, take_gpus, visible_gpus

TAKE = """
import os, sys
from modelsoups.models.gpus import take_gpus
take_gpus(int(sys.argv[1]))
take_gpus(int(sys.argv[1]))  # what it has is enough
if sys.argv[2:]:  # as a run of several GPUs becomes torchrun
    os.environ["LOCAL_RANK"] = "0"
    os.execv(sys.executable, [sys.executable, "-c", SHOW])
exec(SHOW)
"""
SHOW = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True); input()"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in (VISIBLE, *gpus.GIVEN_BY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gpus, "_held", {})


@pytest.fixture
def job(tmp_path):
    """Start a process that takes GPUs and waits; it, and what it then sees."""
    with ExitStack() as stack:

        def start(num_gpus, *replaced, **variables):
            process = subprocess.Popen(
                [sys.executable, "-c", f"SHOW = {SHOW!r}\n{TAKE}", str(num_gpus), *replaced],
                env={**os.environ, "TMPDIR": str(tmp_path), **variables},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process, process.stdout.readline().strip()

        yield start


def test_gpus_are_numbered_from_0_or_named_by_the_variable(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    assert visible_gpus() == []
    for name in ("nvidia3", "nvidia5", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert visible_gpus() == ["0", "1"]
    for given, names in [("2, GPU-8c", ["2", "GPU-8c"]), ("", []), ("1,-1,0", ["1"])]:
        monkeypatch.setenv(VISIBLE, given)
        assert visible_gpus() == names


def test_jobs_side_by_side_take_gpus_of_their_own_and_leave_them_at_their_end(job):
    given = {VISIBLE: "4,GPU-8c,7"}
    first, seen = job(1, **given)
    assert seen == "4"
    assert job(2, **given)[1] == "GPU-8c,7"
    first.kill()
    first.wait()
    assert job(1, **given)[1] == "4"


def test_gpus_are_kept_when_a_run_becomes_torchrun(job):
    given = {VISIBLE: "0,1,2"}
    assert job(2, "replaced", **given)[1] == "0,1"
    assert job(1, **given)[1] == "2"


def test_a_job_too_many_shares_a_gpu_and_says_so(job):
    given = {VISIBLE: "3"}
    job(1, **given)
    process, seen = job(1, **given)
    assert seen == "3"
    assert "this one shares 3" in process.communicate("\n")[1]


def test_what_slurm_gave_is_kept(job):
    given = {VISIBLE: "0,1", "SLURM_JOB_ID": "7"}
    assert [job(1, **given)[1] for _ in range(2)] == ["0,1", "0,1"]


def test_nothing_is_taken_where_no_gpu_is_or_none_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    take_gpus(1)
    (tmp_path / "nvidia0").touch()
    take_gpus(0)
    assert VISIBLE not in os.environ
    assert gpus._held == {}
