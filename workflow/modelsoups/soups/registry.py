"""Every recipe and every ensemble: its options, who makes it, and its row in the paper's tables.

The one place where a recipe is entered. Its kind is the word in a config; options, their checks and
the config's schema follow from the fields of its spec, label and look from what differs from their
defaults. Imported while Snakemake parses: the standard library alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from importlib import import_module
from typing import Any, Literal

from modelsoups.soups.options import (
    METRICS_OF,
    check_options,
    key_of,
    layer_options,
    metric_option,
    needed,
    option,
    properties,
)
from modelsoups.study.study import Study


@dataclass(frozen=True, kw_only=True)
class UniformSpec:
    """The mean of all candidates (paper Sec. 2)."""

    statistics: Literal["average", "estimate"] = option(
        "average",
        "Statistics of BatchNorms: those of the ingredients averaged, or estimated on the held-out "
        "images",
    )
    only: Sequence[str] = layer_options()[0]
    except_: Sequence[str] = layer_options()[1]

    def __post_init__(self) -> None:
        check_options("uniform", self)


@dataclass(frozen=True, kw_only=True)
class WeightedSpec:
    """Candidates with coefficients that the config gives."""

    coefficients: Mapping[str, float] = option(
        MISSING,
        "Candidate -> its coefficient; those that are not named are left out. Their sum is 1",
        schema={"type": "object", "minProperties": 1, "additionalProperties": {"type": "number"}},
    )
    only: Sequence[str] = layer_options()[0]
    except_: Sequence[str] = layer_options()[1]

    def __post_init__(self) -> None:
        check_options("weighted", self)
        if abs((total := sum(self.coefficients.values())) - 1) > 1e-6:
            raise ValueError(f"weighted: coefficients have sum 1, found {total:g}")


@dataclass(frozen=True, kw_only=True)
class GreedySpec:
    """Candidates one after another, kept if the soup with them is better (paper Recipe 1)."""

    order: Literal["held-out", "random"] = option(
        "held-out", "By the metric of each candidate alone, best first; or random"
    )
    seed: int = option(0, "Seed of the random order", own_row=False, minimum=0)
    accept_ties: bool = option(
        False, "Also keep a candidate that leaves the score as it was (caption of Figure 1)"
    )
    replacement: bool = option(
        False, "Go through the candidates again until a pass adds none (App. I)"
    )
    metric: str | Mapping[str, Any] = metric_option("Score on the held-out set that has to rise")
    early_rejection: bool = option(
        True,
        "Stop evaluating a soup where its rejection is certain; decisions stay the same",
        own_row=False,
    )
    statistics: Literal["average", "estimate"] = option(
        "average", "Statistics of BatchNorms in every trial, as in a uniform soup"
    )
    only: Sequence[str] = layer_options()[0]
    except_: Sequence[str] = layer_options()[1]

    def __post_init__(self) -> None:
        check_options("greedy", self)
        if self.replacement and self.accept_ties:
            raise ValueError("greedy: replacement with accept_ties could add equals for ever")


@dataclass(frozen=True, kw_only=True)
class LearnedSpec:
    """Coefficients that minimise the held-out loss (paper App. I, eq. 2; MEHL-Soup).

    The paper has one coefficient per model or per layer, and the defaults below. The official
    script has one per tensor, learning rate 0.05 and five epochs. MEHL-Soup (Li et al. 2024) allows
    negative ones.
    """

    coefficients_per: Literal["model", "layer", "tensor"] = option(
        "model", "What has a coefficient of its own in each candidate"
    )
    constraint: Literal["softmax", "affine"] = option(
        "softmax", "Coefficients have sum 1, and are above 0; affine: of any sign, as in MEHL-Soup"
    )
    learning_rate: float = option(0.1, "Learning rate of AdamW, constant", exclusiveMinimum=0)
    weight_decay: float = option(
        0.0, "Weight decay of AdamW; the paper does not say, 0 in the official script", minimum=0
    )
    epochs: int = option(3, "Passes over the held-out set", minimum=1)
    batch_size: int = option(256, "Examples a step; 256 as in the official script", minimum=1)
    seed: int = option(0, "Seed of the order of examples", own_row=False, minimum=0)
    resident_gib: float = option(
        4.0,
        "Pools up to this size, in float32, are held on the device; others are read each step",
        own_row=False,
        minimum=0,
    )
    models_at_a_time: int = option(
        0,
        "Affine coefficients of so many models at a time move and these models are held, in turn "
        "over each epoch (MEHL-Soup+): memory for them and some four more, and each file is read "
        "twice an epoch. 0: all",
        written=False,
        minimum=0,
    )

    def __post_init__(self) -> None:
        check_options("learned", self)
        if self.models_at_a_time and self.constraint != "affine":
            raise ValueError("learned: models_at_a_time goes with constraint: affine")


@dataclass(frozen=True, kw_only=True)
class PrunedSpec:
    """From the mean of all candidates, those are taken out without which it is better."""

    order: Literal["held-out", "random"] = option(
        "held-out", "By the metric of each candidate alone, worst first; or random"
    )
    seed: int = option(0, "Seed of the random order", own_row=False, minimum=0)
    metric: str | Mapping[str, Any] = metric_option("Score on the held-out set that has to rise")
    early_rejection: bool = option(
        True, "As in a greedy soup; decisions stay the same", own_row=False
    )
    statistics: Literal["average", "estimate"] = option(
        "average", "Statistics of BatchNorms in every trial, as in a uniform soup"
    )

    def __post_init__(self) -> None:
        check_options("pruned", self)


@dataclass(frozen=True, kw_only=True)
class InterpolatedSpec:
    """The best on the held-out set between the initialisation and a soup (WiSE-FT, LiNeS)."""

    of: str = option("", "Recipe whose soup is interpolated; if left out the mean of the pool")
    by_depth: bool = option(False, "Also move the last layers further than the first (LiNeS)")
    step: float = option(
        0.1, "Between the factors tried for the first and for the last layer", exclusiveMinimum=0
    )
    largest: float = option(1.0, "Largest factor tried; above 1 goes beyond the soup", minimum=1)
    metric: str | Mapping[str, Any] = metric_option("Score on the held-out set that decides")

    def __post_init__(self) -> None:
        check_options("interpolated", self)

    @property
    def num_trials(self) -> int:
        """Pairs of factors that are tried, about."""
        side = int(self.largest / self.step) + 1
        return side * (side + 1) // 2 if self.by_depth else side


@dataclass(frozen=True, kw_only=True)
class StockSpec:
    """Between the candidates' mean and the initialisation, by their angles (Model Stock)."""

    ratio_per: Literal["model", "layer", "tensor"] = option("tensor", "What has a ratio of its own")

    def __post_init__(self) -> None:
        check_options("stock", self)


