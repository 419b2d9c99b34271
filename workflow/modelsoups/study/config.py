"""Check a study's config before anything runs: its schema, then what names what.

The one module that reads the config as a mapping; everything else takes dataclasses built from
the values that a rule passes on. Imported while Snakemake parses: no torch.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from modelsoups.study.search import RunSpec, list_checkpoints, list_runs

STARTS = ("zero-shot", "linear-probe")  # heads that fine-tuning can start from
LIBRARIES_WITH_TEXT = ("iconclip", "open_clip")  # their backbones have a text tower


def check_config(config: Mapping[str, Any], schema: str | Path) -> None:
    """Raise one ValueError that lists everything wrong with a study's config.

    Args:
        config: the whole config.
        schema: path of workflow/schemas/config.schema.yaml.
    """
    validator = Draft202012Validator(yaml.safe_load(Path(schema).read_text()))
    problems = [
        f"{'.'.join(map(str, error.absolute_path)) or 'config'}: {error.message}"
        for error in validator.iter_errors(config)
    ]
    problems = problems or [*dangling_names(config), *uneven_batches(config)]
    if problems:
        raise ValueError(
            "the config has these problems (config/README.md describes every key):\n  "
            + "\n  ".join(problems)
        )


def expand_sweeps(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The runs of every sweep: sweep -> run -> its RunSpec, or CheckpointSpec if it exists already.

    A sweep of checkpoints also has its "initialization" here, if it has one.

    Raises:
        ValueError: a sweep's hyper-parameters make no runs; names the sweep.
    """
    runs = {}
    for sweep, spec in config["sweeps"].items():
        try:
            checkpoints = spec.get("kind") == "checkpoints"
            runs[sweep] = list_checkpoints(spec) if checkpoints else list_runs(spec)
        except ValueError as error:
            raise ValueError(f"sweeps.{sweep}: {error}") from None
    return runs


def dangling_names(config: Mapping[str, Any]) -> Iterator[str]:
    """What a valid config names but does not define, and counts that make no sense."""
    datasets, views, backbones = config["datasets"], config["views"], config["backbones"]
    for role in ("train", "held_out", "test"):
        if (count := len(with_role(datasets, role))) != 1:
            yield f"datasets: expected one with role {role}, found {count}"
    yield from dataset_problems(datasets)
    for name, backbone in backbones.items():
        if backbone["view"] not in views:
            yield missing(f"backbones.{name}.view", backbone["view"], views)
    for name, sweep in config["sweeps"].items():
        if sweep["backbone"] not in backbones:
            yield missing(f"sweeps.{name}.backbone", sweep["backbone"], backbones)
        elif not has_zero_shot(config, sweep["backbone"]) and "zero-shot" in starts_of(sweep):
            library = backbones[sweep["backbone"]]["library"]
            yield f"sweeps.{name}: zero-shot " + (
                "needs class prompts; add `prompts`, a file with one template a line"
                if library in LIBRARIES_WITH_TEXT
                else f"needs a text tower, which backbones of {library} do not have; "
                "use linear-probe"
            )
        if sweep.get("start") in sweep.get("other_starts", []):
            yield f"sweeps.{name}.other_starts: {sweep['start']} is its start already; remove it"
    for name, spec in config.get("pretraining", {}).items():
        if spec["backbone"] not in backbones:
            yield missing(f"pretraining.{name}.backbone", spec["backbone"], backbones)
    for key, sweep in named_sweeps(config):
        if sweep not in config["sweeps"]:
            yield missing(key, sweep, config["sweeps"])
    for name, label_set in config.get("label_sets", {}).items():
        if (dataset := label_set["dataset"]) not in (known := with_role(datasets, "test")):
            yield missing(f"label_sets.{name}.dataset", dataset, dict.fromkeys(known))
    if clash := sorted(config.get("label_sets", {}).keys() & datasets.keys()):
        yield f"label_sets and datasets share the names {clash}"
    if "figureH" in config and "figureB1" not in config:
        yield "figureH: recreates Figure B.1 for other sweeps, with its orders; add figureB1"
    for recipe in config.get("figureD1", {}).get("soups", []):
        if recipe not in config["recipes"]:
            yield missing("figureD1.soups", recipe, config["recipes"])
    if clash := sorted(config["recipes"].keys() & config["ensembles"].keys()):
        yield f"recipes and ensembles share the names {clash}; a model needs a name of its own"
    names = config["recipes"].keys() | config["ensembles"].keys()
    if taken := sorted(names & {"initialization", *STARTS}):
        yield f"recipes, ensembles: {taken} are names of starts; a model needs a name of its own"


