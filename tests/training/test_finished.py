import os

import pytest
import torch

from modelsoups.base.files import write_json
from modelsoups.training.finished import code_digest, keep_finished
from modelsoups.weights.checkpoints import write_weights

IDENTITY = {"spec": {"lr": 1.0, "augmentation": "minimal"}, "inputs": {"start": "abc"}, "code": "1"}


@pytest.fixture
def made(tmp_path):
    """The files of a run, made an hour ago."""
    paths = tmp_path / "weights.safetensors", tmp_path / "record.json"
    write_weights(paths[0], {"head.bias": torch.arange(3.0)})
    write_json(paths[1], {**IDENTITY, "curve": [{"loss": 1.0}]})
    for path in paths:
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    return paths


def pair(made):
    return {str(made[0]): str(made[1])}


def test_run_without_one_of_its_averages_is_removed(made, tmp_path):
    average = {f"{tmp_path}/average.safetensors": f"{tmp_path}/average.json"}
    assert not keep_finished({**pair(made), **average}, IDENTITY)
    assert not any(path.exists() for path in made)


def test_same_run_is_kept_as_of_now(made):
    before = [path.read_bytes() for path in made]
    began = made[0].stat().st_mtime
    assert keep_finished(pair(made), IDENTITY)
    assert [path.read_bytes() for path in made] == before
    assert all(path.stat().st_mtime > began + 3000 for path in made)


@pytest.mark.parametrize("field", list(IDENTITY))
def test_another_run_is_removed(made, field):
    assert not keep_finished(pair(made), {**IDENTITY, field: "another"})
    assert not any(path.exists() for path in made)


@pytest.mark.parametrize("missing", [0, 1])
def test_half_of_a_run_is_removed(made, missing):
    made[missing].unlink()
    assert not keep_finished(pair(made), IDENTITY)
    assert not any(path.exists() for path in made)


def test_cut_weights_are_removed(made):
    made[0].write_bytes(made[0].read_bytes()[:-1])
    assert not keep_finished(pair(made), IDENTITY)
    assert not any(path.exists() for path in made)


def test_nothing_there_is_no_finished_run(tmp_path):
    assert not keep_finished({f"{tmp_path}/weights": f"{tmp_path}/record.json"}, IDENTITY)


def test_tuples_of_an_identity_equal_the_lists_of_a_record(made):
    write_json(made[1], {"size": [3, 4]})
    assert keep_finished(pair(made), {"size": (3, 4)})


def test_digest_is_of_the_modules_that_train():
    assert code_digest() == code_digest()
    assert len(code_digest()) == 16
