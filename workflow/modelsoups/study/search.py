"""The hyper-parameters of a run, and the runs of a sweep (paper Appendix J.2.1).

Imported while Snakemake parses the workflow: standard library only.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from dataclasses import field as field_of
from itertools import combinations
from typing import Any, get_args, get_origin

from modelsoups.study.spaces import grid_search, random_search

INITIALIZATION = "initialization"  # the model that every run of a sweep starts from
AUGMENTATION = re.compile(
    r"none|minimal|medium|strong|crop|autoaugment|stochastic|fix-aug|rand-m\d+-n\d+(-mmax\d+)?"
)
CHOICES = {  # field of RunSpec -> the methods that it names (`training.methods`)
    "optimizer": ("adamw", "adam", "rmsprop", "sgd", "adafactor"),
    "schedule": ("cosine", "constant", "linear", "cosine-restarts"),
    "loss": ("softmax", "binary", "likelihood"),
}


def described(about: str, **default: Any) -> Any:
    """A field of a spec.

    Args:
        about: what it is, for the reference of the config.
        default: `default=`, a value that means off; without it the field is needed.
    """
    return field_of(metadata={"about": about}, **default)


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """The hyper-parameters of one run; all of them, so that the record tells the whole story.

    A method that most runs do without is a field with a default that means off: `as_params` leaves
    it out, so that a new field makes no finished run anew.
    """

    seed: int = described(
        "Of data order, augmentation and mixup; if left out a run's number in a random search, 0 "
        "in a grid"
    )
    lr: float = described("The optimiser's peak learning rate")
    weight_decay: float = described(
        "On all parameters; part of the gradient, but in adamw and adafactor apart from it"
    )
    epochs: int = described("Passes over the training set")
    label_smoothing: float = described("At least 0, below 1; 0 is off")
    mixup: float = described("Alpha of the Beta distribution; 0 is off")
    augmentation: str = described(
        "`none`: the square in the middle of each image; `minimal`: a random crop of 90-100 % of "
        "the area; `medium`: timm's default; `strong`: RandAugment with M = 15, N = 2; "
        "`rand-m<M>-n<N>`: RandAugment with others, where M counts up to 10 or, with `-mmax<X>` "
        "after it, up to X; `crop`: random crops and flips alone; `autoaugment`: the policy of "
        "AutoAugment; `stochastic`: minimal, medium or strong for each image at random; `fix-aug`: "
        "strong, in the last epoch minimal"
    )
    min_crop: float = described(
        "Smallest share of the area that the random crop keeps, in all but `none` and `minimal`; "
        "paper 0.08"
    )
    batch_size: int = described("Images a step; even")
    warmup_steps: int = described("Steps of linear warm-up, before the schedule begins")
    clip_norm: float = described("Gradients are scaled down to this norm")
    optimizer: str = described(
        "`adamw`, `adam`, `rmsprop`, `sgd` (without momentum) or `adafactor` (as ViT-G's "
        "pre-training has it)",
        default="adamw",
    )
    schedule: str = described(
        "Of the learning rate, step by step: `cosine` or `linear` to zero, `constant`, or "
        "`cosine-restarts`, a cosine to zero in each epoch",
        default="cosine",
    )
    loss: str = described(
        "`softmax`: cross-entropy of one class among all; `binary`: the sum over classes of each "
        "one's own; these runs start from `binary-probe` where others do from `linear-probe`; "
        "`likelihood`: of a language model, minus the log-probability of the label's text",
        default="softmax",
    )
    cutmix: float = described(
        "Alpha of the Beta distribution; 0 is off. With mixup too, a step has one or the other",
        default=0.0,
    )
    crop_ratio: float = described(
        "Largest ratio of a random crop's sides, either way: timm's 4/3, or the paper's 1.05",
        default=4 / 3,
    )
    train_size: int = described(
        "Side in pixels that training images are brought to; 0 is that of the view", default=0
    )
    augment_on_device: bool = described(
        "Whether images are augmented in batches on the model's device, with the random draws and "
        "the arithmetic of Pillow, which does it otherwise; for GPUs, slower on a CPU",
        default=False,
    )
    group_by_length: bool = described(
        "Whether the texts of a step are about as long as one another, so that less of a batch is "
        "padding: an epoch's texts are sorted by their number of tokens, and its batches come in "
        "random order",
        default=False,
    )
    freeze_head: bool = described(
        "Whether the head stays that of the start: the backbone alone is fine-tuned", default=False
    )
    evaluate_every: float = described(
        "Share of the run's steps after which its accuracy on the held-out set is measured, again "
        "and again, and that of each moving average; the weights with the best one are kept. 0 is "
        "off: the last ones are",
        default=0.0,
    )
    sam: float = described(
        "Sharpness-aware minimisation: rho, how far uphill in weight space the gradient is taken; "
        "0 is off. The paper gives none: choose it on the held-out set",
        default=0.0,
    )
    sam_synchronized: bool = described(
        "Whether a run's processes, one a GPU, go uphill together, by the gradient of the whole "
        "batch, or each by that of its own share",
        default=True,
    )
    ema: tuple[float, ...] = described(
        "Decays of exponential moving averages of the weights, step by step; each is a model more, "
        "`<run>-ema<decay>`",
        default=(),
    )
    ema_warmup: bool = described(
        "Whether the n-th step's decay is n / (n + 9) while that is smaller, as in TensorFlow; "
        "else averages begin at the start's weights, where a decay of 0.9999999 would stay",
        default=False,
    )
    swa: tuple[float, ...] = described(
        "Means of the weights at the ends of epochs, of those after this share of the run (0: of "
        "all); each is a model more, `<run>-swa` or `<run>-swa<share>`",
        default=(),
    )
    teachers: tuple[str, ...] = described(
        "Distillation: models `<sweep>/<model>` whose mean logits on each augmented batch are "
        "learned in place of labels",
        default=(),
    )
    temperature: float = described(
        "That logits are divided by in distillation. The paper gives none: choose it on the "
        "held-out set",
        default=1.0,
    )

    def __post_init__(self):
        for field in fields(self):
            if get_origin(field.type) is tuple:  # one entry need not stand in a list
                object.__setattr__(self, field.name, as_tuple(getattr(self, field.name)))
            check_type(field.name, getattr(self, field.name), field.type)
        if not AUGMENTATION.fullmatch(self.augmentation):
            raise ValueError(
                f"run: augmentation {self.augmentation!r} is none of minimal, medium, strong, "
                "none, crop, autoaugment, stochastic, fix-aug, rand-m<M>-n<N>, "
                "rand-m<M>-n<N>-mmax<X>"
            )
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"run: {name} {getattr(self, name)!r} is none of {', '.join(known)}"
                )
        for name in ("lr", "epochs", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"run: {name} must be positive, got {getattr(self, name)}")
        for name in ("seed", "weight_decay", "mixup", "cutmix", "warmup_steps", "train_size"):
            if getattr(self, name) < 0:
                raise ValueError(f"run: {name} must not be negative, got {getattr(self, name)}")
        if not 0 < self.min_crop <= 1:
            raise ValueError(f"run: min_crop must be in (0, 1], got {self.min_crop}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"run: label_smoothing must be in [0, 1), got {self.label_smoothing}")
        if self.batch_size < 2 or self.batch_size % 2:
            raise ValueError(f"run: batch_size must be even (mixup pairs), got {self.batch_size}")
        if self.crop_ratio < 1:
            raise ValueError(
                f"run: crop_ratio must be at least 1, got {self.crop_ratio}; crops go from its "
                "inverse to it"
            )
        if not 0 <= self.evaluate_every <= 1:
            raise ValueError(
                f"run: evaluate_every must be a share in [0, 1], got {self.evaluate_every}"
            )
        if self.augmentation == "fix-aug" and self.epochs < 2:
            raise ValueError(
                f"run: fix-aug is strong before the last epoch, so it takes 2 epochs, got "
                f"{self.epochs}; use minimal"
            )
        self._check_methods()

    def _check_methods(self) -> None:
        """Raise a ValueError unless what belongs to methods fits, alone and together."""
        if self.sam < 0 or not self.temperature > 0:
            raise ValueError(
                "run: sam must not be negative and temperature must be positive, got "
                f"{self.sam} and {self.temperature}"
            )
        if not all(0 < decay < 1 for decay in self.ema):
            raise ValueError(f"run: ema must be decays above 0 and below 1, got {list(self.ema)}")
        if not all(0 <= share < 1 for share in self.swa):
            raise ValueError(f"run: swa must be shares from 0 to below 1, got {list(self.swa)}")
        for name in ("ema", "swa", "teachers"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"run: {name} has an entry twice: {list(getattr(self, name))}")
        for name, needed in (
            ("sam_synchronized", "sam"),
            ("ema_warmup", "ema"),
            ("temperature", "teachers"),
        ):
            if getattr(self, name) != getattr(RunSpec, name) and not getattr(self, needed):
                raise ValueError(f"run: {name} says nothing without {needed}; leave it out")
        if self.teachers and (self.label_smoothing or self.loss != "softmax"):
            raise ValueError(
                "run: label_smoothing and a binary loss are of labels, which a run with teachers "
                f"does not read; set them to 0 and softmax, got {self.label_smoothing} and "
                f"{self.loss}"
            )


def as_tuple(value: Any) -> tuple:
    """The entries of a list, or one that stands alone."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def average_names(spec: RunSpec) -> list[str]:
    """What the averages along a run's trajectory are called: models beside the run's own."""
    return [
        *moving_average_names(spec),
        *(f"swa{share}" if share else "swa" for share in spec.swa),
    ]


