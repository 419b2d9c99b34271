"""Replicates of a study's main sweep: other parts of the data, other draws of the search.

One draw of a random search, tested on one part of the data, is one number of many that the same
config could have given. A replicate is a study like any other, with the same keys, of the sweep
alone and of the results that are asked for: the held-out and the test images are another two folds
of the in-distribution images, the rest is trained on, and the search and its runs have other seeds.
Imported while Snakemake parses: standard library only.
"""

from collections.abc import Iterator, Mapping
from typing import Any

KEPT = (  # keys of the config that a replicate has as they are
    *("study", "classes", "folders", "resize", "prompts", "max_hours", "precision"),
    *("views", "backbones", "linear_probe", "evaluation", "recipes", "ensembles", "label_sets"),
)
SEEDS = {"seed": {"integer": [0, 2**31 - 1]}}  # of runs, which else are numbered alike
FOLDS_OF = ("test", "held_out", "train")  # a fold, the one before it, and the others


def list_replicates(config: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Number, from 1 -> the config of that replicate; none if the study asks for none."""
    if "replicates" not in config:
        return {}
    count = config["replicates"].get("count", len(config["replicates"]["folds"]))
    return {number: replicate_config(config, number) for number in range(1, count + 1)}


def replicate_config(config: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The config of a replicate, from 1: every fold is tested in one of as many as there are folds.

    Args: config: valid, with `replicates`.
    """
    spec = config["replicates"]
    parts = folds_of(list(spec["folds"]), number)
    datasets = {}
    for name, dataset in config["datasets"].items():
        if folds := parts.get(dataset["role"]):
            datasets[name] = {
                **dataset,
                "where": {**spec.get("where", {}), spec["column"]: folds},
                "num_images": sum(spec["folds"][fold] for fold in folds),
            }
        else:
            datasets[name] = dataset
    sweep = config["sweeps"][spec["sweep"]]
    random = sweep["random"]
    random = {
        **random,
        "seed": random["seed"] + number,
        "space": {**random["space"], **({} if "seed" in random["space"] else SEEDS)},
    }
    pools = {
        name: pool
        for name, pool in config.get("pools", {}).items()
        if pool["models"] == [spec["sweep"]]
    }
    return {
        **{key: config[key] for key in KEPT if key in config},
        **({"pools": pools} if pools else {}),
        **spec.get("results", {}),
        "study": f"{config['study']}, replicate {number}",
        "datasets": datasets,
        "sweeps": {spec["sweep"]: {**sweep, "random": random}},
    }


def folds_of(folds: list[str], number: int) -> dict[str, list[str]]:
    """Role -> its folds in a replicate, from 1: the first tests the last fold, and so on."""
    test = -number % len(folds)
    held_out = (test - 1) % len(folds)
    rest = [fold for place, fold in enumerate(folds) if place not in (test, held_out)]
    return dict(zip(FOLDS_OF, ([folds[test]], [folds[held_out]], rest), strict=True))


def replicate_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Why a study, valid by the schema, could not be replicated."""
    if "replicates" not in config:
        return
    spec = config["replicates"]
    count, num_folds = spec.get("count", 0), len(spec["folds"])
    if count > num_folds and count % num_folds:
        yield (
            f"replicates: {count} of {num_folds} folds test some images more often than others; "
            f"take a multiple of {num_folds}, or fewer than there are folds"
        )
    sweep = config["sweeps"].get(spec["sweep"])
    if sweep is None:
        known = ", ".join(config["sweeps"])
        yield f"replicates: {spec['sweep']!r} is no sweep; defined are {known}"
    elif "random" not in sweep:
        yield (
            f"replicates: {spec['sweep']} has no random search, whose draws differ; name a sweep "
            "with `random`"
        )
    elif "teachers" in {**sweep["finetune"], **sweep["random"]["space"]}:
        yield (
            f"replicates: the runs of {spec['sweep']} have teachers, but a replicate has no other "
            "sweep; name one without"
        )
    own = {
        role: [dataset for dataset in config["datasets"].values() if dataset["role"] == role]
        for role in FOLDS_OF
    }
    if missing := [role for role, found in own.items() if len(found) != 1]:
        yield f"replicates: expected one data set with role {' and one with '.join(missing)}"
        return
    read = [
        {
            key: value
            for key, value in own[role][0].items()
            if key not in ("role", "counterpart", "where", "num_images", "images_per_class")
        }
        for role in FOLDS_OF
    ]
    if any(dataset != read[0] for dataset in read):
        yield (
            "replicates: the training, held-out and test images change places, so their data sets "
            "must be the same but for `where` and the number of images"
        )
    elif read[0].get("layout", "parquet") != "parquet":
        yield "replicates: folds are values of a column, which only Parquet files have"
