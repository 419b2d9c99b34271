"""The benchmark of the GPU path goes through all its lines on a CPU, at toy size."""

import json
import os
import subprocess
import sys

import pytest

from checkouts import ROOT

OPTIONS = ["--device", "cpu", "--tiny", "--minutes", "60", "--json"]


@pytest.mark.slow
def test_gpu_benchmark_checks_and_times_everything_on_a_cpu(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/gpu.py", *OPTIONS, tmp_path / "gpu.json"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    rows = {row["what"]: row for row in json.loads((tmp_path / "gpu.json").read_text())["rows"]}
    assert rows["weights that differ when a run is resumed"]["ok"]
    for name in ("training, both, augmented by device", "greedy of 3, tf32", "learned, streamed"):
        assert rows[name]["value"] > 0
    assert not list(tmp_path.glob("modelsoups-gpu-*"))
