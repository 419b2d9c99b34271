"""A soup of models made elsewhere: from the section `soup` of a config to a whole study.

The section says where the models are, what they are and what they are judged on; everything else
follows. Imported while Snakemake parses: standard library only.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelsoups.base.paths import expanded
from modelsoups.study.adapters import adapter_in, find_base
from modelsoups.study.checkpoints import find_models, name_models
from modelsoups.study.classes import read_ids
from modelsoups.study.search import INITIALIZATION

OWN = "own"  # name of the sweep, its backbone and its view
MODEL = "results/own/model.json"  # what the models are: found out by a job, read by the others
HELD_OUT = "held-out"
# What models may predict -> the metric that they are judged by, unless the config names another.
JUDGED_BY = {"class": "accuracy", "labels": "average_precision", "numbers": "mae"}
WITH_METRIC = ("greedy", "pruned", "interpolated")  # recipes that choose by one
EVALUATED = ("timm", "torchvision", "python")  # libraries that `evaluate` goes with


def add_study(config: Mapping[str, Any], find: Callable[[str], str] = str) -> dict[str, Any]:
    """The config with the study that its section `soup` describes; what it says itself stays.

    Args:
        config: its section of the form that the schema says (`config.check_soup`). find: from a
            path as written to that of the file.
    Raises: ValueError if models or classes cannot be found, or `accuracy` is of none.
    """
    if "soup" not in config:
        return dict(config)
    soup = config["soup"]
    if soup["library"] in ("torchvision", "open_clip", "python") and "model" not in soup:
        raise ValueError(f"soup.model: files of {soup['library']} do not say it; name it")
    if "evaluate" in soup and (soup["library"] not in EVALUATED or "model" not in soup):
        raise ValueError(
            f"soup.evaluate: goes with a library of {', '.join(EVALUATED)}, and `model`; for "
            "others write a function that builds the model (`library: python`)"
        )
    paths = find_models(soup["checkpoints"])
    if braced := [path for path in paths if {*path} & {*"{}"}]:
        raise ValueError(
            f"soup.checkpoints: {', '.join(braced[:4])}: Snakemake takes braces in a path for "
            "wildcards; rename these, or name links to them"
        )
    start = soup.get("initialization")
    others = [path for path in paths if not start or _real(path) != _real(start)]
    recipe = dict(soup.get("recipe", {"kind": "greedy"}))
    metric = evaluator_of(config) or JUDGED_BY.get(soup.get("predicts", "class"), "accuracy")
    if recipe.get("kind") in WITH_METRIC and metric != "accuracy":
        recipe.setdefault("metric", metric)
    recipes = {"uniform": {"kind": "uniform"}, recipe.get("kind", "greedy"): recipe}
    taken = {*recipes, *config.get("recipes", {}), INITIALIZATION, "zero-shot", "linear-probe"}
    files = name_models([adapter_in(path) or path for path in others], taken)
    if "accuracy" in soup and soup.get("predicts", "class") != "class":
        raise ValueError(
            f"soup.accuracy: models that give {soup['predicts']} have none; leave it out"
        )
    models = [*([INITIALIZATION] if start else []), *files]
    if unknown := sorted(soup.get("accuracy", {}).keys() - {*models}):
        raise ValueError(
            f"soup.accuracy: no models are called {', '.join(unknown)}; their names, of what "
            f"differs in their paths, are {', '.join(models)}"
        )
    base = find_base(files, soup.get("base"), soup["library"])
    classes = find_classes(soup, base or next(iter(files.values()), ""), find)
    if twice := sorted(each for each, count in Counter(classes).items() if count > 1):
        raise ValueError(f"soup.classes: more than once there are {', '.join(twice[:5])}")
    tests = soup.get("tests", {})
    if chosen_on := [name for name, spec in tests.items() if spec == soup["held_out"]]:
        raise ValueError(
            f"soup.tests: {', '.join(chosen_on)} is the held-out set, which every choice is made "
            "on and which is reported anyway; name another set, or leave it out"
        )
    roles = dict.fromkeys(tests, "shift") | dict.fromkeys(list(tests)[:1], "test")
    study = {
        "study": f"Soup of {soup['checkpoints']}",
        "classes": classes,
        "views": {OWN: {"from": MODEL}},
        "datasets": {
            HELD_OUT: {"role": "held_out", **set_of(soup, soup["held_out"])},
            **{name: {"role": roles[name], **set_of(soup, spec)} for name, spec in tests.items()},
        },
        "backbones": {OWN: {"library": OWN, "model": MODEL, "weights": "none", "view": OWN}},
        "evaluation": {"batch_size": 64},
        "sweeps": {
            OWN: {
                "kind": "checkpoints",
                "backbone": OWN,
                "files": {**({INITIALIZATION: start} if start else {}), **files},
            }
        },
        "recipes": recipes,
    }
    merged = {
        key: {**value, **config.get(key, {})} if isinstance(value, dict) else config.get(key, value)
        for key, value in study.items()
    }
    return {**config, **merged, "soup": {**soup, "base": base} if base else soup}


def _real(path: str) -> str:
    """A path without variables, links and `./`: equal for one file."""
    return os.path.realpath(expanded(path))


def set_of(soup: Mapping[str, Any], spec: Any) -> dict[str, Any]:
    """The keys of a data set that the section describes, its role aside."""
    if "evaluate" in soup:  # only the user's function reads it
        return {"path": spec if isinstance(spec, str) else "given to soup.evaluate"}
    if (predicts := soup.get("predicts", "class")) == "class":
        return dict(spec)
    columns = soup["held_out"].get("targets", [])  # of every set, unless it says others
    return {"predicts": predicts, "targets": columns, **spec}


def evaluator_of(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The metric that an evaluator of the user's own is; None if there is none."""
    said = config.get("soup", {}).get("evaluate")
    if said is None:
        return None
    return {**({"function": said} if isinstance(said, str) else said), "evaluates": True}