@dataclass(frozen=True, kw_only=True)
class FisherSpec:
    """All candidates, parameter by parameter weighted by their diagonal Fisher information."""

    num_images: int = option(256, "Held-out images that it is estimated on, a sample", minimum=1)
    seed: int = option(0, "Seed of the sample, and of the labels drawn", own_row=False, minimum=0)
    floor: float = option(
        1e-6, "Least information of a parameter, relative to its tensor's mean", minimum=0
    )
    normalize: bool = option(False, "Divide each candidate's by its mean over all parameters")

    def __post_init__(self) -> None:
        check_options("fisher", self)


@dataclass(frozen=True, kw_only=True)
class InverseLossSpec:
    """All candidates, each by the inverse of its held-out loss."""

    power: float = option(1.0, "Of the inverse loss; 0 is the uniform soup", minimum=0)

    def __post_init__(self) -> None:
        check_options("inverse-loss", self)


@dataclass(frozen=True, kw_only=True)
class UniformEnsembleSpec:
    """The mean of all candidates' logits (paper Sec. 3.1)."""


@dataclass(frozen=True, kw_only=True)
class GreedyEnsembleSpec:
    """The mean of the logits of those that Recipe 1 keeps, by the accuracy of the mean."""

    order: Literal["held-out", "random"] = option(
        "held-out", "By the accuracy of each candidate alone, best first; or random"
    )
    seed: int = option(0, "Seed of the random order", own_row=False, minimum=0)
    accept_ties: bool = option(False, "Also keep a candidate that leaves accuracy as it was")

    def __post_init__(self) -> None:
        check_options("greedy ensemble", self)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row of the paper's tables, and the marker of its models in figures."""

    label: str
    look: Mapping[str, Any]  # arguments of matplotlib's scatter
    paper: tuple[float, float] | None = None  # Table 3: CLIP ViT-B/32 on ImageNet, mean of shifts


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe, or a way to choose an ensemble."""

    spec: type  # frozen dataclass of options
    cook: str  # module:function
    methods: Sequence[tuple[Mapping[str, Any], Method]]  # options off their default, and their row
    needs_initialization: bool = False  # the weights that all candidates started from
    of: Sequence[str] = tuple(METRICS_OF)  # what models may give
    num_held: int = 9  # models in float32 that it has in memory at most, a buffer included
    # From spec and number of candidates to passes over the held-out set, or as much work, besides
    # one for each candidate: what a job asks for.
    extra_passes: Callable[[Any, int], int] = lambda spec, num_candidates: 0


# In the order of the rows of Table 3. Figure 1 has the colours of runs and uniform soup; the other
# looks are ours, told apart without colour.
RECIPES: dict[str, Recipe] = {
    "uniform": Recipe(
        spec=UniformSpec,
        cook="modelsoups.soups.uniform:uniform",
        num_held=4,
        methods=[
            (
                {},
                Method(
                    label="Uniform soup",
                    look={"color": "tab:blue", "marker": "o", "s": 70},
                    paper=(0.7997, 0.5145),
                ),
            )
        ],
    ),
    "greedy": Recipe(
        spec=GreedySpec,
        cook="modelsoups.soups.greedy:greedy",
        num_held=3,  # the model, and at the end the soup
        methods=[
            (
                {},
                Method(
                    label="Greedy soup",
                    look={"color": "tab:red", "marker": "*", "s": 170},
                    paper=(0.8103, 0.5075),
                ),
            ),
            (
                {"order": "random"},
                Method(
                    label="Greedy soup (random order)",
                    look={"color": "tab:orange", "marker": "v", "s": 45},
                    paper=(0.8079, 0.5130),
                ),
            ),
            (
                {"replacement": True},
                Method(
                    label="Greedy soup (with replacement)",
                    look={"color": "tab:red", "marker": "H", "s": 70},
                ),
            ),
        ],
    ),
    "learned": Recipe(
        spec=LearnedSpec,
        cook="modelsoups.soups.learned:learned",
        num_held=4,  # besides those of `resident_gib` or `models_at_a_time`
        methods=[
            (
                {},
                Method(
                    label="Learned soup",
                    look={"color": "tab:cyan", "marker": "^", "s": 60},
                    paper=(0.8089, 0.5107),
                ),
            ),
            (
                {"coefficients_per": "layer"},
                Method(
                    label="Learned soup (by layer)",
                    look={"color": "tab:olive", "marker": "<", "s": 60},
                    paper=(0.8137, 0.5087),
                ),
            ),
            (
                {"constraint": "affine"},
                Method(
                    label="Affine learned soup",
                    look={"color": "tab:cyan", "marker": "D", "s": 40},
                ),
            ),
            (
                {"constraint": "affine", "coefficients_per": "layer"},
                Method(
                    label="Affine learned soup (by layer)",
                    look={"color": "tab:olive", "marker": "p", "s": 60},
                ),
            ),
        ],
        extra_passes=lambda spec, num_candidates: 4 * spec.epochs,  # a gradient is three
        of=("class", "labels", "numbers"),
    ),
    # Not of the paper.
    "weighted": Recipe(
        spec=WeightedSpec,
        cook="modelsoups.soups.weighted:weighted",
        num_held=4,
        methods=[
            (
                {},
                Method(
                    label="Weighted soup",
                    look={"color": "tab:blue", "marker": (5, 1, 0), "s": 80},
                ),
            )
        ],
    ),
    "pruned": Recipe(
        spec=PrunedSpec,
        cook="modelsoups.soups.pruned:pruned",
        num_held=3,
        methods=[
            (
                {},
                Method(
                    label="Pruned soup",
                    look={"color": "tab:red", "marker": "h", "s": 70},
                ),
            )
        ],
        extra_passes=lambda spec, num_candidates: 2 * num_candidates,  # three rounds
    ),
    "interpolated": Recipe(
        spec=InterpolatedSpec,
        cook="modelsoups.soups.interpolated:interpolated",
        methods=[
            (
                {},
                Method(
                    label="Interpolated soup",
                    look={"color": "tab:green", "marker": (4, 1, 0), "s": 80},
                ),
            ),
            (
                {"by_depth": True},
                Method(
                    label="Interpolated soup (by depth)",
                    look={"color": "tab:green", "marker": (6, 1, 0), "s": 80},
                ),
            ),
        ],
        needs_initialization=True,
        extra_passes=lambda spec, num_candidates: spec.num_trials,
    ),
    "stock": Recipe(
        spec=StockSpec,
        cook="modelsoups.soups.stock:stock",
        methods=[
            (
                {},
                Method(
                    label="Model Stock",
                    look={"color": "tab:pink", "marker": ">", "s": 60},
                ),
            )
        ],
        needs_initialization=True,
    ),
    "fisher": Recipe(
        spec=FisherSpec,
        cook="modelsoups.soups.fisher:fisher",
        methods=[
            (
                {},
                Method(
                    label="Fisher-weighted average",
                    look={"color": "tab:gray", "marker": (8, 1, 0), "s": 80},
                ),
            )
        ],
        of=("class",),
    ),
    "inverse-loss": Recipe(
        spec=InverseLossSpec,
        cook="modelsoups.soups.inverse_loss:inverse_loss",
        methods=[
            (
                {},
                Method(
                    label="Inverse-loss average",
                    look={"color": "tab:gray", "marker": "8", "s": 60},
                ),
            )
        ],
        of=("class",),
    ),
}
ENSEMBLES: dict[str, Recipe] = {
    "uniform": Recipe(
        spec=UniformEnsembleSpec,
        cook="modelsoups.soups.ensembles:uniform",
        methods=[
            (
                {},
                Method(
                    label="Ensemble",
                    look={"color": "tab:purple", "marker": "s", "s": 45},
                    paper=(0.8119, 0.5077),
                ),
            )
        ],
    ),
    "greedy": Recipe(
        spec=GreedyEnsembleSpec,
        cook="modelsoups.soups.ensembles:greedy",
        methods=[
            (
                {},
                Method(
                    label="Greedy ensemble",
                    look={"color": "tab:brown", "marker": "P", "s": 70},
                    paper=(0.8190, 0.4944),
                ),
            )
        ],
    ),
}


def parse_recipe(config: Mapping[str, Any]) -> Any:
    """The spec of a recipe's config: its `kind`, and options.

    Raises: ValueError if kind, option or value is unknown; the message has those allowed.
    """
    return _parse("recipe", RECIPES, config)


def parse_ensemble(config: Mapping[str, Any]) -> Any:
    """The spec of an ensemble's config, as `parse_recipe`."""
    return _parse("ensemble", ENSEMBLES, config)


