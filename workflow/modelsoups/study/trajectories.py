"""What does not fit in averages along a run's trajectory, and in runs that learn from other models.

Imported while Snakemake parses: standard library only.
"""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from modelsoups.study.search import average_names
from modelsoups.study.study import Study


def average_problems(study: Study) -> Iterator[str]:
    """Sweeps whose runs do not all have the same averages, so that no pool could name them."""
    for sweep, runs in study.runs.items():
        found = {tuple(average_names(spec)) for spec in runs.values()}
        if len(found) > 1:
            yield (
                f"sweeps.{sweep}: expected the same ema and swa in all runs, found "
                f"{' and '.join(', '.join(names) or 'none' for names in sorted(found))}; let "
                "them stand in `finetune`"
            )


def teacher_problems(study: Study) -> Iterator[str]:
    """Teachers that are no models with weights or do not fit, and models that are made of
    themselves."""
    found = []
    for sweep, runs in study.runs.items():
        for teacher in dict.fromkeys(each for spec in runs.values() for each in spec.teachers):
            if problem := _problem_of(study, sweep, teacher):
                found.append(f"sweeps.{sweep}: teacher {teacher!r} {problem}")
    yield from found or _circles(study)


def _problem_of(study: Study, sweep: str, teacher: str) -> str | None:
    owner, _, model = teacher.partition("/")
    if owner not in study.pools:
        return f"is of no sweep or pool; expected sweep/model of one of {sorted(study.pools)}"
    if model not in (known := study.models_with_weights(owner)):
        return f"is no model with weights; {owner} has {', '.join(known)}"
    own, other = study.backbone_of(sweep), study.backbone_of(owner)
    return None if own == other else f"has backbone {other}, expected {own}, that of its students"


def _circles(study: Study) -> Iterator[str]:
    """The first circle among models of which one is made of, or taught by, the next."""
    graph: dict[str, list[str]] = {}
    waiting = [f"{s}/{r}" for s, runs in study.runs.items() for r in runs if runs[r].teachers]
    while waiting:
        if (model := waiting.pop()) not in graph:
            graph[model] = made_of(study, model)
            waiting += graph[model]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield (
            f"teachers: {' needs '.join(reversed(error.args[1]))}; a model can be no teacher of "
            "what it is made of"
        )


def made_of(study: Study, model: str) -> list[str]:
    """Identities of the models that a model is made of: a run's teachers, an average's run, a
    soup's candidates."""
    sweep, _, name = model.partition("/")
    if name in study.recipes_of(sweep):
        return study.candidates_of(sweep, name)
    if name in study.averaged_of(sweep):
        return [f"{sweep}/{name.partition('-')[0]}"]
    spec = study.runs.get(sweep, {}).get(name)
    return list(spec.teachers) if spec else []