def moving_average_names(spec: RunSpec) -> list[str]:
    """What the averages over steps are called, which are there at every step."""
    return [f"ema{decay}" for decay in spec.ema]


def check_type(name: str, value: Any, expected: Any) -> None:
    """Raise a ValueError unless a hyper-parameter is of the type that its field is annotated with.

    A whole number is a number too; a boolean is no number, and 5.0 is no whole one. Of a list each
    entry is looked at.
    """
    if get_origin(expected) is tuple:
        for each in value:
            check_type(name, each, get_args(expected)[0])
        return
    kinds = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}
    allowed = (int, float) if expected is float else expected
    if not isinstance(value, allowed) or (isinstance(value, bool) and expected is not bool):
        raise ValueError(
            f"run: {name} must be {kinds[expected]}, got {value!r}"
            + ("; draw it by `integer` or `choice`" if expected is int else "")
        )


def as_params(spec: Any) -> dict[str, Any]:
    """The fields of a spec without those that are at their default, which is off.

    What rules compare, resume states are known by and records keep.
    """
    values = asdict(spec)
    found = {
        field.name: values[field.name]
        for field in fields(spec)
        if field.default is MISSING or getattr(spec, field.name) != field.default
    }
    return {key: [*each] if isinstance(each, tuple) else each for key, each in found.items()}


