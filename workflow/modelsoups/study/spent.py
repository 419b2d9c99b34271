"""Where the time of a study went: the benchmark files that Snakemake writes beside its jobs."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

COLUMNS = ("rule", "jobs", "hours", "cpu_hours", "seconds_a_job", "peak_memory_gb")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a job took, start-up included."""

    rule: str
    seconds: float
    cpu_seconds: float
    peak_memory: float  # MB, resident


def read_jobs(folder: Path) -> list[Job]:
    """The jobs that left a file `<rule>/<job>.tsv` in a folder, in the order of their names.

    What Snakemake could not measure (a job that was over at once) is `NA` or `-` there, and 0 here.
    """
    return [
        Job(
            rule=path.parent.name,
            seconds=_number(row["s"]),
            cpu_seconds=_number(row["cpu_time"]),
            peak_memory=_number(row["max_rss"]),
        )
        for path in sorted(folder.glob("*/*.tsv"))
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="\t")
    ]


def _number(text: str) -> float:
    return float(text) if text not in ("NA", "-", "") else 0.0


def evaluation_speed(jobs: Iterable[Job], num_images: int) -> float:
    """Images a second of the evaluations on the reported sets, start-up included; 0 without any.

    Args:
        num_images: of those sets together.
    """
    seconds = [job.seconds for job in jobs if job.rule == "evaluate_reported" and job.seconds]
    return num_images / median(seconds) if seconds else 0.0


def sum_up_jobs(jobs: Iterable[Job]) -> list[dict[str, str | float]]:
    """One row a rule (`COLUMNS`), that with most hours first; a job's seconds are the median."""
    rules: dict[str, list[Job]] = {}
    for job in jobs:
        rules.setdefault(job.rule, []).append(job)
    rows: list[dict[str, str | float]] = [
        {
            "rule": rule,
            "jobs": len(found),
            "hours": sum(job.seconds for job in found) / 3600,
            "cpu_hours": sum(job.cpu_seconds for job in found) / 3600,
            "seconds_a_job": median(job.seconds for job in found),
            "peak_memory_gb": max(job.peak_memory for job in found) / 1000,
        }
        for rule, found in rules.items()
    ]
    return sorted(rows, key=lambda row: -float(row["hours"]))


def print_spent(rows: Iterable[dict[str, str | float]], study: str) -> list[list[str]]:
    """The rows of a Markdown table, with its head."""
    head = [f"{study}: rule", "jobs", "hours", "CPU hours", "seconds a job (median)", "peak, GB"]
    return [
        head,
        ["---"] + ["---:"] * (len(head) - 1),
        *(
            [
                str(row["rule"]),
                f"{row['jobs']:,}",
                f"{row['hours']:.2f}",
                f"{row['cpu_hours']:.2f}",
                f"{row['seconds_a_job']:.1f}",
                f"{row['peak_memory_gb']:.2f}",
            ]
            for row in rows
        ),
    ]
