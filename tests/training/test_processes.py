"""One process; tests/test_finetune.py has two that share a run."""

import os
import signal

import torch

from modelsoups.training.processes import Place, ignore_sigterm, join, noting_sigterm, split_up


def test_process_that_torchrun_did_not_start_is_the_only_one():
    place = join()
    assert place == Place(rank=0, num_processes=1)
    assert place.is_first
    assert place.any(False, True) == [False, True]
    assert place.mean(torch.tensor(3.0)) == 3


def test_run_that_asks_for_gpus_stays_one_process_without_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    split_up(8)  # would replace this process


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
