"""Files of torch.save: what scripts store beside weights is read, and nothing in it is run."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from modelsoups.weights.torch_files import Unknown, read_torch


class Callback:
    """A class of a training script, which the reader does not have."""

    def __init__(self):
        self.best = 0.5


class Calls:
    """An object that is read by calling a function."""

    def __init__(self, function, *arguments):
        self.made_by = function, arguments

    def __reduce__(self):
        return self.made_by


def test_arguments_of_a_training_script_are_read(tmp_path):
    args = argparse.Namespace(model="resnet18", mean=None, output=Path("runs"))
    torch.save({"state_dict": {"w": torch.ones(2)}, "args": args}, tmp_path / "a.pth.tar")
    found = read_torch(tmp_path / "a.pth.tar")
    assert found["args"].model == "resnet18"
    assert found["state_dict"]["w"].tolist() == [1, 1]


@pytest.mark.parametrize("before_numpy_2", [True, False])
def test_metrics_of_numpy_are_read(tmp_path, before_numpy_2):
    metrics = {"best": np.float64(0.75), "epoch": np.int64(3), "history": np.array([0.5, 0.75])}
    torch.save(
        {"w": torch.ones(1), **metrics}, tmp_path / "a", _use_new_zipfile_serialization=False
    )
    if before_numpy_2:
        written = (tmp_path / "a").read_bytes()
        (tmp_path / "a").write_bytes(written.replace(b"numpy._core", b"numpy.core"))
    found = read_torch(tmp_path / "a")
    assert (found["best"], found["epoch"], found["history"].tolist()) == (0.75, 3, [0.5, 0.75])


@pytest.mark.parametrize("zipped", [True, False])
def test_object_of_a_class_that_is_not_known_is_inert(tmp_path, zipped):
    content = {"callbacks": [Callback(), Callback()], "w": torch.ones(1)}
    torch.save(content, tmp_path / "a.ckpt", _use_new_zipfile_serialization=zipped)
    found = read_torch(tmp_path / "a.ckpt")
    assert isinstance(found["callbacks"][0], Unknown)
    assert not isinstance(found["callbacks"][0], Callback)
    assert found["callbacks"][0].state == {"best": 0.5}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("function", "named"),
    [
        (os.system, "posix.system"),
        (eval, "eval"),
        (Callback, "Callback"),
        (np.load, "numpy.load"),
        (torch.hub.load, "torch.hub.load"),
    ],
)
def test_file_that_calls_something_is_refused_by_name(tmp_path, function, named, zipped):
    path = tmp_path / "bad.pt"
    argument = f"touch {tmp_path}/ran"
    content = {"w": torch.ones(1), "x": Calls(function, argument)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=rf"bad.pt: expected .*{named}.*model.state_dict\(\)"):
        read_torch(path)
    assert not (tmp_path / "ran").exists()
