"""Snakemake and the scripts of its jobs, each in a fork of one process that has the libraries.

A study of a few images has dozens of jobs, and most of the time of each goes to importing torch,
timm and Snakemake. For tests alone. What is forked has nothing of this package imported, and runs
the same scripts with the same inputs, working folder and environment as a process of its own would.
The tests on SLURM run the same study in such, and compare the tables; whatever is killed or frozen
in a test is one, too. With FRESH=1 in the environment, all are; a test sets it whose variables a
library reads when it is imported.

    python tests/forked.py ADDRESS    serves at that socket until the process that started it ends
"""

import atexit
import gc
import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from socketserver import BaseRequestHandler, ForkingMixIn, UnixStreamServer

LIBRARIES = (
    *("matplotlib.figure", "open_clip", "pandas", "PIL.Image", "pyarrow.parquet", "scipy.stats"),
    *("safetensors.torch", "statsmodels.stats.proportion", "timm", "tqdm", "transformers"),
    *("snakemake.cli", "snakemake.benchmark"),
)


def call(address: str, program: str, arguments: Sequence[str], folder: Path, output: int) -> int:
    """Run a module ("snakemake") or a script (a path) in a fork; its exit code.

    Args: output: descriptor that its two streams go to.
    """
    order = {
        "argv": [program, *arguments],
        "folder": str(folder),
        "environment": dict(os.environ),
    }
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(address)
        socket.send_fds(link, [b"!"], [output])
        link.sendall(json.dumps(order).encode() + b"\n")
        answer = link.makefile().read()
    return int(answer or -1)  # it was killed


class Fork(BaseRequestHandler):
    """What a fork of the server does: an order, then an answer."""

    def handle(self) -> None:
        _, [output], *_ = socket.recv_fds(self.request, 1, 1)
        order = json.loads(self.request.makefile().readline())
        for stream in (1, 2):
            os.dup2(output, stream)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        sys.argv = order["argv"]
        self.request.sendall(str(run(sys.argv[0])).encode())


def run(program: str) -> int:
    """What `python -m program` or `python program` does, with the arguments in sys.argv."""
    is_script = program.endswith(".py")
    first = os.path.dirname(program) if is_script else os.getcwd()
    sys.path[:1] = [first, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    try:
        if is_script:
            runpy.run_path(program, run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return int(end.code) if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


class Server(ForkingMixIn, UnixStreamServer):
    """Forks for each order; ends with the process that started it."""

    max_children = 1000
    block_on_close = False
    parent = os.getppid()

    def service_actions(self) -> None:
        super().service_actions()
        if os.getppid() != self.parent:
            sys.exit()


@contextmanager
def imports_uncollected() -> Iterator[None]:
    """The garbage collector never looks through what is imported meanwhile: half a million objects,
    whose pages each fork would copy."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def serve(address: str) -> None:
    """Import the libraries, have Snakemake run scripts in forks, and wait for orders."""
    with imports_uncollected():
        for library in LIBRARIES:
            __import__(library)
    from snakemake.benchmark import benchmarked
    from snakemake.script import PythonScript

    def execute_script(self, fname, edit=False):
        with benchmarked(None, self.bench_record):
            code = call(address, fname, (), Path.cwd(), 1)
        if code:
            raise subprocess.CalledProcessError(code, fname)

    PythonScript.execute_script = execute_script
    with Server(address, Fork) as server:
        print("ready", flush=True)
        server.serve_forever()


@cache
def server() -> str:
    """The address of this process's server, which is started by the first call."""
    folder = tempfile.mkdtemp()
    address = f"{folder}/socket"
    process = subprocess.Popen([sys.executable, __file__, address], stdout=subprocess.PIPE)
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"

    def stop() -> None:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)

    atexit.register(stop)
    return address


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run snakemake in a checkout; its two streams are returned as one text, `stdout`."""
    arguments = (*arguments, "--max-jobs-per-timespan", "1000/1s")  # its end waits for as long
    if os.environ.get("FRESH"):
        command = [sys.executable, "-m", "snakemake", *arguments]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(command, cwd=folder, **streams, text=True)
    with tempfile.TemporaryFile("w+") as output:
        code = call(server(), "snakemake", arguments, folder, output.fileno())
        output.seek(0)
        return subprocess.CompletedProcess(arguments, code, output.read())


if __name__ == "__main__":
    serve(sys.argv[1])