def full_config(config: Mapping[str, Any], ensemble: bool = False) -> dict[str, Any]:
    """The config of a recipe or ensemble with every option, as records have it."""
    spec = parse_ensemble(config) if ensemble else parse_recipe(config)
    written = {
        key_of(each.name): asdict(spec)[each.name]
        for each in fields(spec)
        if each.metadata["written"] or getattr(spec, each.name) != each.default
    }
    return {"kind": config["kind"], **written}


def function_of(recipe: Recipe) -> Callable[..., Any]:
    """The function that makes it; its module is imported now."""
    module, name = recipe.cook.split(":")
    return getattr(import_module(module), name)


def method_of(config: Mapping[str, Any], ensemble: bool = False) -> Method:
    """The row and marker of a recipe's or an ensemble's config.

    Options that no row of the paper has are added to the label; then there is no number of the
    paper, and the marker is hollow.
    """
    entries = ENSEMBLES if ensemble else RECIPES
    spec = parse_ensemble(config) if ensemble else parse_recipe(config)
    given = {
        key_of(each.name): getattr(spec, each.name)
        for each in fields(spec)
        if each.metadata["own_row"] and getattr(spec, each.name) != each.default
    }
    fitting = [
        (options, method)
        for options, method in entries[config["kind"]].methods
        if options.items() <= given.items()
    ]
    options, method = max(fitting, key=lambda found: len(found[0]))
    others = [_describe(name, value) for name, value in given.items() if name not in options]
    if not others:
        return method
    base, _, known = method.label.partition(" (")
    label = f"{base} ({', '.join([known.rstrip(')')] * bool(known) + others)})"
    color = method.look["color"]
    hollow = {key: value for key, value in method.look.items() if key != "color"}
    return replace(
        method,
        label=label,
        look={**hollow, "facecolor": "none", "edgecolor": color},
        paper=None,
    )


