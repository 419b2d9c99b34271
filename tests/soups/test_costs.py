import json

import pytest

from modelsoups.soups.costs import collect_costs, measure, peak_memory
from modelsoups.soups.recipes import cook


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("recipe", "passes"),
    [
        ({"kind": "uniform"}, 1),  # its accuracy
        ({"kind": "learned", "epochs": 2, "batch_size": 16}, 3),  # and one for its accuracy
        ({"kind": "fisher", "num_images": 20}, 3 * 20 / 40 + 1),
        ({"kind": "inverse-loss"}, 1),
    ],
)
def test_images_through_the_model_are_counted(pool, recipe, passes):
    given = pool.arguments()
    cook(recipe, **given)
    cost = read(given["cost"])
    assert cost["passes"] == passes
    assert cost["images"] == passes * len(pool.held_out)
    assert cost["seconds"] > 0 and cost["device"] == "cpu" and not cost["resumed"]
    assert cost["device_memory_mb"] is None


def test_images_are_those_of_this_soup_alone(pool):
    for _ in range(2):
        given = pool.arguments()
        cook({"kind": "uniform"}, **given)
        assert read(given["cost"])["passes"] == 1


def test_an_interrupted_soup_says_that_a_part_is_not_counted(pool, monkeypatch):
    given = pool.arguments()
    monkeypatch.setattr("modelsoups.soups.recipes.write_weights", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cook({"kind": "greedy"}, **given)
    monkeypatch.undo()
    cook({"kind": "greedy"}, **given)
    assert read(given["cost"])["resumed"]


def test_peak_memory_is_in_megabytes_before_and_after(pool, monkeypatch):
    assert 50 < peak_memory() < 1e6
    sizes = iter([400.0, 650.0])
    monkeypatch.setattr("modelsoups.soups.costs.peak_memory", lambda: next(sizes))
    _, cost = measure(lambda: None, pool.held_out, resumed=False)
    assert (cost["memory_before_mb"], cost["peak_memory_mb"]) == (400, 650)


def test_costs_are_collected_with_the_number_of_ingredients(pool):
    costs, records = {}, {}
    for name in ("uniform", "greedy"):
        given = pool.arguments(name)
        cook({"kind": name}, **given)
        costs[name], records[name] = given["cost"], given["record"]
    table = collect_costs(costs, records)
    assert list(table["model"]) == ["uniform", "greedy"]
    assert list(table["num_candidates"]) == [3, 3]
    assert table["num_ingredients"][0] == 3
