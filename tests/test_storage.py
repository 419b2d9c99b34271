"""The workflow with its files in a storage: a real S3 server on loopback."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checkouts import ROOT, copy_workflow

pytest.importorskip("snakemake_storage_plugin_s3")
pytest.importorskip("flask_cors")
boto3 = pytest.importorskip("boto3")
server = pytest.importorskip("moto.server")

TARGET = "results/data/tiny-test/32px/images.npy"  # three jobs
READ_EARLY = ("classes.csv", "prompts.txt")  # what the Snakefile itself reads
KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret"}

# Starts a job as a cloud does: in an empty folder and a bare environment.
SUBMIT = """#!/bin/sh
for script; do :; done
machine=$(mktemp -d {folder}/XXXXXX)
cp "$script" $machine/job.sh
cd $machine
env -i {variables} HOME=$machine sh -c 'sh job.sh > out 2>&1; echo $? > ended' > /dev/null 2>&1 &
echo $machine
"""
STATUS = """#!/bin/sh
case "$(cat $1/ended 2> /dev/null)" in 0) echo success;; "") echo running;; *) echo failed;; esac
"""


@pytest.fixture
def s3(monkeypatch):
    """A server, with a bucket that has the emoji; what is in it by name."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    moto = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    address = f"http://{host}:{port}"
    monkeypatch.setenv("SNAKEMAKE_STORAGE_S3_ENDPOINT_URL", address)
    bucket = boto3.resource("s3", endpoint_url=address, region_name="us-east-1").Bucket("soups")
    bucket.create()
    for name in ("emoji.parquet", "classes.csv"):
        path = f"resources/emoji/{name}"
        bucket.upload_file(str(ROOT / path), f"study/{path}")
    yield bucket
    bucket.objects.delete()  # the server's state is the process's
    moto.stop()


@pytest.fixture
def folder(tmp_path):
    """A clone without the emoji."""
    folder = copy_workflow(tmp_path / "clone")
    (folder / "resources").unlink()
    (folder / "resources/emoji").mkdir(parents=True)
    for name in READ_EARLY:
        shutil.copy(ROOT / "resources/emoji" / name, folder / "resources/emoji")
    return folder


def run(folder, *arguments):
    storage = ("--default-storage-provider", "s3", "--default-storage-prefix", "s3://soups/study")
    chosen = ("--configfile", "config/test.yaml", *storage, *arguments)
    return subprocess.run(
        [sys.executable, "-m", "snakemake", TARGET, *chosen],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def check(folder, bucket, done):
    assert done.returncode == 0, done.stdout
    there = {each.key: each.size for each in bucket.objects.filter(Prefix="study/results/data")}
    assert there[f"study/{TARGET}"] == 128 + 135 * 32 * 32 * 3  # NumPy's header, then pixels
    assert "study/results/data/tiny-test/record.json" in there
    assert not (folder / "results/data").exists()


@pytest.mark.slow
def test_data_set_is_made_in_a_storage(s3, folder):
    check(folder, s3, run(folder, "--cores", "2"))
    done = run(folder, "--cores", "2", "--dry-run")
    assert "Nothing to be done" in done.stdout, done.stdout


@pytest.mark.slow
def test_jobs_need_no_disk_in_common(s3, folder, tmp_path):
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    names = [*KEYS, "PATH", "PYTHONPATH", "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL"]
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    outside = [path for path in paths if not Path(path, "modelsoups").exists()]
    values = {**os.environ, "PYTHONPATH": os.pathsep.join(outside)}
    variables = " ".join(f"{name}={values[name]}" for name in names)
    (tmp_path / "machines").mkdir()
    for name, text in (("submit", SUBMIT), ("status", STATUS)):
        text = text.replace("{folder}", str(tmp_path / "machines"))
        (tmp_path / name).write_text(text.replace("{variables}", variables))
        (tmp_path / name).chmod(0o755)
    author = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    executor = [
        *("--executor", "cluster-generic", "--jobs", "2"),
        *("--cluster-generic-submit-cmd", str(tmp_path / "submit")),
        *("--cluster-generic-status-cmd", str(tmp_path / "status")),
        *("--shared-fs-usage", "none", "--job-deploy-sources"),
        *("--seconds-between-status-checks", "1"),
    ]
    check(folder, s3, run(folder, *executor))
    machines = [*(tmp_path / "machines").iterdir()]
    assert len(machines) == 2  # one of the three jobs is local
    assert not any((machine / "resources/emoji/emoji.parquet").exists() for machine in machines)
