"""Table L.1: its rows and claims."""

import pandas as pd
import pytest

from modelsoups.paper.claims import HOLDS, OPEN
from modelsoups.paper.tableL1 import RESULT, ROWS

SPEC = {"sweep": "grid", "learning_rates": [2e-3, 1e-3], "seeds": [0], "epochs": 2}
ABOUT = {
    "study": "a toy study",
    "roles": {"holdout": "held_out", "photos": "test", "sketches": "shift"},
    "recipes": {},
    "ensembles": {},
}


def test_rows_are_the_papers() -> None:
    assert [row.label for row in ROWS] == [
        "Individual model (minimal aug)",
        "Individual model (medium aug)",
        "Individual model (strong aug)",
        "Individual model (stochastic aug)",
        "Individual model (stochastic aug 3x epochs)",
        "Distillation from the ensemble (no aug)",
        "Distillation from the ensemble (stochastic aug)",
        "Soup minimal, medium, and strong aug",
        "Ensemble minimal, medium, and strong aug",
    ]


def test_students_and_longer_runs_are_told_apart() -> None:
    (analysis,) = RESULT.analyses(SPEC)
    assert (analysis.sweep, analysis.table) == ("grid", "mixes/tableL1")
    stochastic = [
        (group["members"][0]["epochs"], group["taught"])
        for group in analysis.plan["groups"]
        if group["members"][0]["augmentation"] == "stochastic" and group["about"]["lr"] == 1e-3
    ]
    assert stochastic == [(2, False), (6, False), (2, True)]


def test_claims_are_the_papers_and_its_own_numbers_fulfil_them(make_given, measure) -> None:
    rows = []
    for label, papers in ((row.label, row.paper) for row in ROWS):
        for lr, values in zip(SPEC["learning_rates"], papers, strict=True):
            found = dict(zip(("photos", "sketches"), values, strict=True))
            for row in measure({name: 0.0 for name in found}, row=label, lr=lr, seeds="0"):
                rows.append({**row, "value": found[row["dataset"]] / 100})
    made = RESULT.make(make_given({"mixes": pd.DataFrame(rows)}, SPEC, ABOUT))
    assert len(made.claims) == 3 * 2 * 2
    values = made.table.set_index(["lr", "method"])
    assert values.loc[(2e-3, "Individual model (strong aug)"), "shifts"] == pytest.approx(0.4375)
    assert (100 * values["in_distribution"] - values["in_distribution_paper"]).abs().max() < 1e-9
    first, second = (claim.paper.split(" % ")[0] for claim in made.claims[4:6])
    assert (first, second) == ("80.24", "47.97")
    for claim in made.claims:
        ours, theirs = claim.paper.removesuffix(" %").split(" % against ")
        assert float(ours) > float(theirs)


def test_what_cannot_be_made_is_said_before_anything_runs(small_study) -> None:
    problems = list(RESULT.problems({**SPEC, "learning_rates": [1e-3]}, small_study))
    assert len(problems) == 7  # of nine rows the soup's and the ensemble's runs are the first three
    assert problems[0].startswith("expected one run of grid without teachers and with {'augmentat")


def test_verdicts_need_evidence(make_given, measure) -> None:
    soup, distilled = "Soup minimal, medium, and strong aug", ROWS[6].label
    values = {soup: 1.0, distilled: 0.2}
    rows = [
        row
        for label in values
        for row in measure({"photos": values[label]}, row=label, lr=2e-3, seeds="0")
    ]
    about = {**ABOUT, "roles": {"holdout": "held_out", "photos": "test"}}
    made = RESULT.make(make_given({"mixes": pd.DataFrame(rows)}, SPEC, about))
    assert [claim.verdict for claim in made.claims] == [OPEN, HOLDS, OPEN]
