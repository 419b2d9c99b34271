"""What does not fit where a study mixes texts, images, and the models that read them.

Imported while Snakemake parses: no torch.
"""

from collections.abc import Iterator

from modelsoups.study.search import RunSpec
from modelsoups.study.study import LIBRARIES_OF_TEXT, LIBRARIES_WITH_OPTIONS, Study


def task_problems(study: Study) -> Iterator[str]:
    """What does not fit among the backbones, views, data sets and runs of a study, all defined."""
    config = study.config
    for name, backbone in config["backbones"].items():
        wanted = what_is_read(backbone["library"])
        found = config["views"][backbone["view"]].get("form", "images")
        if found != wanted:
            yield (
                f"backbones.{name}: {backbone['library']} reads {wanted}, its view "
                f"{backbone['view']} gives {found}"
            )
    for sweep, spec in config["sweeps"].items():
        read = what_is_read(config["backbones"][spec["backbone"]]["library"])
        task = "images" if read == "images" else "text"
        sets = {name: config["datasets"][name] for name in study.sets_of([sweep])}
        if others := [name for name, each in sets.items() if each.get("task", "images") != task]:
            yield f"sweeps.{sweep}: its backbone reads {task}; of another task are {others}"
        if "kind" not in spec and study.predicts(sweep) != "class":
            yield (
                f"sweeps.{sweep}: fine-tuning here is of classes; models that give labels or "
                "numbers are for `soup`"
            )
        starts = [spec.get("start"), *spec.get("other_starts", [])]
        if read == "options" and "linear-probe" in starts:
            yield f"sweeps.{sweep}: a model that reads options has no linear probe; use zero-shot"
        for run in study.runs.get(sweep, {}).values():
            if why := run_problem(run, read):
                yield f"sweeps.{sweep}: {why}"
                break


def what_is_read(library: str) -> str:
    """What models of a library read: images, sentences, or questions with options."""
    if library not in LIBRARIES_OF_TEXT:
        return "images"
    return "options" if library in LIBRARIES_WITH_OPTIONS else "sentences"


def run_problem(run: RunSpec, read: str) -> str | None:
    """Why a run's hyper-parameters do not fit what its model reads."""
    if read != "images" and (run.augmentation != "none" or run.mixup or run.augment_on_device):
        return "texts are not augmented; say `augmentation: none` and `mixup: 0` alone"
    if read == "images" and run.group_by_length:
        return "group_by_length is of texts; images are of one size"
    if run.loss == "likelihood" and (read != "options" or run.label_smoothing):
        return "loss `likelihood` is of models that read options, without label_smoothing"
    return None
