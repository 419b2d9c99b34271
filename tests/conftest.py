"""Small real inputs that several tests share."""

import fcntl
import os
import shutil
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from checkouts import (
    MAIN,
    MODELS,
    begin_from,
    copy_study,
    copy_workflow,
    lengthen,
    snakemake,
    write_config,
)
from forked import imports_uncollected


def encode(pixels: np.ndarray) -> bytes:
    """PNG bytes of an image (H, W, 3) uint8."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def pixels():
    """Six images (6, 10, 10, 3) uint8 of noise."""
    return np.random.default_rng(0).integers(0, 256, (6, 10, 10, 3), np.uint8)


@pytest.fixture
def parquet(tmp_path, pixels):
    """The six images in a Parquet file of three row groups, alternately of style a and b."""
    path = tmp_path / "images.parquet"
    table = pa.table(
        {
            "image": [
                {"bytes": encode(image), "path": f"{i}.png"} for i, image in enumerate(pixels)
            ],
            "kind": ["cat", "dog", "dog", "cat", "owl", "dog"],
            "number": [0, 1, 1, 0, 2, 1],
            "style": ["a", "b", "a", "b", "a", "b"],
        }
    )
    pq.write_table(table, path, row_group_size=2)
    return path


@pytest.fixture(scope="session")
def kitchen():
    """Small networks and the emoji they are trained on: a start and its good runs, trained once."""
    import torch

    from wrong_pools import Kitchen

    torch.set_num_threads(1)
    return Kitchen()


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A checkout in which the test study has been run as far as Table 3 and Figure 1.

    It is all tests': whoever changes something takes a copy.
    """

    def run(folder):
        copy_workflow(folder)
        done = snakemake(folder, *MAIN, "--configfile", "config/test.yaml")
        assert done.returncode == 0, done.stdout

    return made_once(tmp_path_factory, "study", run)


@pytest.fixture(scope="module")
def finished(study, tmp_path_factory):
    """A copy of the finished study that the tests of a module may change."""
    return copy_study(study, tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def long_runs(study, tmp_path_factory):
    """Run -> the bytes of the weights of three longer runs that nothing interrupted."""
    paths = {run: f"{MODELS}/{run}/weights.safetensors" for run in ("000", "001", "002")}

    def run(folder):
        begin_from(study, folder)
        config = write_config(folder, "long.yaml", lengthen)
        done = snakemake(folder, *paths.values(), "--configfile", config)
        assert done.returncode == 0, done.stdout

    folder = made_once(tmp_path_factory, "long", run)
    return {run: (folder / path).read_bytes() for run, path in paths.items()}


def made_once(tmp_path_factory, name, make):
    """A folder that is made by the first process of the tests that asks for it, for all of them."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # that of all processes
    folder, whole = root / name, root / f"{name}.whole"
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collecting imports the tests' modules, and with them all libraries."""
    with imports_uncollected():
        return (yield)


def pytest_collection_modifyitems(items):
    """Tests that run the real Snakefile are slow, and begin first: they take the longest. So are
    those that train the networks of `kitchen`."""
    for item in items:
        if hasattr(item.module, "snakemake") or "kitchen" in item.fixturenames:
            item.add_marker("slow")
    items.sort(
        key=lambda item: (
            item.get_closest_marker("slow") is None,
            item.path.name != LONGEST,
            item.path.name in BEGIN_WITH_THE_STUDY,
        )
    )


LONGEST = "test_slurm.py"
# Those that would wait for `study` while the longest makes it.
BEGIN_WITH_THE_STUDY = {
    *("test_appendix.py", "test_baselines.py", "test_failures.py", "test_methods.py"),
    *("test_seams.py", "test_trajectories.py", "test_workflow.py"),
}
