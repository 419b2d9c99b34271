"""Table L.3: runs with and without SAM, and soups of two."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.paired import pack
from modelsoups.paper.claims import FAILS, HOLDS
from modelsoups.paper.tableL3 import (
    MIXED,
    PAPER,
    RESULT,
    SAM,
    SAM_SOUP,
    SOUP,
    VANILLA,
    groups,
    replicates,
    sam_claims,
)

SPEC = {"sweep": "grid", "lr": 1e-3, "rho": 0.1, "seeds": [0, 1, 2]}
ROLES = {"holdout": "held_out", "photos": "test"}


def test_soups_are_of_every_two_seeds_or_of_both_kinds_of_one() -> None:
    found: dict[str, list] = {}
    for group in groups(SPEC):
        members = [(each["sam"], each["seed"]) for each in group["members"]]
        found.setdefault(group["about"]["row"], []).append((group["about"]["seeds"], members))
    assert found[VANILLA] == [(str(seed), [(0, seed)]) for seed in range(3)]
    assert found[SAM_SOUP] == [
        ("0 1", [(0.1, 0), (0.1, 1)]),
        ("0 2", [(0.1, 0), (0.1, 2)]),
        ("1 2", [(0.1, 1), (0.1, 2)]),
    ]
    assert found[MIXED][1] == ("1", [(0, 1), (0.1, 1)])
    assert list(found) == list(PAPER)


def test_of_single_runs_each_seed_is_a_replicate() -> None:
    rng = np.random.default_rng(0)
    first, second = ({str(seed): [rng.random(5)] for seed in range(3)} for _ in range(2))
    for seed, (each,) in enumerate(replicates(first, second)):
        np.testing.assert_allclose(each, first[str(seed)][0] - second[str(seed)][0])


def test_of_pairs_each_seed_is_what_leaving_it_out_changes() -> None:
    # Pairs 0.5, 0.6 and 0.9, runs 0.1 each. Without seed 0 the pair of 1 and 2 is left: 0.9. So
    # seed 0 has 3 (2.0 / 3) - 2 (0.9) - 0.1, and so on; their mean is 2.0 / 3 - 0.1.
    pairs = {key: [np.array([v])] for key, v in {"0 1": 0.5, "0 2": 0.6, "1 2": 0.9}.items()}
    runs = {str(seed): [np.array([0.1])] for seed in range(3)}
    found = [float(each[0]) for (each,) in replicates(pairs, runs)]
    assert found == pytest.approx([2.0 - 1.8 - 0.1, 2.0 - 1.2 - 0.1, 2.0 - 1.0 - 0.1])


def test_two_seeds_make_one_soup_which_is_judged_over_images() -> None:
    pairs = {"0 1": [np.array([0.5, 1.0])]}
    runs = {"0": [np.array([0.0, 1.0])], "1": [np.array([0.5, 0.0])]}
    (only,) = replicates(pairs, runs)
    np.testing.assert_allclose(only[0], [0.25, 0.5])
    assert replicates(pairs, {}) == []


def make_mixes(counts: dict[str, int], seeds: tuple[str, ...]) -> pd.DataFrame:
    """Of 200 images the first ones are right, as many as a row has on average over its groups."""
    rows = []
    for row, count in counts.items():
        pairs = [" ".join(p) for p in zip(seeds, (*seeds[1:], seeds[0]), strict=True)]
        keys = pairs[: len(seeds) - (len(seeds) == 2)] if row in (SOUP, SAM_SOUP) else seeds
        for number, key in enumerate(keys):
            right = np.arange(200) < count + number % 2
            about = {"row": row, "lr": 1e-3, "seeds": key, "dataset": "photos", "n": 200}
            rows.append(
                {**about, "metric": "accuracy", "value": right.mean(), "right": pack(right)}
            )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("seeds", [("0", "1"), ("0", "1", "2")])
def test_claims_are_judged_on_gains_and_soups(seeds) -> None:
    counts = {VANILLA: 100, SAM: 120, SOUP: 160, SAM_SOUP: 140, MIXED: 180}
    found = {claim.claim: claim for claim in sam_claims(make_mixes(counts, seeds), ROLES)}
    assert [claim.verdict for claim in found.values()] == [HOLDS] * 5
    less = found["The soup of two runs gains less with SAM than without (in distribution)"]
    assert less.value == pytest.approx((60 - 20) / 200, abs=0.01)
    assert less.paper == "+0.25 points against +0.54"
    counts = {VANILLA: 120, SAM: 100, SOUP: 140, SAM_SOUP: 160, MIXED: 110}
    verdicts = [claim.verdict for claim in sam_claims(make_mixes(counts, seeds), ROLES)]
    assert verdicts == [FAILS, HOLDS, FAILS, FAILS, FAILS]


def test_runs_without_sam_at_this_rho_are_reported(small_study) -> None:
    problems = list(RESULT.problems(SPEC, small_study))
    assert len(problems) == 4  # seed 2 is not there, nor is any run with SAM
    assert problems[0].endswith("{'lr': 0.001, 'seed': 2, 'sam': 0}, found none")
