"""From the section `soup` of a config to a study."""

import json
import os

import pytest

from modelsoups.study.checkpoints import find_models, name_models, watched_files
from modelsoups.study.own import add_study, find_classes


def write(*paths):
    for path in paths:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "a", encoding="utf-8"):
            pass


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("data/val/dog/1.png", "data/val/cat/1.png")


SOUP = {
    "checkpoints": "runs/*/model.safetensors",
    "library": "timm",
    "model": "resnet18",
    "held_out": {"path": "data/val", "layout": "class-folders"},
}


def test_pattern_expands_sorted_and_names_are_what_differs():
    write(*(f"runs/lr-{n}/model.safetensors" for n in (10, 9, 1)))
    paths = find_models("runs/*/model.safetensors")
    assert paths == [f"runs/lr-{n}/model.safetensors" for n in (1, 9, 10)]
    assert list(name_models(paths)) == ["lr-1", "lr-9", "lr-10"]
    assert list(name_models(["a/Soup_A.pth.tar", "a/Soup_B.pth.tar"])) == ["soup-a", "soup-b"]
    assert list(name_models(["x/a.pt", "x/y/b.pt"])) == ["a", "y-b"]
    assert list(name_models(["x/A.pt", "x/a.pt"])) == ["a", "a-again"]
    assert list(name_models(["runs/one/model.safetensors"])) == ["model"]


def test_folder_is_its_subfolders_with_a_model_or_its_files():
    """A Trainer's output: its checkpoints, not the copy of the last one above them."""
    write("out/model.safetensors", "out/config.json", "out/runs/events")
    for step in (500, 1000):
        write(
            *(
                f"out/checkpoint-{step}/{n}"
                for n in ("model.safetensors", "config.json", "optimizer.pt")
            )
        )
    assert find_models("out") == ["out/checkpoint-500", "out/checkpoint-1000"]
    write("files/a.pth", "files/b.pth", "files/optimizer.pt", "files/notes.txt")
    assert find_models("files") == ["files/a.pth", "files/b.pth"]
    assert watched_files("out/checkpoint-500") == [
        "out/checkpoint-500/config.json",
        "out/checkpoint-500/model.safetensors",
    ]


def test_states_that_accelerate_saves_beside_a_model_are_no_models():
    others = ("optimizer.bin", "scheduler.bin", "sampler.bin", "dl_state_dict.bin", "scaler.pt")
    write(*(f"saved/epoch_{n}/{name}" for n in (0, 1) for name in ("model.safetensors", *others)))
    models = [f"saved/epoch_{n}/model.safetensors" for n in (0, 1)]
    assert find_models("saved") == models


def test_checkpoints_of_one_run_are_named_and_ordered_by_their_numbers():
    """Of the Trainer, timm's train.py and Lightning, and 1,200 of them."""
    for step in (1000, 200):
        write(*(f"t/checkpoint-{step}/{name}" for name in ("model.safetensors", "config.json")))
    assert list(name_models(find_models("t"))) == ["checkpoint-200", "checkpoint-1000"]
    for lr in ("1e-3", "1e-4"):
        write(
            *(
                f"r/{lr}/checkpoint-{i}/{n}"
                for i in (9, 10)
                for n in ("pytorch_model.bin", "config.json")
            )
        )
    assert list(name_models(find_models("r/*/checkpoint-*"))) == [
        f"1e-{n}-checkpoint-{step}" for n in (3, 4) for step in (9, 10)
    ]
    write("timm/checkpoint-10.pth.tar", "timm/checkpoint-9.pth.tar", "timm/summary.csv")
    assert list(name_models(find_models("timm"))) == ["checkpoint-9", "checkpoint-10"]
    write("l/epoch=9-val_loss=0.52.ckpt", "l/epoch=10-val_loss=0.5.ckpt")
    os.symlink("epoch=10-val_loss=0.5.ckpt", "l/last.ckpt")
    assert name_models(find_models("l")) == {
        "epoch-9-val-loss-0-52": "l/epoch=9-val_loss=0.52.ckpt",
        "epoch-10-val-loss-0-5": "l/epoch=10-val_loss=0.5.ckpt",
    }
    write(*(f"many/{n}.safetensors" for n in range(1200)))
    assert list(name_models(find_models("many/*.safetensors"))) == [str(n) for n in range(1200)]


