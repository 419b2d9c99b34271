"""The processes themselves; test_loop.py has two that share a run."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from torch.distributed.run import parse_args

from modelsoups.training.processes import (
    Process,
    ignore_sigterm,
    join,
    noting_sigterm,
    split_up,
    torchrun_options,
)


def test_process_that_torchrun_did_not_start_is_the_only_one():
    process = join()
    assert process == Process(rank=0, num_processes=1)
    assert process.is_first
    assert process.any(False, True) == [False, True]
    assert process.mean(torch.tensor(3.0)) == 3
    assert process.from_first(lambda: "made") == "made"
    process.wait()


RANK = """
import json, sys, time
from pathlib import Path
import torch
from modelsoups.training.processes import join
process, folder = join(), Path(sys.argv[1])

def make():
    (folder / f"made by {process.rank}").touch()
    return {"start": "abc"}

found = {
    "from_first": process.from_first(make),
    "mean": process.mean(torch.tensor(float(process.rank))).item(),
    "any": process.any(process.rank == 1, False),
}
if process.is_first:
    time.sleep(0.5)
    (folder / "late").touch()
process.wait()
found["waited"] = (folder / "late").exists()
(folder / f"{process.rank}.json").write_text(json.dumps(found))
"""


@pytest.mark.slow
def test_two_processes_answer_alike(tmp_path):
    (tmp_path / "rank.py").write_text(RANK)
    torchrun = [sys.executable, "-m", "torch.distributed.run", *torchrun_options(2)]
    done = subprocess.run(
        [*torchrun, str(tmp_path / "rank.py"), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    wanted = {"from_first": {"start": "abc"}, "mean": 0.5, "any": [True, False], "waited": True}
    assert json.loads((tmp_path / "0.json").read_text()) == wanted
    assert json.loads((tmp_path / "1.json").read_text()) == wanted
    assert [path.name for path in tmp_path.glob("made*")] == ["made by 0"]


def test_run_that_asks_for_gpus_stays_one_process_without_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    split_up(8)  # would replace this process


@pytest.fixture
def torchrun(monkeypatch):
    """What torchrun makes of the command that a run for four GPUs becomes where there are two."""
    started = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(os, "execv", lambda program, command: started.append(command))
    monkeypatch.setattr(sys, "argv", ["finetune_run.py", "--flag"])
    split_up(4)
    [[program, dash, module, *arguments]] = started
    assert [program, dash, module] == [sys.executable, "-m", "torch.distributed.run"]
    return parse_args(arguments)


def test_run_becomes_a_process_for_each_gpu_on_loopback(torchrun):
    assert torchrun.nproc_per_node == "2"
    assert torchrun.local_addr == "127.0.0.1"
    assert torchrun.rdzv_endpoint == "127.0.0.1:0"
    assert [torchrun.training_script, *torchrun.training_script_args] == sys.argv


def test_torchrun_leaves_the_time_for_saving_to_slurm(torchrun):
    """By itself it kills its processes 30 s after SIGTERM; docs/cluster.md asks for 120 s."""
    assert torchrun.shutdown_timeout >= 1800


def test_sigterm_is_noted_in_the_block_and_has_its_former_effect_after():
    before = signal.getsignal(signal.SIGTERM)
    with noting_sigterm() as sigterm:
        assert not sigterm
        os.kill(os.getpid(), signal.SIGTERM)
        assert sigterm
    assert signal.getsignal(signal.SIGTERM) is before


def test_process_that_augments_outlives_sigterm():
    if (child := os.fork()) == 0:
        ignore_sigterm()
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
