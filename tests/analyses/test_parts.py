"""What an interrupted analysis finds again: parts made of the same files, and no others."""

import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from modelsoups.analyses.parts import open_parts
from modelsoups.evaluation.logits import write_logits

PLAN = {"kind": "pairs", "num_pairs": 3}
ROWS = [{"value": 0.1, "n": 8}]


@pytest.fixture
def files(tmp_path):
    """Weights, code, and the arrays and logits of two data sets."""
    save_file({"a": torch.ones(2)}, tmp_path / "000.safetensors")
    (tmp_path / "mixes.py").write_text("one = 1\n")
    for dataset in ("photos", "toys"):
        np.save(tmp_path / f"{dataset}.npy", np.zeros(3))
        logits = tmp_path / f"{dataset}.parquet"
        write_logits(logits, np.eye(3), np.arange(3), {"weights": "abc"})
    return tmp_path


def open_again(folder, plan=PLAN):
    return open_parts(
        folder / "growth.parquet",
        plan,
        [folder / "000.safetensors", folder / "mixes.py"],
        {name: [folder / f"{name}.npy", folder / f"{name}.parquet"] for name in ("photos", "toys")},
    )


@pytest.fixture
def begun(files):
    """After a try that finished the same part of both data sets."""
    parts = open_again(files)
    assert parts.find("photos", "0") is None
    for dataset in ("photos", "toys"):
        assert parts.add(dataset, "0", ROWS) == ROWS
    return files


def found(parts) -> list[bool]:
    """Whether the part of either data set is there."""
    return [parts.find(dataset, "0") == ROWS for dataset in ("photos", "toys")]


def test_parts_of_the_same_job_are_found_again_in_a_hidden_file(begun):
    assert found(open_again(begun)) == [True, True]
    assert open_again(begun).find("photos", "1") is None
    assert [path.name for path in begun.glob(".growth*")] == [".growth.parquet.progress.jsonl"]


def test_files_made_again_that_came_out_the_same_keep_their_parts(begun):
    for path in begun.glob("*.*"):
        shutil.copy(path, begun / "copy")
        os.replace(begun / "copy", path)
        os.utime(path, (1e9, 1e9))
    assert found(open_again(begun)) == [True, True]


@pytest.mark.parametrize("change", ["weights", "code", "plan"])
def test_parts_of_other_weights_code_or_plans_are_made_again(begun, change):
    if change == "weights":
        save_file({"a": torch.zeros(2)}, begun / "000.safetensors")
    elif change == "code":
        (begun / "mixes.py").write_text("one = 2\n")
    plan = {**PLAN, "num_pairs": 4} if change == "plan" else PLAN
    assert found(open_again(begun, plan)) == [False, False]


@pytest.mark.parametrize("change", ["arrays", "logits"])
def test_parts_of_a_data_set_that_changed_are_made_again_and_no_others(begun, change):
    if change == "arrays":
        np.save(begun / "toys.npy", np.ones(3))
    else:
        write_logits(begun / "toys.parquet", np.eye(3), np.arange(3), {"weights": "def"})
    assert found(open_again(begun)) == [True, False]


def test_no_file_is_left_among_the_code(begun):
    assert not list(begun.glob(".mixes.py*"))