def test_one_file_under_several_names_is_there_once():
    """timm's train.py links the last and the best checkpoint to files of other names."""
    write("t/checkpoint-0.pth.tar", "t/checkpoint-1.pth.tar")
    os.link("t/checkpoint-1.pth.tar", "t/last.pth.tar")
    os.link("t/checkpoint-0.pth.tar", "t/model_best.pth.tar")
    assert find_models("t") == ["t/checkpoint-0.pth.tar", "t/checkpoint-1.pth.tar"]


def test_subfolder_with_several_files_asks_for_a_pattern():
    write("runs/a/last.pth", "runs/a/best.pth")
    with pytest.raises(ValueError, match=r"several files might be meant.*as runs/\*/best.pth"):
        find_models("runs")


def test_models_and_data_may_be_below_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", os.getcwd())
    write("runs/a.pt", "runs/b.pt")
    for models in ("~/runs/*.pt", "~/runs", ["~/runs/a.pt", "~/runs/b.pt"]):
        held_out = {"path": "~/data/val", "layout": "class-folders"}
        study = add_study({"soup": {**SOUP, "checkpoints": models, "held_out": held_out}})
        files = {"a": "~/runs/a.pt", "b": "~/runs/b.pt"}
        assert (study["sweeps"]["own"]["files"], study["classes"]) == (files, ["cat", "dog"])
    assert watched_files("~/runs/a.pt") == [os.path.abspath("runs/a.pt")]


def test_nothing_that_matches_is_named():
    with pytest.raises(ValueError, match=r"nothing matches runs/\*"):
        find_models("runs/*")
    os.makedirs("empty")
    with pytest.raises(ValueError, match="empty: no model in it"):
        find_models("empty")


def test_section_becomes_a_study_and_what_the_config_says_besides_counts():
    write("runs/a/model.safetensors", "runs/greedy/model.safetensors", "start.safetensors")
    soup = {
        **SOUP,
        "tests": {"test": {"path": "t"}, "sketch": {"path": "s"}},
        "initialization": "start.safetensors",
        "recipe": {"kind": "learned", "epochs": 1},
    }
    study = add_study({"soup": soup, "evaluation": {"batch_size": 8}})
    assert study["classes"] == ["cat", "dog"]
    assert study["sweeps"]["own"]["files"] == {
        "initialization": "start.safetensors",
        "a": "runs/a/model.safetensors",
        "greedy": "runs/greedy/model.safetensors",
    }
    assert study["recipes"] == {"uniform": {"kind": "uniform"}, "learned": soup["recipe"]}
    assert {name: spec["role"] for name, spec in study["datasets"].items()} == {
        "held-out": "held_out",
        "test": "test",
        "sketch": "shift",
    }
    assert study["evaluation"] == {"batch_size": 8}
    named = add_study({"soup": SOUP})["sweeps"]["own"]["files"]
    assert list(named) == ["a", "run-greedy"]  # greedy is the soup's name
    write("runs/run-greedy/model.safetensors")
    named = add_study({"soup": SOUP})["sweeps"]["own"]["files"]
    assert list(named) == ["a", "run-greedy", "run-greedy-again"]


@pytest.mark.parametrize("start", ["runs/start.pt", "./runs/start.pt", "$HERE/runs/start.pt"])
def test_initialization_among_the_models_is_no_ingredient_however_its_path_is_written(
    start, monkeypatch
):
    monkeypatch.setenv("HERE", os.getcwd())
    write("runs/a.pt", "runs/b.pt", "runs/start.pt")
    study = add_study({"soup": {**SOUP, "checkpoints": "runs/*.pt", "initialization": start}})
    files = {"initialization": start, "a": "runs/a.pt", "b": "runs/b.pt"}
    assert study["sweeps"]["own"]["files"] == files