def select_all(runs: Mapping[str, RunSpec], match: Mapping[str, Any]) -> list[str]:
    """Names of the runs that have these hyper-parameters, in the sweep's order."""
    return [
        name
        for name, spec in runs.items()
        if all(getattr(spec, key) in (value, as_tuple(value)) for key, value in match.items())
    ]


def select(runs: Mapping[str, RunSpec], match: Mapping[str, Any]) -> str:
    """Name of the one run that has these hyper-parameters.

    Raises:
        ValueError: none has, or several.
    """
    if len(found := select_all(runs, match)) != 1:
        raise ValueError(f"expected one run with {dict(match)}, found {found or 'none'}")
    return found[0]


def varied_between(first: RunSpec, second: RunSpec) -> str:
    """The hyper-parameter in which two runs differ, or `several`."""
    names = [name for name, value in vars(first).items() if value != getattr(second, name)]
    return names[0] if len(names) == 1 else "several"


def pairs_below(
    runs: Mapping[str, RunSpec], below_lr: float, pairs: str
) -> tuple[list[str], dict[tuple[str, str], str]]:
    """Runs below a learning rate, and pairs of them with what varies between the two.

    Args: pairs: `all`, or `one` for those that differ in one hyper-parameter.
    """
    chosen = [name for name, run in runs.items() if run.lr < below_lr]
    found = {(a, b): varied_between(runs[a], runs[b]) for a, b in combinations(chosen, 2)}
    taken = {pair: what for pair, what in found.items() if pairs == "all" or what != "several"}
    return chosen, taken


def list_runs(sweep: Mapping[str, Any]) -> dict[str, RunSpec]:
    """The runs of a sweep: run name ("000", "001", ...) -> its hyper-parameters.

    Args:
        sweep: the sweep's config, with `finetune` (values shared by all runs) and one of
            `random: {space, num_runs, seed}`, `grid: {name: [values]}`, or `runs`, a list of
            blocks. A block has hyper-parameters of its own, which count before those of `finetune`,
            and perhaps `random` or `grid`; without them it is one run. Runs are numbered through,
            so a block that is added at the end changes none.
    Raises:
        ValueError: a hyper-parameter is unknown, missing, given twice, or out of its range; a run
            of a block is one that there is.
    """
    if "runs" not in sweep:
        return numbered(expand(sweep, sweep["finetune"]))
    runs: list[RunSpec] = []
    for number, block in enumerate(sweep["runs"]):
        own = {name: value for name, value in block.items() if name not in SEARCHES}
        said = {**own, **varied(block)}
        shared = {name: value for name, value in sweep["finetune"].items() if name not in said}
        try:
            added = expand(block, {**shared, **own})
        except ValueError as error:
            raise ValueError(f"runs[{number}]: {error}") from None
        for spec in added:
            if spec in runs:
                raise ValueError(
                    f"runs[{number}]: {as_params(spec)} is run {runs.index(spec):03d} already; "
                    "remove it, or give it another seed"
                )
            runs.append(spec)
    return numbered(runs)


SEARCHES = ("random", "grid")  # ways in which the runs of a block vary


def varied(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """The hyper-parameters that vary among the runs of a block, with their spaces or values."""
    return block["random"]["space"] if "random" in block else block.get("grid", {})


def expand(block: Mapping[str, Any], shared: Mapping[str, Any]) -> list[RunSpec]:
    """The runs of a random search, a grid, or neither: one run. `shared`: what all of them have."""
    axes = varied(block)
    known = {field.name for field in fields(RunSpec)}
    required = {field.name for field in fields(RunSpec) if field.default is MISSING}
    found = {"seed", *shared, *axes}
    if found - known or required - found or shared.keys() & axes.keys():
        raise ValueError(
            f"hyper-parameters: unknown {sorted(found - known)}, missing "
            f"{sorted(required - found)}, "
            f"given twice {sorted(shared.keys() & axes.keys())}; a run has {sorted(known)}"
        )
    drawn = random_search(**block["random"]) if "random" in block else grid_search(axes)
    return [RunSpec(**{**run, **shared}) for run in drawn]


def numbered(runs: list[RunSpec]) -> dict[str, RunSpec]:
    """Runs by their numbers, of three digits or more."""
    return {f"{number:03d}": run for number, run in enumerate(runs)}
