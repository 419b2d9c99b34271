"""Which runs share one table: those of one match, and no others."""

from modelsoups.paper.seeds import ask_for, need, table_of


def test_each_match_has_a_table_of_its_own() -> None:
    specs = [
        {"sweep": "grid"},
        {"sweep": "grid", "match": {"lr": 1e-3}},
        {"sweep": "grid", "match": {"lr": 1e-5, "augmentation": "rand-m9-n2"}},
    ]
    assert [table_of(spec) for spec in specs] == [
        "seeds/all",
        "seeds/lr-0.001",
        "seeds/augmentation-rand-m9-n2_lr-1e-05",
    ]


def test_the_order_of_a_match_makes_no_other_table() -> None:
    first, second = {"lr": 1e-3, "mixup": 0}, {"mixup": 0.0, "lr": 0.001}
    assert ask_for({"sweep": "grid", "match": first}) == ask_for({"sweep": "grid", "match": second})


def test_what_is_read_is_what_is_asked_for() -> None:
    spec = {"sweep": "grid", "match": {"lr": 1e-3}}
    asked = ask_for(spec)
    assert (need(spec).sweep, need(spec).table) == (asked.sweep, asked.table)
    assert asked.plan == {"match": {"lr": 1e-3}}