def recipe_of(config: Mapping[str, Any]) -> str:
    """Name of the recipe whose soup is exported."""
    return config["soup"].get("recipe", {"kind": "greedy"})["kind"]


def find_classes(soup: Mapping[str, Any], first: str, find: Callable[[str], str]) -> list[str]:
    """The classes in the order of the models' outputs.

    From `classes` (their number, a list, or a file: CSV with the column `id`, or one a line); else,
    of labels and numbers, the columns of targets; none, if an evaluator of the user's own is all
    that knows them; else from the first model's config.json, if it names them as the held-out
    folder does; else the held-out folder's subfolders, sorted as torchvision's ImageFolder and timm
    do.
    """
    said = soup.get("classes")
    if isinstance(said, list):
        return [str(each) for each in said]
    if isinstance(said, int):
        return [str(number) for number in range(said)]
    if isinstance(said, str):
        return _read_classes(find(said))
    if "evaluate" in soup:
        return []
    if soup.get("predicts", "class") != "class":
        targets = soup["held_out"].get("targets", [])
        columns = [targets] if isinstance(targets, str) else list(targets)
        if not columns or columns[0].endswith(".npy"):
            raise ValueError(
                "soup.classes: needed, how many labels or numbers the models give, or their names; "
                "`targets` say it only if they are columns, one for each"
            )
        return columns
    named = classes_of_config(expanded(first))
    held_out = soup["held_out"]
    if held_out.get("layout") != "class-folders":
        if named:
            return named
        raise ValueError(
            "soup.classes: needed, in the order of the models' outputs: a list, a file with one a "
            "line, or how many there are if labels are numbers; only a folder of classes "
            "(`layout: class-folders`), and a config.json with `id2label`, say it themselves"
        )
    root = find(expanded(held_out["path"]))
    if not os.path.isdir(root):
        raise ValueError(f"soup.held_out.path: {held_out['path']} is no folder (here: {root})")
    folders = sorted(
        entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] != "."
    )
    if not folders:
        raise ValueError(f"soup.held_out.path: {root} has no folders, one a class")
    return named if named and {*named} >= {*folders} else folders


def classes_of_config(path: str) -> list[str] | None:
    """The classes in a model's config.json, in order; None if it names none.

    That of transformers has `id2label` (LABEL_0, ... are no names), that of timm `label_names`.
    """
    folder = Path(path) if os.path.isdir(path) else Path(path).parent
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    names = config.get("id2label") or config.get("label_names") or {}
    if isinstance(names, Mapping):
        names = [names[key] for key in sorted(names, key=int)]
    names = [str(name) for name in names]
    generic = [f"LABEL_{number}" for number in range(len(names))]
    return names if names and names != generic else None


def _read_classes(path: str) -> list[str]:
    if not os.path.isfile(path):
        raise ValueError(f"soup.classes: {path} is no file; give one, a list, or their number")
    if path.endswith(".csv"):
        return read_ids(path)
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]
