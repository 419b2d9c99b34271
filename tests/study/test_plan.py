import re
from dataclasses import replace

import pytest

from modelsoups.study.plan import (
    DatasetSize,
    SweepSize,
    largest_jobs,
    plan_study,
    plan_sweep,
    to_text,
)

SIZE = SweepSize(
    epochs=[4, 6],
    num_weights=5,  # the initialisation, two runs, two soups
    num_ensembles=1,
    num_greedy=1,
    num_candidates=3,
    num_parameters=2**28,
    images_per_second=100,
    num_training_images=1000,
    held_out="held-out",
    evaluated=["held-out", "test"],
)
SETS = {
    "held-out": DatasetSize(num_images=100, num_classes=10),
    "test": DatasetSize(num_images=200, num_classes=4),
    "another sweep's": DatasetSize(num_images=7, num_classes=7),
}


def test_hours_count_the_passes_of_a_step():
    """Of 4 and 6 epochs with 2 and 1 passes 14 are computed, 10 are trained."""
    plain, sam = (plan_sweep(size, SETS, 500, 4) for size in (SIZE, replace(SIZE, passes=[2, 1])))
    assert plain["training_hours"] == pytest.approx(10 * 1000 / 100 / 3600)
    assert sam["training_hours"] == pytest.approx(14 * 1000 / 100 / 3600)
    assert {name for name in plain if plain[name] != sam[name]} == {"training_hours"}


def test_plan_of_a_sweep_counts_images_hours_and_disk():
    plan = plan_sweep(SIZE, SETS, 50, logits_bytes=2)
    assert (plan["num_runs"], plan["num_epochs"]) == (2, 10)
    assert plan["training_images"] == 10_000  # 10 epochs of 1,000
    assert plan["evaluation_images"] == 1_800  # 5 models of 300, and 3 candidates of 100
    assert plan["training_hours"] == pytest.approx(10_000 / 100 / 3600)
    assert plan["evaluation_hours"] == pytest.approx(1_800 / 50 / 3600)
    assert plan["weights_gib"] == 5.0  # 5 times 2^28 numbers of 4 bytes
    assert plan["logits_gib"] == pytest.approx((1000 + 800) * 2 * 6 / 2**30)


def test_images_of_figures_and_learned_soups_are_counted():
    size = replace(SIZE, other_images=5_000)
    plan = plan_sweep(size, SETS, 50, logits_bytes=2)
    assert plan["evaluation_images"] == 6_800


def test_plan_of_a_study_sums_its_sweeps():
    plan = plan_study({"a": SIZE, "b": SIZE}, SETS, 50, logits_bytes=2)
    assert plan.index.tolist() == ["a", "b", "total"]
    assert plan.num_runs["total"] == 4
    assert plan.weights_gib["total"] == 10.0


def test_jobs_ask_for_the_memory_of_their_models_where_that_is_more_than_the_configs():
    """Eight models of a billion float32 numbers take 32 GB, and 2 GB are for the rest."""
    job = {"gpus": 1, "threads": 2, "mem_mb": 16_000, "minutes": 20, "held": {"models": 8}}
    longer = {**job, "minutes": 30, "held": {"models": 3}}
    jobs = [("run", "large", job), ("run", "large", longer), ("run of a small one", "small", job)]
    asked = largest_jobs(jobs, {"large": 10**9, "small": 10**6})
    assert asked == {
        "run": {"gpus": 1, "threads": 2, "mem_mb": 34_000, "minutes": 30},
        "run of a small one": {"gpus": 1, "threads": 2, "mem_mb": 16_000, "minutes": 20},
    }


def test_plan_in_print_names_the_study_and_the_disk_in_all():
    plan = plan_study({"a": SIZE}, SETS, 50, logits_bytes=2)
    jobs = {"finetune_run of a": {"gpus": 2, "threads": 8, "mem_mb": 4000, "minutes": 75}}
    text = to_text(plan, "the study", {"test at 32px": 3.0}, jobs)
    assert re.search(r"finetune_run of a +2 +8 +4000 +75", text)
    assert text.startswith("Plan of the study: the study")
    assert "Disk in all: 8.0 GiB" in text  # 5 of weights, 3 of arrays
