"""Groups of a sweep's runs whose means a table or figure shows: of weights or of outputs.

Imported while Snakemake parses: standard library only.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelsoups.study.search import RunSpec, select_all
from modelsoups.study.study import Study

# members: a list of hyper-parameters, each those of one run. about: what the group is called.
# Perhaps average, an average along each member in its place, such as ema0.99; taught: members are
# runs with teachers, else they are runs without; ensemble: outputs are averaged, not weights.
Group = Mapping[str, Any]


def runs_of(runs: Mapping[str, RunSpec], group: Group) -> list[list[str]]:
    """For each member of a group the runs that it could be; there should be one."""
    alike = {n: run for n, run in runs.items() if bool(run.teachers) == group.get("taught", False)}
    return [select_all(alike, match) for match in group["members"]]


def members_of(runs: Mapping[str, RunSpec], group: Group) -> list[str] | None:
    """Names of a group's models; None if a member is no one run."""
    found = runs_of(runs, group)
    if any(len(names) != 1 for names in found):
        return None
    average = group.get("average")
    return [f"{run}-{average}" if average else run for [run] in found]


def averages_in(groups: Sequence[Group]) -> list[str]:
    """Averages along runs that groups are made of."""
    return list(dict.fromkeys(group["average"] for group in groups if group.get("average")))


def group_problems(study: Study, sweep: str, groups: Sequence[Group]) -> Iterator[str]:
    """Members that are no one run of a sweep that is fine-tuned here, averages that it lacks."""
    if sweep not in study.runs:
        yield f"{sweep} is no sweep that is fine-tuned here; there are {', '.join(study.runs)}"
        return
    for group in groups:
        for match, found in zip(group["members"], runs_of(study.runs[sweep], group), strict=True):
            if len(found) != 1:
                yield (
                    f"expected one run of {sweep} {'with' if group.get('taught') else 'without'} "
                    f"teachers and with {dict(match)}, found {', '.join(found) or 'none'}"
                )
    known = study.averages_of(sweep)
    for average in averages_in(groups):
        if average not in known:
            yield (
                f"the runs of {sweep} have no average {average!r}; they have "
                f"{', '.join(known) or 'none'}"
            )
