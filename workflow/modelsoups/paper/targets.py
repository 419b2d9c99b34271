"""The tables and figures that a config asks for, and the analyses that they need.

Imported while Snakemake parses: standard library only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelsoups.paper.declare import Analysis, Result
from modelsoups.paper.registry import RESULTS
from modelsoups.soups.registry import recipe_problems
from modelsoups.study.study import Study

Plans = dict[str, dict[str, Mapping[str, Any]]]  # sweep -> table -> plan of an analysis


@dataclass(frozen=True)
class Target:
    """One table, figure or set of claims that a study makes: results/<its name>.csv or .svg."""

    result: Result
    spec: Any  # what the config says of it

    @property
    def title(self) -> str:
        """Its title."""
        return self.result.title_of(self.spec)


def list_targets(config: Mapping[str, Any]) -> dict[str, Target]:
    """Name -> target, in the paper's order; what the config has no key for is left out.

    Args: config: valid by the schema; what it names need not be defined.
    """
    return {
        name: Target(result, spec)
        for result in RESULTS.values()
        if result.key in config
        for name, spec in specs_of(result, config).items()
    }


def specs_of(result: Result, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name of each file that a result makes in a study -> what the config says of it."""
    if result.targets is None:
        return {result.name: config[result.key]}
    return result.targets(config[result.key], config)


def list_schemas() -> dict[str, Mapping[str, Any]]:
    """Key of the config -> its JSON schema."""
    return {result.key: result.schema for result in RESULTS.values()}


def list_names(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What targets name: key of the config, what it is (sweep, recipe, dataset), and its name."""
    for target in list_targets(config).values():
        for what, name in target.result.names(target.spec):
            yield target.result.key, what, name


def list_analyses(config: Mapping[str, Any]) -> Plans:
    """The analyses that targets ask for; those that several share once.

    Raises:
        ValueError: two targets ask for one table by different plans.
    """
    found: dict[tuple[str, str], tuple[str, Analysis]] = {}
    for name, target in list_targets(config).items():
        for asked in target.result.analyses(target.spec):
            first, known = found.setdefault((asked.sweep, asked.table), (name, asked))
            if known.plan != asked.plan:
                raise ValueError(
                    f"{first} and {name} ask for {asked.table} of sweep {asked.sweep} by different "
                    f"plans: {dict(known.plan)} and {dict(asked.plan)}; make them agree"
                )
    plans: Plans = {}
    for (sweep, table), (_, asked) in found.items():
        plans.setdefault(sweep, {})[table] = asked.plan
    return plans


def list_problems(study: Study) -> Iterator[str]:
    """Why recipes and targets of a study could not be made, though all they name is defined."""
    yield from recipe_problems(study)
    known = sorted(list_schemas().keys() & study.config.keys())
    for key in study.config.get("appendix", []):
        if key not in known:
            yield f"appendix: {key!r} is no table or figure of this config; it has {known}"
    found = [
        f"{target.result.key}: {problem}"
        for target in list_targets(study.config).values()
        for problem in target.result.problems(target.spec, study)
    ]
    yield from dict.fromkeys(found)  # figures that share a key share problems
    try:
        list_analyses(study.config)
    except ValueError as error:
        yield str(error)
