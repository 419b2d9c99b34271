import pytest

from modelsoups.study.spent import (
    COLUMNS,
    Job,
    evaluation_speed,
    print_spent,
    read_jobs,
    sum_up_jobs,
)

HEAD = "s\th:m:s\tmax_rss\tmean_load\tcpu_time\n"


def job(rule, seconds, memory=100.0):
    return Job(rule=rule, seconds=seconds, cpu_seconds=2 * seconds, peak_memory=memory)


def test_jobs_are_read_from_the_files_that_snakemake_writes(tmp_path):
    for name, line in [
        ("cook_soup/a-greedy", "12.5\t0:00:12\t700.25\t98.0\t12.0"),
        ("cook_soup/a-uniform", "0.01\t0:00:00\tNA\t-\tNA"),
    ]:
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{HEAD}{line}\n")
    assert read_jobs(tmp_path) == [
        Job(rule="cook_soup", seconds=12.5, cpu_seconds=12.0, peak_memory=700.25),
        Job(rule="cook_soup", seconds=0.01, cpu_seconds=0.0, peak_memory=0.0),
    ]


def test_a_study_that_was_not_measured_has_no_jobs(tmp_path):
    assert read_jobs(tmp_path / "benchmarks") == []


def test_rules_are_summed_up_with_the_longest_first():
    rows = sum_up_jobs(
        [job("short", 36), job("long", 3600), job("long", 7200, 500), job("long", 0)]
    )
    assert [row["rule"] for row in rows] == ["long", "short"]
    assert rows[0] == dict(zip(COLUMNS, ("long", 3, 3.0, 6.0, 3600, 0.5), strict=True))
    assert rows[1]["hours"] == pytest.approx(0.01)
    assert print_spent(rows, "mine")[2] == ["long", "3", "3.00", "6.00", "3600.0", "0.50"]


def test_speed_of_evaluation_is_that_of_the_median_job():
    jobs = [job("evaluate_reported", seconds) for seconds in (10, 20, 90)]
    assert evaluation_speed([*jobs, job("cook_soup", 1)], 400) == 20
    assert evaluation_speed([job("cook_soup", 1)], 400) == 0
