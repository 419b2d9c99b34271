"""A real SLURM of one node on loopback, in a temporary folder, for the tests in this folder.

Two CPU cores and two "GPUs" (/dev/null and /dev/zero). Nothing outside the folder is written, and
what was started is stopped by its process id. The Debian packages are installed where that is
possible; elsewhere the tests are skipped.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from checkouts import wait_for

PROGRAMS = {  # and Debian's packages
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "setpriv": "util-linux",
}
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"

# A requeued job starts again after `cred_expire` seconds.
SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={slurmctld_port}
SlurmdPort={slurmd_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=20
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
GresTypes=gpu
MinJobAge=3600
KillWait=20
SchedulerParameters=sched_interval=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=16000 Gres=gpu:2 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES State=UP
"""
GRES_CONF = """\
NodeName={host} Name=gpu File=/dev/null
NodeName={host} Name=gpu File=/dev/zero
"""


class Cluster:
    """A running SLURM."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._processes: dict[str, subprocess.Popen] = {}
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        (folder / "bin").mkdir()
        # The executor's srun gets no SLURM_CONF, which on a real cluster is /etc/slurm/slurm.conf.
        srun = folder / "bin/srun"
        srun.write_text(
            f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n'
        )
        srun.chmod(0o755)
        facts = {
            "host": socket.gethostname().split(".")[0],
            "folder": folder,
            "user": subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip(),
            "cpus": len(os.sched_getaffinity(0)),
            "slurmctld_port": free_port(),
            "slurmd_port": free_port(),
        }
        (folder / "slurm.conf").write_text(SLURM_CONF.format(**facts))
        (folder / "gres.conf").write_text(GRES_CONF.format(**facts))
        self.environment = {
            **os.environ,
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "SLURM_CONF": f"{folder}/slurm.conf",
            "MODELSOUPS_ALLOW_CPU": "1",  # its GPUs are none that torch could use
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }

    def start(self) -> None:
        """Start the three services and wait until the node takes jobs."""
        self._start(
            *("munged", "--foreground", "--force"),
            f"--key-file={self.folder}/munge.key",
            f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munged.seed",
        )
        wait_for(lambda: (self.folder / "munge.socket").exists(), "munged's socket", 20)
        self.start_controller()
        self._start("slurmd", "-D", "-f", f"{self.folder}/slurm.conf")
        wait_for(lambda: "idle" in self.ask("sinfo", "--noheader"), "an idle node", 60)

    def start_controller(self) -> None:
        """Start SLURM's own controller, slurmctld."""
        self._start("slurmctld", "-D", "-f", f"{self.folder}/slurm.conf")

    def stop_controller(self) -> None:
        """Stop slurmctld, as in an outage; jobs go on."""
        self._stop("slurmctld")

    def stop(self) -> None:
        """Cancel all jobs and stop the services."""
        self.ask("scancel", "--user", str(os.getuid()))
        for _ in range(200):  # those that do not end by themselves are killed after KillWait
            if not self.ask("squeue", "--noheader"):
                break
            time.sleep(0.2)
        for name in reversed(self._processes.copy()):
            self._stop(name)

    def ask(self, *command: str) -> str:
        """What a SLURM command prints; empty if it fails."""
        return subprocess.run(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ).stdout

    def jobs(self) -> list[dict[str, str]]:
        """Every job so far, oldest first, as SLURM describes it: JobId, JobState, Comment, ..."""
        lines = self.ask("scontrol", "show", "job", "--oneliner").splitlines()
        return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if "JobId=" in line]

    def jobs_of(self, rule: str) -> list[dict[str, str]]:
        """The jobs of a rule of the workflow."""
        return [job for job in self.jobs() if f"rule_{rule}" in job["Comment"]]

    def _start(self, program: str, *arguments: str) -> None:
        with open(self.folder / f"{program}.out", "a") as output:
            # They end with this process, too, however it ends.
            self._processes[program] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", shutil.which(program, path=PATH), *arguments],
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _stop(self, program: str) -> None:
        process = self._processes.pop(program)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A TCP port of loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def missing_programs() -> list[str]:
    """The Debian packages whose programs are not there."""
    return [package for name, package in PROGRAMS.items() if not shutil.which(name, path=PATH)]


def install() -> list[str]:
    """Install what is missing where that is possible; the packages that still are."""
    if (packages := missing_programs()) and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
        for command in (["apt-get", "update"], install):
            subprocess.run(command, env=environment, capture_output=True)
    return missing_programs()
