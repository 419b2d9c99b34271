"""Small real inputs that several tests share."""

from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from checkouts import MAIN, MODELS, begin_from, copy_workflow, lengthen, snakemake, write_config


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
def study(tmp_path_factory):
    """A checkout in which the test study has been run as far as Table 3 and Figure 1."""
    folder = copy_workflow(tmp_path_factory.mktemp("study"))
    done = snakemake(folder, *MAIN, "--configfile", "config/test.yaml")
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture(scope="session")
def long_runs(study, tmp_path_factory):
    """Run -> the bytes of the weights of three longer runs that nothing interrupted."""
    folder = begin_from(study, tmp_path_factory.mktemp("long"))
    paths = {run: f"{MODELS}/{run}/weights.safetensors" for run in ("000", "001", "002")}
    config = write_config(folder, "long.yaml", lengthen)
    done = snakemake(folder, *paths.values(), "--configfile", config)
    assert done.returncode == 0, done.stdout
    return {run: (folder / path).read_bytes() for run, path in paths.items()}
