"""Low and high averages of the same runs: what is read of either pool, and claims on them."""

from pathlib import Path

import pandas as pd
import pytest

from modelsoups.paper import pools, table1, table4, tableC1
from modelsoups.paper.claims import FAILS, HOLDS
from modelsoups.paper.declare import Given
from modelsoups.paper.methods import list_methods
from modelsoups.paper.table4 import ORACLE, SHIFTS_MEAN
from small_scores import ROLES, make_correct, make_scores

GREEDY = ("greedy", "greedy-ensemble")
KEPT = ["initialization", "000", "001", "002", *GREEDY]
METHODS = list_methods({"greedy": {"kind": "greedy"}}, {"greedy-ensemble": {"kind": "greedy"}})
SPEC = {"sweep": "low", "high": "high", "label_sets": {}}


def of_pool(average: str, **changes) -> pd.DataFrame:
    """Scores of a pool: the small sweep's, its runs averaged."""
    scores = make_scores(**{"greedy-ensemble": ("ensemble", 18, 8, 5, 20), **changes})
    scores = scores[scores["model"].isin(KEPT)]
    is_run = scores["kind"] == "run"
    return scores.assign(model=scores["model"].where(~is_run, scores["model"] + f"-{average}"))


# The best run on the held-out set is a high one, with 19 of 20 there, and 10 of 10 photos.
LOW = of_pool("ema0.9")
HIGH = of_pool(
    "ema0.99",
    **{"002": ("run", 19, 10, 8, 32), "greedy": ("soup", 2, 1, 1, 4)},
)


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """Both pools' tables."""
    files: dict[str, list[Path]] = {"scores": [], "correct": [], "label_sets": []}
    for name, scores in (("low", LOW), ("high", HIGH)):
        for table, frame in (("scores", scores), ("correct", make_correct(scores))):
            path = tmp_path / f"{name}-{table}.parquet"
            frame.to_parquet(path, index=False)
            files[table].append(path)
    return Given(files=files, spec=SPEC, study="a toy study", roles=ROLES, methods=METHODS)


def test_runs_are_of_both_pools_and_soups_of_the_low_one(given) -> None:
    scores, correct = pools.read(given)
    kinds = scores.groupby("model", sort=False)["kind"].first()
    assert list(kinds.index[kinds == "run"]) == [
        *(f"00{number}-ema0.9" for number in range(3)),
        *(f"00{number}-ema0.99" for number in range(3)),
    ]
    assert (kinds[kinds == "soup"].index == ["greedy"]).all()
    assert {"greedy", "high: greedy", "high: greedy-ensemble"} <= set(correct.columns)
    photos = correct[correct["dataset"] == "photos"].drop(columns=["dataset", "index"]).sum()
    assert (photos["greedy"], photos["high: greedy"], photos["002-ema0.99"]) == (8, 1, 10)


def test_other_images_are_an_error(given) -> None:
    path = given.files["correct"][1]
    table = pd.read_parquet(path)
    table.iloc[1:].to_parquet(path, index=False)
    with pytest.raises(ValueError, match="expected the models of both pools on the same"):
        pools.read(given)


def test_one_pool_alone_is_read_as_it_is(given) -> None:
    files = {name: paths[:1] for name, paths in given.files.items()}
    alone = Given(files=files, spec={**SPEC, "high": "low"}, study="", roles=ROLES, methods=METHODS)
    scores, correct = pools.read(alone)
    assert len(scores) == len(LOW)
    assert not [name for name in correct if name.startswith(pools.HIGH)]


def test_best_run_of_either_pool_is_what_table_4_and_table_c1_compare_with(given) -> None:
    for module in (table4, tableC1):
        table = module.make(given).table.set_index(["method", "dataset"])
        best = table.loc[("Best model on held out val set", "photos")]
        assert (best["model"], best["accuracy"]) == ("002-ema0.99", 1.0)
        assert table.loc[("Greedy soup", "photos"), "accuracy"] == 0.8


def test_table_1_has_its_rows_and_the_papers_numbers(given) -> None:
    made = table1.make(given)
    table = made.table
    assert list(dict.fromkeys(table["dataset"])) == ["photos", SHIFTS_MEAN]
    oracle = table[table["method"] == table1.ROWS[ORACLE][0]].set_index("dataset")
    assert oracle["accuracy"].to_dict() == {"photos": 1.0, SHIFTS_MEAN: pytest.approx(0.8)}
    assert oracle["paper"].to_dict() == {"photos": 90.78, SHIFTS_MEAN: 84.68}
    lines = made.markdown.splitlines()
    assert lines[0].startswith("| a toy study: accuracy in % | photos (n = 10) | avg-shifts (n = 5")
    assert lines[-1].startswith("| Greedy soup | 80.00 (") and "| 90.94 | 85.02 |" in lines[-1]


def test_claims_of_table_1_are_judged(given) -> None:
    claims = {claim.claim: claim for claim in table1.make(given).claims}
    assert list(claims) == [
        "The greedy soup beats the run that is best on the held-out set (in distribution, low)",
        "The greedy soup beats the run that is best on the held-out set (on the shifts, low)",
        "The greedy soup beats the greedy ensemble on the shifts (low)",
        "The best run of high averages is better than that of low ones (low)",
        "Greedy soup: low averages are better than high ones (low)",
        "Greedy ensemble: low averages are better than high ones (low)",
    ]
    verdicts = [claim.verdict for claim in claims.values()]
    assert verdicts[1] == FAILS  # 0.55 of the shifts against 0.8
    assert verdicts[4] == HOLDS  # 18 of 20 held-out images against 2
    assert claims["Greedy ensemble: low averages are better than high ones (low)"].value == 0
    sections = {claim.section for claim in claims.values()}
    assert sections == {"3.3.2"}


def test_claims_of_table_c1_are_those_of_its_appendix(given) -> None:
    made = tableC1.make(given)
    assert {claim.section for claim in made.claims} == {"C"}
    assert made.claims[0].paper == "90.98 % against 90.83 % (BASIC-L)"
    assert "The paper's BASIC-L" in made.markdown


def test_table_4_takes_sweeps_and_pairs_of_pools() -> None:
    targets = table4.RESULT.targets(["grid", {"sweep": "low", "high": "high"}], {})
    assert targets == {
        "table4-grid": {"sweep": "grid", "label_sets": {}},
        "table4-low": SPEC,
    }
    assert [len(table4.RESULT.needs(spec)["scores"]) for spec in targets.values()] == [1, 2]
    assert table4.RESULT.names(SPEC) == [("sweep", "low"), ("sweep", "high")]