def recipe_problems(study: Study) -> Iterator[str]:
    """Why recipes of a study could not be cooked: options that do not fit, or no initialisation."""
    for name, config in study.config.get("recipes", {}).items():
        try:
            parse_recipe(config)
        except ValueError as error:
            yield f"recipes.{name}: {error}"
        if loop := _loop_of(name, study.config["recipes"]):
            yield f"recipes.{name}: `of` leads back to itself: {' of '.join(loop)}"
    for sweep in study.pools:
        yield from prediction_problems(study, sweep)
        for name, config in study.recipes_of(sweep).items():
            if (of := config.get("of")) and of not in study.recipes_of(sweep):
                yield (
                    f"{sweep}: recipe {name} is of {of!r}, which is none of its recipes; they are "
                    f"{', '.join(study.recipes_of(sweep))}"
                )
        if study.initialization_of(sweep) is None:
            for name, config in study.recipes_of(sweep).items():
                if RECIPES[config["kind"]].needs_initialization:
                    yield (
                        f"{sweep}: recipe {name} (kind {config['kind']}) needs the one model that "
                        "all of its pool started from, and there is none; name it under "
                        f"`initialization`, or list the `recipes` of {sweep} without {name}"
                    )


def prediction_problems(study: Study, sweep: str) -> Iterator[str]:
    """Recipes and ensembles of a sweep or pool that do not fit what its models give."""
    predicts = study.predicts(sweep)
    for name, config in study.recipes_of(sweep).items():
        kind = RECIPES[config["kind"]]
        if predicts not in kind.of:
            yield (
                f"{sweep}: recipe {name} (kind {config['kind']}) is for models that give "
                f"{' or '.join(kind.of)}, these give {predicts}"
            )
        elif "metric" in {each.name for each in fields(kind.spec)}:
            metric = config.get("metric", "accuracy")
            chosen = metric if isinstance(metric, str) else metric["function"]
            evaluates = isinstance(metric, Mapping) and metric.get("evaluates", False)
            own = ":" in chosen and evaluates == (predicts == "score")
            if not own and chosen not in METRICS_OF[predicts]:
                known = ", ".join(METRICS_OF[predicts]) or "the evaluator's alone"
                yield (
                    f"{sweep}: recipe {name} has metric {chosen}; of models that give {predicts} "
                    f"there are {known}; say which as `metric`"
                )
        if predicts == "score" and config.get("statistics") == "estimate":
            yield f"{sweep}: recipe {name}: `evaluate` hides the images for statistics: estimate"
    if predicts == "score" and (ensembles := study.ensembles_of(sweep)):
        yield f"{sweep}: ensembles {[*ensembles]} average outputs, which `evaluate` hides"


