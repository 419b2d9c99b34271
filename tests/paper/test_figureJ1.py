"""Figure J.1 is Figure 2 with a larger learning rate, where the config has one."""

from modelsoups.paper.figureJ1 import RESULT

SPEC = {"sweep": "grid", "lr": 1e-3, "smaller_lr": 1e-4, "larger_lr": 1e-2, "resolution": 3}


def test_it_is_there_only_with_a_larger_learning_rate() -> None:
    assert RESULT.targets(SPEC, {}) == {"figureJ1": SPEC}
    without = {name: value for name, value in SPEC.items() if name != "larger_lr"}
    assert RESULT.targets(without, {}) == {}


def test_its_lower_plane_has_the_larger_learning_rate(small_study) -> None:
    seed, larger = RESULT.analyses(SPEC)
    assert (seed.table, larger.table) == ("mixes/plane-seed", "mixes/plane-larger-lr")
    assert larger.plan["second"] == {"lr": 1e-2, "seed": 0}
    assert [need.table for need in RESULT.needs(SPEC)["planes"]] == [seed.table, larger.table]
    assert not RESULT.problems(SPEC, small_study)
    assert RESULT.problems({**SPEC, "larger_lr": 1.0}, small_study)
