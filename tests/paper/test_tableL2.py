"""Table L.2: its rows and claims."""

from modelsoups.paper.tableL2 import CLAIMS, RESULT, ROWS

SPEC = {"sweep": "grid", "learning_rates": [1e-3], "seeds": [0, 1], "epochs": 2}


def test_rows_are_the_papers() -> None:
    assert [row.label for row in ROWS][3:] == [
        "Individual model (fix aug)",
        "Individual model (fix aug 4x epochs)",
        "Soup minimal, medium, and strong aug",
        "Soup minimal, medium, strong, and fix aug",
    ]


def test_fix_aug_is_four_times_as_long_and_in_the_larger_soup() -> None:
    (analysis,) = RESULT.analyses(SPEC)
    found = {group["about"]["row"]: group["members"] for group in analysis.plan["groups"]}
    (longer,) = found[ROWS[4].label]
    assert (longer["augmentation"], longer["epochs"]) == ("fix-aug", 8)
    kinds = [each["augmentation"] for each in found[ROWS[6].label]]
    assert kinds == ["minimal", "medium", "strong", "fix-aug"]
    assert len(analysis.plan["groups"]) == len(ROWS) * 2


def test_the_papers_own_numbers_fulfil_the_claims() -> None:
    for each in CLAIMS:
        papers = {row.label: row.paper for row in ROWS}
        pairs = zip(papers[each.first], papers[each.second], strict=True)
        assert all(ours > theirs for pair in pairs for ours, theirs in zip(*pair, strict=True))