def recipe_schema() -> dict[str, Any]:
    """JSON schema of a recipe in a config."""
    return _schema(RECIPES)


def ensemble_schema() -> dict[str, Any]:
    """JSON schema of an ensemble in a config."""
    return _schema(ENSEMBLES)


def _loop_of(name: str, recipes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The names from a recipe by `of` back to one that was met before; empty if there is an end."""
    met = [name]
    while name := recipes.get(name, {}).get("of", ""):
        met.append(name)
        if met.count(name) > 1:
            return met
    return []


def _parse(what: str, entries: Mapping[str, Recipe], config: Mapping[str, Any]) -> Any:
    kind: Any = config.get("kind")
    if kind not in entries:
        raise ValueError(f"{what} kind {kind!r} is unknown, allowed: {', '.join(entries)}")
    spec = entries[kind].spec
    names = {key_of(each.name): each.name for each in fields(spec)}
    allowed = list(names)
    if unknown := sorted(config.keys() - {"kind", *allowed}):
        raise ValueError(
            f"{what} of kind {kind}: {', '.join(unknown)} unknown, "
            f"allowed: {', '.join(allowed) or 'no option'}"
        )
    return spec(**{names[key]: value for key, value in config.items() if key != "kind"})


def _describe(name: str, value: Any) -> str:
    words = name.replace("_", " ")
    if name == "metric":
        return f"metric {value if isinstance(value, str) else value['function']}"
    if name == "coefficients":
        return ", ".join(f"{share:g} {candidate}" for candidate, share in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"{words} {' '.join(value)}"
    if isinstance(value, bool):
        return words if value else f"no {words}"
    return f"{words} {value}"


def _schema(entries: Mapping[str, Recipe]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": list(entries)}},
        "allOf": [
            {
                "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
                "then": {
                    "description": entry.spec.__doc__,
                    "additionalProperties": False,
                    "required": ["kind", *needed(entry.spec)],
                    "properties": {"kind": {"const": kind}, **properties(entry.spec)},
                },
            }
            for kind, entry in entries.items()
        ],
    }
