"""A study: its checked config, and all that follows from it before anything is computed.

Whoever needs a name asks here: which data sets play which role, which models a sweep or a pool has,
which of them a recipe chooses from, what is scored. Imported while Snakemake parses: no torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from modelsoups.study.checkpoints import CheckpointSpec, list_checkpoints
from modelsoups.study.search import (
    INITIALIZATION,
    RunSpec,
    average_names,
    list_runs,
    select_all,
)

# Heads that fine-tuning can start from. A probe is fitted by the loss of the runs (`RunSpec.loss`).
PROBES = {"linear-probe": "softmax", "binary-probe": "binary"}
STARTS = ("zero-shot", *PROBES)
LIBRARIES_WITH_TEXT = ("iconclip", "open_clip", "minilm")  # their backbones embed class prompts
LIBRARIES_WITH_OPTIONS = ("bert", "t5")  # they read classes as options (Appendix J.5)
LIBRARIES_OF_TEXT = (*LIBRARIES_WITH_OPTIONS, "minilm")  # their examples are texts


@dataclass(frozen=True)
class Study:
    """What a config says, looked up by name.

    A model's identity is `sweep/model`. Within its own sweep it goes by `model` alone. A *pool* is
    a sweep without runs of its own: models of other sweeps, for recipes to choose from.
    """

    config: Mapping[str, Any]

    # Data sets by role.

    @cached_property
    def roles(self) -> dict[str, str]:
        """Data set -> role."""
        return {name: spec["role"] for name, spec in self.config["datasets"].items()}

    def with_role(self, *roles: str) -> list[str]:
        """Names of the data sets that have one of the roles, in the order of the roles."""
        return [name for role in roles for name, found in self.roles.items() if found == role]

    def train_of(self, sweep: str) -> str | None:
        """The training set of a sweep: its own or the study's; None of existing checkpoints."""
        return self._set_of(sweep, "train", next(iter(self.with_role("train")), None))

    def held_out_of(self, sweep: str) -> str:
        """The set that every choice of a sweep or pool is made on: its own or the study's."""
        return self._set_of(sweep, "held_out", next(iter(self.with_role("held_out")), None))

    def reported_of(self, sweep: str) -> list[str]:
        """The test set and the shift sets of a sweep or pool, by default all: never chosen on."""
        return self._set_of(sweep, "reported", self.with_role("test", "shift"))

    def evaluated_of(self, sweep: str) -> list[str]:
        """The held-out set and the reported ones of a sweep or pool."""
        return [self.held_out_of(sweep), *self.reported_of(sweep)]

    def _set_of(self, sweep: str, key: str, default: Any) -> Any:
        """What a sweep or pool says of its sets; of a pool that says nothing its first model's."""
        section = self._section(sweep)
        if key not in section and sweep not in self.config["sweeps"]:
            return self._set_of(self.pools[sweep][0].partition("/")[0], key, default)
        return section.get(key, default)

    def sets_of(self, sweeps: Iterable[str]) -> dict[str, str]:
        """Data set -> role, of all that sweeps and pools train on, choose on or report."""
        used = {
            name for sweep in sweeps for name in (self.train_of(sweep), *self.evaluated_of(sweep))
        }
        return {name: role for name, role in self.roles.items() if name in used}

    def predicts(self, sweep: str) -> str:
        """What the models of a sweep or pool give: a class, labels or numbers; or a score, where an
        evaluator of the user's own looks at what they give."""
        if "evaluate" in self.config.get("soup", {}):
            return "score"
        return self.config["datasets"][self.held_out_of(sweep)].get("predicts", "class")

    def said_of(self, dataset: str | None, key: str) -> Any:
        """What a data set or else the study says of `classes` or `prompts`; None if nothing."""
        own = self.config["datasets"].get(dataset, {})
        return own.get(key, self.config.get(key))

    # Sweeps, pools and their models.

    @cached_property
    def runs(self) -> dict[str, dict[str, RunSpec]]:
        """Sweep that is fine-tuned -> run -> its hyper-parameters."""
        return {
            name: _named(name, list_runs, sweep)
            for name, sweep in self.config["sweeps"].items()
            if "kind" not in sweep
        }

    @cached_property
    def checkpoints(self) -> dict[str, dict[str, CheckpointSpec]]:
        """Sweep of existing checkpoints -> model, perhaps the initialisation -> its file."""
        return {
            name: _named(name, list_checkpoints, sweep)
            for name, sweep in self.config["sweeps"].items()
            if "kind" in sweep
        }

    @cached_property
    def pools(self) -> dict[str, list[str]]:
        """Sweep or pool -> identities of the models that its recipes and ensembles choose from."""
        found: dict[str, list[str]] = {}
        for sweep, spec in self.config["sweeps"].items():
            start = [INITIALIZATION] if spec.get("pool_initialization") else []
            found[sweep] = [f"{sweep}/{model}" for model in [*start, *self.runs_of(sweep)]]
        waiting = dict(self.config.get("pools", {}))
        while waiting:
            ready = [
                name
                for name, pool in waiting.items()
                if not {sweep_of(item) for item in pool["models"]} & waiting.keys()
            ]
            if not ready:
                raise ValueError(f"pools: {sorted(waiting)} take models of one another in a circle")
            for name in ready:
                items = waiting.pop(name)["models"]
                members = [model for item in items for model in self._expand(name, item, found)]
                found[name] = list(dict.fromkeys(members))
        return found

    def _expand(self, pool: str, item: Any, found: Mapping[str, list[str]]) -> list[str]:
        """The identities of an entry of a pool: a sweep, some runs of one, or one model."""
        sweep = sweep_of(item)
        if sweep not in found:
            raise ValueError(f"pools.{pool}: {sweep!r} is not defined; defined are {sorted(found)}")
        if isinstance(item, Mapping):
            chosen = select_all(self.runs.get(sweep, {}), item.get("match", {}))
            if not chosen:
                match = dict(item.get("match", {}))
                raise ValueError(f"pools.{pool}: no run of {sweep} has {match}")
            average = item.get("average")
            if average not in (None, *self.averages_of(sweep)):
                known = ", ".join(self.averages_of(sweep)) or "none"
                raise ValueError(
                    f"pools.{pool}: the runs of {sweep} have no average {average!r}; they have "
                    f"{known}"
                )
            return [f"{sweep}/{run}-{average}" if average else f"{sweep}/{run}" for run in chosen]
        if "/" not in item:
            return found[sweep]
        model = item.partition("/")[2]
        if model not in self.models_with_weights(sweep):
            raise ValueError(
                f"pools.{pool}: {sweep} has no model {model!r} with weights; it has "
                f"{', '.join(self.models_with_weights(sweep))}"
            )
        return [item]

    def runs_of(self, sweep: str) -> list[str]:
        """Names of a sweep's runs; a pool has none of its own."""
        if sweep in self.runs:
            return list(self.runs[sweep])
        return [model for model in self.checkpoints.get(sweep, {}) if model != INITIALIZATION]

    def averages_of(self, sweep: str) -> list[str]:
        """Averages along the trajectory of each run of a sweep, such as `ema0.99`."""
        return next((average_names(spec) for spec in self.runs.get(sweep, {}).values()), [])

    def averaged_of(self, sweep: str) -> list[str]:
        """Names of these models of all runs of a sweep, run by run, such as `000-ema0.99`."""
        averages = self.averages_of(sweep)
        return [f"{run}-{each}" for run in self.runs_of(sweep) for each in averages]

    @cached_property
    def sweeps_by_averages(self) -> dict[tuple[str, ...], list[str]]:
        """Averages that runs have, none at all first -> the sweeps that are fine-tuned so."""
        groups: dict[tuple[str, ...], list[str]] = {(): []}
        for sweep in self.runs:
            groups.setdefault(tuple(self.averages_of(sweep)), []).append(sweep)
        return groups

    def starts_of(self, sweep: str) -> list[str]:
        """Names of the models a sweep's runs start from, or could: the initialisation, others."""
        if sweep in self.runs:
            return [INITIALIZATION, *self.config["sweeps"][sweep].get("other_starts", [])]
        return [model for model in self.checkpoints.get(sweep, {}) if model == INITIALIZATION]

    def models_with_weights(self, sweep: str) -> list[str]:
        """Names of all models of a sweep that have weights: starts, runs, averages, soups."""
        runs = [*self.runs_of(sweep), *self.averaged_of(sweep)]
        return [*self.starts_of(sweep), *runs, *self.recipes_of(sweep)]

    def recipes_of(self, sweep: str) -> dict[str, Mapping[str, Any]]:
        """Recipes of a sweep or pool: those that it names, or all of the study."""
        return self._chosen(sweep, "recipes")

    def ensembles_of(self, sweep: str) -> dict[str, Mapping[str, Any]]:
        """Ensembles of a sweep or pool: those that it names, or all of the study."""
        return self._chosen(sweep, "ensembles")

    def _chosen(self, sweep: str, what: str) -> dict[str, Mapping[str, Any]]:
        known = self.config.get(what, {})
        return {name: known[name] for name in self._section(sweep).get(what, known)}

    def _section(self, sweep: str) -> Mapping[str, Any]:
        return {**self.config["sweeps"], **self.config.get("pools", {})}[sweep]

    def pool_of(self, sweep: str) -> list[str]:
        """The models that a sweep's recipes and ensembles choose from, as it names them."""
        return [name_in(sweep, model) for model in self.pools[sweep]]

    def candidates_of(self, sweep: str, recipe: str) -> list[str]:
        """Identities of what a recipe is given: the pool or, of a recipe `of` another, its soup."""
        of = self.config["recipes"][recipe].get("of")
        return [f"{sweep}/{of}"] if of else self.pools[sweep]

    def initialization_of(self, sweep: str) -> str | None:
        """Identity of the model that all of a pool's models start from; None if there is none.

        Sweeps of one backbone and training set with one kind of start begin at the same weights.
        """
        if sweep in self.config["sweeps"]:
            own = INITIALIZATION in self.starts_of(sweep)
            return f"{sweep}/{INITIALIZATION}" if own else None
        members = dict.fromkeys(model.partition("/")[0] for model in self.pools[sweep])
        found = [self.initialization_of(member) for member in members]
        origins = {start and self._origin(start.partition("/")[0]) for start in found}
        return found[0] if len(origins) == 1 else None

    def _origin(self, sweep: str) -> tuple[str, str, str | None]:
        spec = self.config["sweeps"][sweep]
        return spec["backbone"], spec.get("start", sweep), self.train_of(sweep)

    def backbone_of(self, sweep: str) -> str:
        """The backbone of a sweep's or pool's models."""
        if sweep in self.config["sweeps"]:
            return self.config["sweeps"][sweep]["backbone"]
        return self.backbone_of(self.pools[sweep][0].partition("/")[0])

    def kinds_of(self, sweep: str) -> dict[str, str]:
        """What is scored of a sweep or pool: name -> kind of model.

        A run's averages are of a kind of their own in its sweep, which chooses from runs alone. In
        a pool they stand as runs: individual models, of which the best is what soups are compared
        with.
        """
        start = self.initialization_of(sweep)
        return {
            **({name_in(sweep, start): "initialization"} if start else {}),
            **dict.fromkeys(self.starts_of(sweep)[1:], "start"),
            **{name_in(sweep, model): self._kind_in(sweep, model) for model in self._scored(sweep)},
            **dict.fromkeys(self.recipes_of(sweep), "soup"),
            **dict.fromkeys(self.ensembles_of(sweep), "ensemble"),
        }

    def _kind_in(self, sweep: str, model: str) -> str:
        kind = self.kind_of(model)
        return "run" if kind == "average" and sweep not in self.config["sweeps"] else kind

    def _scored(self, sweep: str) -> Sequence[str]:
        if sweep in self.config["sweeps"]:
            names = [*self.runs_of(sweep), *self.averaged_of(sweep)]
            return [f"{sweep}/{name}" for name in names]
        return [model for model in self.pools[sweep] if self.kind_of(model) != INITIALIZATION]

    def kind_of(self, model: str) -> str:
        """Kind of the model of that identity: initialization, start, run, average or soup."""
        sweep, _, name = model.partition("/")
        if name in self.runs_of(sweep):
            return "run"
        if name in self.averaged_of(sweep):
            return "average"
        return {INITIALIZATION: "initialization"}.get(name, "start" if name in STARTS else "soup")

    def has_zero_shot(self, backbone: str, train: str | None) -> bool:
        """Whether a backbone has a zero-shot head for the classes of a training set: a text tower,
        and class prompts to embed; or it reads options."""
        library = self.config["backbones"][backbone]["library"]
        if library in LIBRARIES_WITH_OPTIONS:
            return True
        return library in LIBRARIES_WITH_TEXT and self.said_of(train, "prompts") is not None


def sweep_of(item: Any) -> str:
    """The sweep or pool that an entry of a pool is about."""
    return item["sweep"] if isinstance(item, Mapping) else item.partition("/")[0]


def name_in(sweep: str, model: str) -> str:
    """A model's name as a sweep or pool has it: without the sweep where that is its own."""
    return model.removeprefix(f"{sweep}/")


def identity(sweep: str, name: str) -> str:
    """The identity `sweep/model` of a model that a sweep or pool calls by a name."""
    return name if "/" in name else f"{sweep}/{name}"


def _named(name: str, expand: Any, sweep: Mapping[str, Any]) -> Any:
    try:
        return expand(sweep)
    except ValueError as error:
        raise ValueError(f"sweeps.{name}: {error}") from None
