"""The card of a soup of models made elsewhere."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import yaml

from modelsoups.models.own import OwnSpec
from modelsoups.paper.card import card, report, show_own

SPEC = OwnSpec(
    library="timm",
    model="resnet18",
    arguments={},
    num_classes=2,
    mean=[0.5] * 3,
    std=[0.5] * 3,
    view={"size": 224, "resize": 256, "interpolation": "bicubic", "resize_mode": "shortest"},
    assumed=["preprocessing: timm's default"],
)
SHOWN = show_own(SPEC, [Path("soup.safetensors")])
RECORD = {
    "model": "greedy",
    "recipe": {"kind": "greedy", "order": "held-out"},
    "ingredients": ["b", "a"],
    "coefficients": [0.5, 0.5],
    "candidates": [
        {"name": "b", "held_out_accuracy": 0.8, "decision": "kept"},
        {"name": "a", "held_out_accuracy": 0.7, "decision": "kept"},
        {"name": "c", "held_out_accuracy": 0.1, "decision": "rejected"},
    ],
}
ROLES = {"held-out": "held_out", "test": "test"}
FILES = {"a": "runs/a.pt", "b": "runs/b.pt", "c": "runs/c.pt"}
HASHES = {"a": "aa", "b": "bb", "c": "cc"}


def scores() -> pd.DataFrame:
    values = {"a": (0.7, 0.6), "b": (0.8, 0.5), "c": (0.1, 0.1), "greedy": (0.9, 0.75)}
    rows = [
        (model, "soup" if model == "greedy" else "run", dataset, "accuracy", value, 100)
        for model, pair in values.items()
        for dataset, value in zip(ROLES, pair, strict=True)
    ]
    return pd.DataFrame(rows, columns=["model", "kind", "dataset", "metric", "value", "n"])


def test_card_has_the_hubs_metadata_scores_ingredients_and_what_was_assumed():
    shown = show_own(SPEC, [Path("soup.safetensors")], "timm/resnet18")
    text = card(shown, RECORD, scores(), ROLES, FILES, HASHES)
    _, metadata, body = text.split("---\n", 2)
    data = yaml.safe_load(metadata)
    assert data["base_model"] == "timm/resnet18"
    assert data["library_name"] == "timm"
    [model] = data["model-index"]
    assert [each["metrics"][0]["value"] for each in model["results"]] == [0.9, 0.75]
    assert "2 of 3 fine-tuned models" in body
    # Wilson's interval of 75 of 100: 65.70 to 82.45.
    assert "| greedy (the soup) | 90.00 (82.56–94.48) | 75.00 (65.70–82.45) |" in body
    assert "| b (best single model) | 80.00" in body  # chosen on the held-out set, not the test
    assert "| c | 10.00 | rejected | – | `runs/c.pt` | `cc` |" in body
    assert 'checkpoint_path="soup.safetensors"' in body
    assert "- preprocessing: timm's default" in body


def test_card_says_how_its_library_loads_the_file():
    """With the arguments that the model is built with, and the entry that holds the weights."""
    vit = replace(SPEC, model="vit", arguments={"img_size": 64, "num_classes": 3}, num_classes=3)
    text = show_own(vit, [Path("a.safetensors")]).loading
    assert text == (
        'timm.create_model("vit", img_size=64, num_classes=3, checkpoint_path="a.safetensors")'
    )
    net = replace(vit, library="torchvision", arguments={})
    built, loaded = show_own(net, [Path("checkpoint.pth")], part="model").loading.splitlines()
    assert built == 'model = torchvision.models.get_model("vit", num_classes=3)'
    assert loaded == 'model.load_state_dict(torch.load("checkpoint.pth")["model"])'
    _, loaded = show_own(net, [Path("a.safetensors")]).loading.splitlines()
    assert loaded == 'model.load_state_dict(safetensors.torch.load_file("a.safetensors"))'


def test_candidates_of_one_file_are_told():
    """A copy of the last checkpoint under another name counts twice."""
    hashes = {**HASHES, "c": "bb"}
    text = card(SHOWN, RECORD, scores(), ROLES, FILES, hashes)
    assert "| `runs/c.pt` (the same as b) | `bb` |" in text


def test_soup_of_one_says_that_it_is_the_best_model():
    record = {**RECORD, "ingredients": ["b"], "coefficients": [1.0]}
    text = card(SHOWN, record, scores(), ROLES, FILES, HASHES)
    assert "# Greedy soup of 1 model\n" in text
    assert "it has the weights of the best single model" in text


def test_report_has_both_tables_with_a_heading_between_them():
    page = report(SHOWN, RECORD, scores(), ROLES, FILES, HASHES)
    assert page.count("<table>") == page.count("</table>") == 2
    assert page.index("<td>90.00 (82.56–94.48)</td>") < page.index("<h2>Ingredients")
    assert page.index("<h2>Ingredients") < page.index("<td>`runs/c.pt`</td>")


def test_card_of_a_soup_chosen_by_another_metric_shows_it_first():
    values = {"a": 0.2, "b": 0.4, "c": 0.9, "greedy": 0.1}
    brier = scores()
    brier = brier.assign(metric="brier", value=brier.model.map(values))
    metric = {"function": "m:brier", "better": "lower"}
    record = {**RECORD, "recipe": {"kind": "greedy", "metric": metric}}
    text = card(SHOWN, record, pd.concat([scores(), brier]), ROLES, FILES, HASHES)
    assert "| brier (less is better) | held-out, chosen on (n = 100) | test (n = 100) |" in text
    assert "| greedy (the soup) | 0.1000 | 0.1000 |\n| a (best single model) | 0.2000" in text
    assert "| b (best single model) | 80.00" in text


def test_card_says_whose_layers_are_not_averaged():
    one = {**RECORD, "coefficients": [1.0], "other_layers_of": "c"}
    text = card_of({**one, "ingredients": ["a"]})
    assert "those of c." in text
    assert "the best single model." not in text  # it is not: some layers are of another
    text = card_of({**one, "ingredients": ["c"]})
    assert "it has the weights of the best single model." in text


def card_of(record):
    return card(SHOWN, record, scores(), ROLES, FILES, HASHES)


def test_card_of_a_soup_chosen_by_groups_shows_the_accuracy_that_scores_have():
    record = {**RECORD, "recipe": {"kind": "greedy", "metric": "worst_group_accuracy"}}
    text = card_of(record)
    assert "| b (best single model) | 80.00" in text
    assert "| worst_group_accuracy" not in text


def test_card_of_models_that_give_numbers_or_that_a_function_scores():
    """What they are judged by stands for accuracy, of the candidates too."""
    for reports, name in (("mae", "mae"), ({"function": "m:iou", "evaluates": True}, "iou")):
        candidates = [
            {"name": each["name"], "decision": each["decision"], f"held_out_{name}": 2.5}
            for each in RECORD["candidates"]
        ]
        record = {**RECORD, "recipe": {"kind": "uniform"}, "candidates": candidates}
        table = scores().assign(metric=name)
        table = pd.concat([table, scores().assign(metric="r2")])
        record = {**record, "reports": reports}
        text = card(SHOWN, record, table, ROLES, FILES, HASHES)
        low = name == "mae"
        best = "c (best single model) | 0.1000" if low else "b (best single model) | 0.8000"
        assert best in text
        assert f"alone, held-out {name}{' (less is better)' * low} |" in text
        assert "| c | 2.5000 | rejected |" in text
        assert ("| r2 |" in text) == low
        assert "accuracy |" not in text and "image-classification" not in text
        _, metadata, _ = text.split("---\n", 2)
        [model] = yaml.safe_load(metadata)["model-index"]
        types = {metric["type"] for each in model["results"] for metric in each["metrics"]}
        assert types == ({"mae", "r2"} if low else {"iou"})
