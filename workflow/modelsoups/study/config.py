"""Check a study's config before anything runs: its schema, then what names what.

Imported while Snakemake parses: no torch.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from modelsoups.study.replicates import replicate_problems
from modelsoups.study.search import INITIALIZATION, RunSpec
from modelsoups.study.study import LIBRARIES_WITH_TEXT, PROBES, STARTS, Study
from modelsoups.study.texts import task_problems
from modelsoups.study.trajectories import average_problems, teacher_problems

# What a check of a table or figure's key looks for -> where it is defined.
DEFINED_IN = {"sweep": ("sweeps", "pools"), "recipe": ("recipes",), "dataset": ("datasets",)}
WITH_LABELS = ("flat", "npy", "listed", "cars")  # layouts whose labels are a file of their own
# YAML takes a number for a word that lacks a point or its exponent's sign. Below these keys a word
# may look so.
UNPOINTED = re.compile(r"([-+]?\d+)(\.\d*)?[eE]([-+]?\d+)")
WITH_WORDS = {"study", "classes", "datasets", "soup", "where"}
Named = Iterable[tuple[str, str, str]]  # key that names something, what (DEFINED_IN), its name


def read_config(config: Mapping[str, Any], find: Callable[[str], str] = str) -> dict[str, Any]:
    """The config with what its catalog describes put in.

    A `catalog` is a file with `classes`, `prompts`, `folders`, `views` and `datasets` that several
    studies share. A study takes a data set from it by its role alone (`imagenet-v2: shift`), or by
    what differs (`{role: shift, num_images: 100}`); what else the study says counts before it.

    Args: find: from a path as written to that of the file.
    Raises: ValueError if the catalog is none, or a data set is a word that it does not describe.
    """
    own = dict(config)
    catalog: Mapping[str, Any] = {}
    if path := own.pop("catalog", None):
        if not Path(find(path)).is_file():
            raise ValueError(f"catalog: there is no file {path} (looked from {Path.cwd()})")
        catalog = yaml.safe_load(Path(find(path)).read_text(encoding="utf-8"))
    described = mapping_at("catalog.datasets", mapping_at("catalog", catalog).get("datasets", {}))
    datasets = {}
    for name, spec in mapping_at("datasets", own.get("datasets", {})).items():
        if isinstance(spec, str) and name not in described:
            raise ValueError(
                f"datasets.{name}: {spec!r} takes a data set from the catalog, which has "
                f"{sorted(described) or 'none; name its file under `catalog`'}"
            )
        said = spec if isinstance(spec, Mapping) else {"role": spec}
        datasets[name] = {**described.get(name, {}), **said}
    merged = {
        key: {**catalog[key], **mapping_at(key, own.get(key, {}))}
        for key in ("folders", "views")
        if key in catalog
    }
    shared = {key: catalog[key] for key in ("classes", "prompts") if key in catalog}
    return {**shared, **own, **merged, "datasets": datasets}


def mapping_at(place: str, found: Any) -> Mapping[str, Any]:
    """What stands there, which has to be a mapping."""
    if not isinstance(found, Mapping):
        raise ValueError(f"{place}: expected a mapping, found {found!r}")
    return found


def read_schema(path: str | Path, sections: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a config: that of the file, with the sections that others describe.

    Args:
        sections: key of the config -> its JSON schema (recipes, ensembles, tables and figures).
    """
    schema = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    schema["properties"] |= sections
    schema["$defs"]["hyperparameter"] = {"enum": list(RunSpec.__dataclass_fields__)}
    return schema