def test_config_without_the_section_stays_as_it_is():
    assert add_study({"study": "x"}) == {"study": "x"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"library": "torchvision", "model": None},
            "soup.model: files of torchvision do not say it",
        ),
        ({"held_out": {"path": "x.parquet"}}, "soup.classes: needed, in the order"),
        ({"held_out": {"path": "none", "layout": "class-folders"}}, "none is no folder"),
        ({"accuracy": {"lr0.1": 0.9}}, "no models are called lr0.1; their names, .* are model"),
        (
            {"accuracy": {"model": 0.9}, "predicts": "numbers", "classes": 2},
            "soup.accuracy: models that give numbers have none",
        ),
        ({"checkpoints": "other"}, "other/wd={0.1}/a.pt: Snakemake takes braces in a path"),
        ({"tests": {"t": SOUP["held_out"]}}, "soup.tests: t is the held-out set"),
        ({"classes": "none.txt"}, "soup.classes: none.txt is no file"),
        (
            {"classes": "runs/a/table.csv"},
            "table.csv: expected a column id, .*, found .'name', 'number'",
        ),
        ({"classes": ["cat", "dog", "cat"]}, "soup.classes: more than once there are cat"),
    ],
)
def test_what_is_missing_is_named(change, message):
    write("runs/a/model.safetensors", "other/wd={0.1}/a.pt")
    with open("runs/a/table.csv", "w", encoding="utf-8") as file:
        file.write("name,number\ncat,0\n")
    soup = {key: value for key, value in {**SOUP, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        add_study({"soup": soup})


def test_classes_come_from_the_config_the_model_or_the_folders():
    def found(first="nothing", **more):
        return find_classes({**SOUP, **more}, first, str)

    assert found() == ["cat", "dog"]
    assert found(classes=["dog", "cat"]) == ["dog", "cat"]
    assert found(classes=3) == ["0", "1", "2"]
    for name, text in (("a.csv", "id,name\nx,X\n"), ("a.txt", "x\n")):
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
        assert found(classes=name) == ["x"]
    os.makedirs("m")
    for labels, classes in (
        ({"0": "dog", "1": "cat"}, ["dog", "cat"]),  # the model's order, not the folders'
        ({"0": "LABEL_0", "1": "LABEL_1"}, ["cat", "dog"]),
        ({"0": "Katze", "1": "Hund"}, ["cat", "dog"]),
    ):
        with open("m/config.json", "w", encoding="utf-8") as file:
            json.dump({"id2label": labels}, file)
        assert found("m") == classes


def test_models_that_give_numbers_or_labels_are_judged_by_metrics_of_theirs():
    write("runs/a/model.safetensors", "runs/b/model.safetensors")
    held_out = {"path": "val.parquet", "targets": ["age", "height"]}
    for predicts, metric in (("numbers", "mae"), ("labels", "average_precision")):
        soup = {**SOUP, "predicts": predicts, "held_out": held_out, "tests": {"t": {"path": "t"}}}
        study = add_study({"soup": soup})
        assert study["classes"] == ["age", "height"]
        assert study["recipes"]["greedy"] == {"kind": "greedy", "metric": metric}
        assert study["datasets"]["t"]["targets"] == ["age", "height"]
        assert {each["predicts"] for each in study["datasets"].values()} == {predicts}
    with pytest.raises(ValueError, match="soup.classes: needed, how many labels or numbers"):
        add_study({"soup": {**soup, "held_out": {"path": "v", "targets": "t.npy"}}})


def test_an_evaluator_of_ones_own_is_the_metric_and_is_given_what_stands_there():
    write("runs/a/model.safetensors", "runs/b/model.safetensors")
    soup = {**SOUP, "library": "python", "model": "net:build", "held_out": "data/val.npz"}
    study = add_study({"soup": {**soup, "evaluate": {"function": "net:error", "better": "lower"}}})
    wanted = {"function": "net:error", "better": "lower", "evaluates": True}
    assert study["recipes"]["greedy"]["metric"] == wanted
    assert study["datasets"]["held-out"] == {"role": "held_out", "path": "data/val.npz"}
    assert study["classes"] == []
    with pytest.raises(ValueError, match="soup.evaluate: goes with a library of timm"):
        add_study({"soup": {**soup, "library": "transformers", "evaluate": "net:error"}})
