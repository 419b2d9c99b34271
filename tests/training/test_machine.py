from collections import namedtuple

import pytest
import torch
from torch._inductor import config as inductor

from modelsoups.training import machine
from modelsoups.training.machine import check_shared_memory, deterministic


def flags():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        inductor.deterministic,
    )


def test_kernels_on_a_gpu_are_deterministic_for_as_long_as_a_run_takes(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is put back
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    before = flags()
    with pytest.raises(KeyboardInterrupt), deterministic(torch.device("cuda")):
        assert flags() == (True, True, False, True)
        raise KeyboardInterrupt
    assert flags() == before


def test_nothing_is_switched_on_a_cpu():
    before = flags()
    with deterministic(torch.device("cpu")):
        assert flags() == before


def test_too_little_shared_memory_is_an_error_before_a_worker_dies_of_it(monkeypatch):
    """A container's 64 MiB against 15 workers and batches of 512 images of 224 pixels."""
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: usage(64 * 2**20))
    image = 3 * 224 * 224
    with pytest.raises(
        ValueError, match=r"15 workers .* need 2,278 MiB .* found 64 MiB free; .*shm"
    ):
        check_shared_memory(15, 512 * image)
    check_shared_memory(15, 8 * image)
    check_shared_memory(0, 512 * image)


def test_a_machine_that_has_no_such_folder_is_not_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "SHARED_MEMORY", tmp_path / "shm")
    check_shared_memory(1000, 2**40)