def check_soup(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise one ValueError that lists what is wrong with the form of the section `soup`.

    It comes before `own.add_study`, which makes a study of the section.
    """
    given = {key: config[key] for key in ("soup",) if key in config}
    if found := form_problems(given, {**schema, "required": []}):
        raise ValueError(
            "the section `soup` has these problems (docs/own.md has examples, docs/config.md all "
            "keys):\n  " + "\n  ".join(found)
        )


def check_config(
    config: Mapping[str, Any],
    schema: Mapping[str, Any],
    named: Callable[[Mapping[str, Any]], Named] = lambda config: (),
    problems: Callable[[Study], Iterable[str]] = lambda study: (),
) -> Study:
    """The study of a config, or one ValueError that lists everything wrong with it.

    Args:
        config: the whole config, of `read_config`.
        schema: of `read_schema`.
        named: what tables and figures name; asked once the config has the schema's form.
        problems: why they cannot be made; asked once all names are defined.
    """
    study = Study(config)
    found = list(numbers_as_words(config)) or form_problems(config, schema)
    found = found or list(dict.fromkeys(dangling_names(study, list(named(config)))))
    found = found or list(problems_of_models(study))
    found = found or list(problems(study))
    if found:
        raise ValueError(
            f"the config of study {config.get('study')!r} has these problems (config/README.md "
            "describes every key):\n  " + "\n  ".join(found)
        )
    return study


def numbers_as_words(config: Any, place: str = "") -> Iterator[str]:
    """Numbers such as 1e-3, which YAML reads as words."""
    if isinstance(config, str) and (found := UNPOINTED.fullmatch(config)):
        whole, fraction, exponent = found.groups()
        written = f"{whole}{fraction or '.0'}e{int(exponent):+d}"
        yield f"{place.lstrip('.')}: YAML takes {config} for a word; write {written}"
    elif isinstance(config, Mapping):
        for key, value in config.items():
            if key not in WITH_WORDS:
                yield from numbers_as_words(value, f"{place}.{key}")
    elif isinstance(config, list):
        for number, each in enumerate(config):
            yield from numbers_as_words(each, f"{place}.{number}")


def form_problems(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """What in a config has not the schema's form, each with its key."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    whole = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, each: type(each) is int)
    validator = extend(Draft202012Validator, type_checker=whole)  # of JSON 3.0 is an integer, too
    return [
        f"{'.'.join(map(str, error.absolute_path)) or 'config'}: {explain(error)}"
        for error in validator(schema).iter_errors(config)
    ]


def explain(error: Any) -> str:
    """A schema error in words; of a value that fits none of several forms the nearest one's."""
    nearest = min(error.context, key=lambda each: len(each.schema_path), default=None)
    return error.message if nearest is None else f"{error.message} ({nearest.message})"


def dangling_names(study: Study, named: Collection[tuple[str, str, str]]) -> Iterator[str]:
    """What a valid config names but does not define, and counts that make no sense."""
    config = study.config
    backbones, sweeps = config["backbones"], config["sweeps"]
    pools = config.get("pools", {})
    yield from role_problems(study, bool(named))
    yield from set_problems(study)
    yield from dataset_problems(config["datasets"])
    for name, view in config["views"].items():
        if view.get("size", 0) > view.get("resize", 0):
            yield (
                f"views.{name}: size {view['size']} is cut out of {view['resize']} pixels; resize "
                "to at least the size"
            )
    for name, backbone in backbones.items():
        if backbone["view"] not in config["views"]:
            yield missing(f"backbones.{name}.view", backbone["view"], config["views"])
    for name, sweep in sweeps.items():
        if sweep["backbone"] not in backbones:
            yield missing(f"sweeps.{name}.backbone", sweep["backbone"], backbones)
        else:
            yield from start_problems(study, name)
    for name, spec in {**sweeps, **pools}.items():
        for what in ("recipes", "ensembles"):
            for each in spec.get(what, []):
                if each not in config.get(what, {}):
                    yield missing(f"{name}.{what}", each, config.get(what, {}))
    for name, spec in config.get("pretraining", {}).items():
        if spec["backbone"] not in backbones:
            yield missing(f"pretraining.{name}.backbone", spec["backbone"], backbones)
    for key, what, found in named:
        known = {name for section in DEFINED_IN[what] for name in config.get(section, {})}
        if found not in known:
            yield missing(key, found, known)
    yield from clashing_names(config)


def clashing_names(config: Mapping[str, Any]) -> Iterator[str]:
    """Names that two things share, where files would be the same."""
    recipes, ensembles = config.get("recipes", {}), config.get("ensembles", {})
    labels = config.get("label_sets", {})
    for first, second in (
        ("sweeps", "pools"),
        ("recipes", "ensembles"),
        ("label_sets", "datasets"),
    ):
        if clash := sorted(config.get(first, {}).keys() & config.get(second, {}).keys()):
            yield f"{first} and {second} share the names {clash}; each needs a name of its own"
    names = recipes.keys() | ensembles.keys()
    for sweep, spec in config["sweeps"].items():
        if isinstance(files := spec.get("files"), Mapping) and (taken := sorted(names & {*files})):
            yield f"sweeps.{sweep}.files: {taken} are names of recipes or ensembles; rename them"
    if taken := sorted(names & {INITIALIZATION, *STARTS}):
        yield f"recipes, ensembles: {taken} are names of starts; a model needs a name of its own"
    if numbers := sorted(name for name in names if name.isdigit()):
        yield f"recipes, ensembles: {numbers} are names of runs; a model needs a name of its own"
    for name, label_set in labels.items():
        tests = [key for key, spec in config["datasets"].items() if spec["role"] == "test"]
        if label_set["dataset"] not in tests:
            yield missing(f"label_sets.{name}.dataset", label_set["dataset"], tests)


def role_problems(study: Study, reports: bool) -> Iterator[str]:
    """Roles that a study needs one data set for, by what it does.

    Args: reports: whether it makes tables or figures, which are about a test set.
    """
    finetuned = [name for name, sweep in study.config["sweeps"].items() if "kind" not in sweep]
    needed = {"held_out": "choices are made on it"}
    if finetuned:
        needed["train"] = f"sweep {finetuned[0]} is fine-tuned"
    if reports:
        needed["test"] = "tables and figures report it"
    for role, why in needed.items():
        if not study.with_role(role):
            yield f"datasets: expected one with role {role}, found 0 ({why})"
    for name, sweep in study.config["sweeps"].items():
        several = {"held_out": "held_out", "reported": "test"}
        for key, role in {**({"train": "train"} if "kind" not in sweep else {}), **several}.items():
            if key not in sweep and len(found := study.with_role(role)) > 1:
                yield f"sweeps.{name}: say under `{key}` which of {found} are its own"


def set_problems(study: Study) -> Iterator[str]:
    """What does not fit in the data sets that sweeps and pools name, and in those they take."""
    config = study.config
    roles = {"train": ["train"], "held_out": ["held_out"], "reported": ["test", "shift"]}
    for section in ("sweeps", "pools"):
        for name, spec in config.get(section, {}).items():
            for key in roles.keys() & spec.keys():
                named = [spec[key]] if isinstance(spec[key], str) else spec[key]
                known = study.with_role(*roles[key])
                for each in named:
                    if each not in known:
                        yield missing(f"{section}.{name}.{key}", each, known)
            tests = [each for each in spec.get("reported", []) if study.roles.get(each) == "test"]
            if len(tests) > 1:
                yield f"{section}.{name}.reported: expected one with role test, found {tests}"
    for dataset in config["datasets"]:
        if study.said_of(dataset, "classes") is None:
            yield f"datasets.{dataset}: has no `classes`, nor has the study"


def disagreeing_sets(study: Study) -> Iterator[str]:
    """Sweeps and pools whose sets, all defined, do not go together."""
    chosen_on: dict[str | None, str] = {}
    for sweep in study.runs:
        train, held_out = study.train_of(sweep), study.held_out_of(sweep)
        if chosen_on.setdefault(train, held_out) != held_out:
            yield (
                f"sweeps.{sweep}: starts from {train} are chosen on {chosen_on[train]}, its held-"
                f"out set is {held_out}; name one, or choose on another in a pool of this sweep"
            )
    for sweep in study.config["sweeps"]:
        used = {each: study.said_of(each, "classes") for each in study.sets_of([sweep])}
        if len(set(map(str, used.values()))) > 1:
            yield f"sweeps.{sweep}: expected data sets with the same `classes`, found {used}"
    for pool, spec in study.config.get("pools", {}).items():
        sweeps = dict.fromkeys(model.partition("/")[0] for model in study.pools[pool])
        for key, of in (("held_out", study.held_out_of), ("reported", study.reported_of)):
            found = {str(of(sweep)): sweep for sweep in sweeps}
            if key not in spec and len(found) > 1:
                yield (
                    f"pools.{pool}: say under `{key}` what it has: {' and '.join(found.values())} "
                    f"differ ({' and '.join(found)})"
                )
        for sweep in sweeps:
            if unknown := set(study.reported_of(pool)) - set(study.reported_of(sweep)):
                yield f"pools.{pool}.reported: {sweep}, which it has, does not report {unknown}"


def start_problems(study: Study, name: str) -> Iterator[str]:
    """What does not fit in the starts of a sweep."""
    sweep, config = study.config["sweeps"][name], study.config
    starts = [start for start in [sweep.get("start"), *sweep.get("other_starts", [])] if start]
    if "zero-shot" in starts and not study.has_zero_shot(sweep["backbone"], study.train_of(name)):
        library = config["backbones"][sweep["backbone"]]["library"]
        yield f"sweeps.{name}: zero-shot " + (
            "needs class prompts; add `prompts`, a file with one template a line"
            if library in LIBRARIES_WITH_TEXT
            else f"needs a text tower, which backbones of {library} do not have; use linear-probe"
        )
    for start in PROBES:
        if start in starts and "linear_probe" not in config:
            yield f"sweeps.{name}: {start} needs the key `linear_probe`, with strengths to try"
    if sweep.get("start") in sweep.get("other_starts", []):
        yield f"sweeps.{name}.other_starts: {sweep['start']} is its start already; remove it"


def dataset_problems(datasets: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What does not fit in or among the data sets."""
    for name, spec in datasets.items():
        if spec["role"] in ("train", "held_out") and "class_map" in spec:
            yield f"datasets.{name}: a {spec['role']} set has the study's own classes; no class_map"
        if (spec.get("class_map") == "objectnet") != ("mappings" in spec):
            yield f"datasets.{name}: class_map objectnet and mappings go together"
        if spec.get("predicts", "class") != "class":
            yield from target_problems(name, spec)
        elif (spec.get("layout") in WITH_LABELS) != ("labels" in spec):
            yield f"datasets.{name}: layout {', '.join(WITH_LABELS)} and labels go together"
        if spec["role"] != "train" and "training_input" in spec:
            yield f"datasets.{name}: training_input is for the training set"
    splits = {
        spec["split"]["part"]: {**spec["split"], "part": None, "path": spec["path"]}
        for spec in datasets.values()
        if "split" in spec
    }
    if "rest" in splits and splits.get("held-out") != splits["rest"]:
        yield (
            "datasets: `split` makes two sets of one, `part: held-out` and `part: rest`, which "
            "must agree in path and in the split's other keys; the second without the first would "
            "lose images"
        )


def target_problems(name: str, spec: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit in a data set for models that give labels or numbers."""
    targets = spec.get("targets") or []
    if not targets:
        yield f"datasets.{name}: {spec['predicts']} need `targets`: columns, or an .npy file"
    in_file = isinstance(targets, str) and targets.endswith(".npy")
    layout = spec.get("layout", "parquet")
    if layout not in ("parquet", "flat", "npy") or (layout != "parquet" and not in_file):
        yield (
            f"datasets.{name}: targets are read from columns of Parquet files, or from an .npy "
            "file beside layout parquet, flat or npy"
        )
    if clash := sorted(
        {"class_map", "split", "labels", "num_classes", "images_per_class", "other_classes"}
        & {*spec}
    ):
        yield f"datasets.{name}: {', '.join(clash)} is of classes, not of {spec['predicts']}"


def problems_of_models(study: Study) -> Iterator[str]:
    """What is wrong with the runs of sweeps and the models of pools."""
    try:
        study.runs, study.checkpoints, study.pools  # noqa: B018 (what cannot be expanded raises)
    except ValueError as error:
        yield str(error)
        return
    yield from replicate_problems(study.config)
    yield from uneven_batches(study)
    yield from problems_of_runs(study)
    yield from average_problems(study)
    yield from teacher_problems(study)
    yield from disagreeing_sets(study)
    yield from task_problems(study)
    for pool in study.config.get("pools", {}):
        sweeps = dict.fromkeys(model.partition("/")[0] for model in study.pools[pool])
        backbones = {study.backbone_of(sweep) for sweep in sweeps}
        if len(backbones) > 1:
            yield f"pools.{pool}: expected models of one backbone, found {sorted(backbones)}"
    for sweep in study.pools:
        if not study.pools[sweep] and study.recipes_of(sweep):
            yield f"{sweep}: no models to choose from"


def problems_of_runs(study: Study) -> Iterator[str]:
    """Runs that do not fit their sweep's start or the images that it reads."""
    for name, runs in study.runs.items():
        start = study.config["sweeps"][name]["start"]
        losses = {run.loss for run in runs.values()}
        if start in PROBES and losses != {PROBES[start]}:
            [fitting] = [probe for probe in PROBES if probe != start]
            yield (
                f"sweeps.{name}: {start} is fitted by {PROBES[start]} loss, the runs have "
                f"{' and '.join(sorted(losses))}; let runs of each loss have a sweep of their own, "
                f"the others one with start {fitting}, and a pool of both"
            )
        view = study.config["views"][study.config["backbones"][study.backbone_of(name)]["view"]]
        train = study.config["datasets"][study.train_of(name) or ""]
        largest = max(run.train_size for run in runs.values())
        if train.get("training_input", "array") == "array" and largest > view.get("size", 0):
            yield (
                f"sweeps.{name}: train_size {largest} is more than the {view['size']} pixels of "
                "the view, at which training images are kept; set training_input: files"
            )


def uneven_batches(study: Study) -> Iterator[str]:
    """Runs whose batches do not split into the parts that they are computed in."""
    for name, runs in study.runs.items():
        compute = study.config["sweeps"][name].get("compute", {})
        parts = compute.get("gpus", 1) * compute.get("accumulate", 1)
        for size in dict.fromkeys(run.batch_size for run in runs.values()):
            if size % (2 * parts):
                yield (
                    f"sweeps.{name}: batch_size {size} does not split into {parts} parts (gpus "
                    "times accumulate) of one even size"
                )


def missing(where: str, found: str, known: Iterable[str]) -> str:
    """The sentence for a name that is not defined."""
    return f"{where}: {found!r} is not defined; defined are {sorted(known)}"