def starts_of(sweep: Mapping[str, Any]) -> list[str]:
    """The start of a sweep and the other starts it evaluates."""
    return [start for start in [sweep.get("start"), *sweep.get("other_starts", [])] if start]


def has_zero_shot(config: Mapping[str, Any], backbone: str) -> bool:
    """Whether a backbone has a zero-shot head: a text tower, and class prompts to embed."""
    return config["backbones"][backbone]["library"] in LIBRARIES_WITH_TEXT and "prompts" in config


def dataset_problems(datasets: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What does not fit in or among the data sets."""
    for name, spec in datasets.items():
        if spec["role"] in ("train", "held_out") and "class_map" in spec:
            yield f"datasets.{name}: a {spec['role']} set has the study's own classes; no class_map"
        if (spec.get("class_map") == "objectnet") != ("mappings" in spec):
            yield f"datasets.{name}: class_map objectnet and mappings go together"
        if (spec.get("layout") == "flat") != ("labels" in spec):
            yield f"datasets.{name}: layout flat and labels go together"
        if spec["role"] != "train" and "training_input" in spec:
            yield f"datasets.{name}: training_input is for the training set"
    splits = {
        spec["split"]["part"]: {**spec["split"], "part": None, "path": spec["path"]}
        for spec in datasets.values()
        if "split" in spec
    }
    if splits and (len(splits) != 2 or splits["held-out"] != splits["rest"]):
        yield (
            "datasets: `split` makes two sets of one, `part: held-out` and `part: rest`, which "
            "must agree in path and in the split's other keys"
        )


def uneven_batches(config: Mapping[str, Any]) -> Iterator[str]:
    """Sweeps whose batches do not split into the parts that they are computed in."""
    for name, sweep in config["sweeps"].items():
        compute = sweep.get("compute", {})
        parts = compute.get("gpus", 1) * compute.get("accumulate", 1)
        size = sweep.get("finetune", {}).get("batch_size", 2 * parts)
        if size % (2 * parts):
            yield (
                f"sweeps.{name}: batch_size {size} does not split into {parts} parts (gpus times "
                "accumulate) of one even size"
            )


def named_sweeps(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every sweep that a table or figure is about, with the key that says so."""
    for key in ("table3", "figure1"):
        yield key, config[key]
    for sweep in config.get("table4", []):
        yield "table4", sweep
    for key in ("figure2", "figure3", "figure4", "figureB1", "figureB2", "figureK1"):
        if key in config:
            yield f"{key}.sweep", config[key]["sweep"]
    for sweep in config.get("figureH", []):
        yield "figureH", sweep
    for sweep in config.get("figureD1", {}).get("sweeps", []):
        yield "figureD1.sweeps", sweep
    for seeds in config.get("figureG4", []):
        yield "figureG4.sweep", seeds["sweep"]
    for key, sweep in config.get("what_holds", {}).items():
        yield f"what_holds.{key}", sweep


def list_points(config: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """The points in weight space that the figures need: sweep -> name -> plan (`points.PLANS`).

    Each plan has its `kind` and `max_images` (None: all) beside what the kind asks for.
    """
    plans: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in config["sweeps"]}
    if planes := config.get("figure2"):
        seeds = planes.get("seeds", [0, 1])
        first = {**planes.get("match", {}), "lr": planes["lr"], "seed": seeds[0]}
        others = {"plane-seed": {**first, "seed": seeds[1]}}
        for key in ("smaller_lr", "larger_lr"):
            if key in planes:
                others[f"plane-{key.replace('_', '-')}"] = {**first, "lr": planes[key]}
        for name, second in others.items():
            plans[planes["sweep"]][name] = {
                **{"kind": "plane", "first": first, "second": second},
                **{key: planes.get(key) for key in ("resolution", "max_images")},
            }
    for key, kind in (("figure3", "angles"), ("figure4", "pairs")):
        if key in config:
            spec = {name: value for name, value in config[key].items() if name != "sweep"}
            plans[config[key]["sweep"]][kind] = {"kind": kind, "max_images": None, **spec}
    if wise := config.get("figureD1"):
        for sweep in wise["sweeps"]:
            plans[sweep]["wise"] = {
                **{"kind": "wise", "max_images": wise.get("max_images")},
                **{"alphas": wise["alphas"], "soups": wise["soups"]},
            }
    return plans


def count_points(plan: Mapping[str, Any], runs: Mapping[str, RunSpec]) -> int:
    """The number of points of a plan of `list_points`."""
    match plan["kind"]:
        case "plane":
            return plan["resolution"] ** 2 + 3
        case "pairs":
            return min(plan["num_pairs"], comb(len(runs), 2))
        case "wise":
            return 1 + (len(runs) + len(plan["soups"])) * len(plan["alphas"])
        case "angles":
            chosen = [vars(run) for run in runs.values() if run.lr < plan["below_lr"]]
            pairs = (
                plan["pairs"] == "all" or sum(a[key] != b[key] for key in a) == 1
                for a, b in combinations(chosen, 2)
            )
            return len(chosen) + sum(pairs)
    raise ValueError(f"plan of kind {plan['kind']!r} is unknown")


def count_analyses(
    config: Mapping[str, Any], runs: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, int]]:
    """Images that each analysis puts through a model: sweep -> analysis -> number, at most.

    The analyses are `points/<name>`, `growth`, `seeds` and `approximation`. Growth counts a pass
    over the held-out set for each candidate that a greedy soup tries; a second derivative as 20.
    """
    train, held_out, *reported = with_role(config["datasets"], "train", "held_out", "test", "shift")
    sizes = {name: spec["num_images"] for name, spec in config["datasets"].items()}

    def count(names: Iterable[str], max_images: int | None = None) -> int:
        return sum(min(sizes[name], max_images or sizes[name]) for name in names)

    found: dict[str, dict[str, int]] = {sweep: {} for sweep in runs}
    for sweep, plans in list_points(config).items():
        for name, plan in plans.items():
            names = [train] * (plan["kind"] == "plane") + reported
            points = count_points(plan, runs[sweep])
            found[sweep][f"points/{name}"] = points * count(names, plan["max_images"])
    everything = count([held_out, *reported])
    if growth := config.get("figureB1"):
        for sweep in [growth["sweep"], *config.get("figureH", [])]:
            num_runs = len(runs[sweep])
            passes = num_runs * everything + comb(num_runs + 1, 2) * sizes[held_out]
            found[sweep]["growth"] = growth["num_orders"] * passes
    for each in [config.get("figureB2"), *config.get("figureG4", [])]:
        if each:
            found[each["sweep"]]["seeds"] = 2 * len(runs[each["sweep"]]) * everything
    if spec := config.get("figureK1"):
        rates, levels, seeds = (len(spec[key]) for key in ("learning_rates", "levels", "seeds"))
        pairs = levels * comb(rates, 2) + rates * comb(levels, 2)
        pairs += rates * levels * (comb(seeds, 2) + 1)
        images = count(reported, spec.get("max_images"))
        found[spec["sweep"]]["approximation"] = pairs * len(spec["alphas"]) * (2 + 20) * images
    return found


def missing(where: str, found: str, known: Mapping[str, Any]) -> str:
    """The sentence for a name that is not defined."""
    return f"{where}: {found!r} is not defined; defined are {sorted(known)}"


def with_role(datasets: Mapping[str, Mapping[str, Any]], *roles: str) -> list[str]:
    """Names of the data sets that have one of the roles, in the order of the roles."""
    return [name for role in roles for name, spec in datasets.items() if spec["role"] == role]
