"""What a config says of a data set and of how its images are read, as frozen dataclasses.

Imports the standard library alone: layouts, class maps and everything that reads images build on
these.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ClassMapName = Literal["imagenet-a", "imagenet-r", "objectnet"]


@dataclass(frozen=True, kw_only=True)
class SplitSpec:
    """One of the two parts of a training set: the held-out images of each class, or the rest.

    The held-out images are those with the smallest SHA-256 of "seed/name": a choice that depends
    on the names alone, not on the order of files, the layout or a library's random numbers. With
    `indices` they are those of a file instead.
    """

    part: Literal["held-out", "rest"]
    num_images: int  # of both parts together; anything else is an error
    per_class: int  # images held out of each class
    seed: int = 0
    indices: str | None = None  # .npy, one number an image in sorted order: not 0 is held out
    guard: dict[int, str] = field(default_factory=dict)  # n-th held-out image -> end of its name


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """Which images and labels are a data set's: what its index is made from, and nothing else."""

    path: str  # a folder, a Parquet file, or a pattern of several; may begin with $VARIABLE
    task: str = "images"  # one of tasks.TASKS
    layout: str = "parquet"  # one of layouts.LAYOUTS
    class_map: ClassMapName | None = None  # where the classes are not the study's own
    mappings: str | None = None  # class_map objectnet: the archive's folder of that name
    labels: str | None = None  # layouts flat, npy, listed, cars: where they are
    split: SplitSpec | None = None
    where: dict[str, list[str]] = field(default_factory=dict)  # Parquet, WILDS: column -> values
    text: tuple[str, ...] = ("sentence",)  # task text: columns with the sentences of an example
    image: str = "image"  # Parquet: column of encoded files, or of structs with the field `bytes`
    label: str = "label"  # Parquet, CIFAR: column with the class: its number, or its id
    group: str = "group"  # Parquet: column kept in the index as `group`
    predicts: Literal["class", "labels", "numbers"] = "class"  # what models give: data.targets
    targets: tuple[str, ...] = ()  # of labels and numbers: columns of Parquet, or one .npy file
    other_classes: Literal["error", "skip"] = "error"  # what becomes of images of no class
    trim_border: int = 0  # pixels cut off each side of every image, before anything else


def parse_dataset(fields: Mapping[str, Any]) -> DatasetSpec:
    """The spec with these fields, in which `split` is a mapping of its own."""
    split = fields.get("split")
    text = tuple(fields["text"]) if "text" in fields else DatasetSpec.text
    said = fields.get("targets", ())
    targets = (said,) if isinstance(said, str) else tuple(said)
    own = {"split": SplitSpec(**split) if split else None, "text": text, "targets": targets}
    return DatasetSpec(**{**fields, **own})


@dataclass(frozen=True, kw_only=True)
class CountsSpec:
    """How many images a data set is known to have; anything else is an error."""

    num_images: int | None = None
    num_classes: int | None = None  # with an image
    images_per_class: int | None = None  # where it is the same for all


@dataclass(frozen=True, kw_only=True)
class ViewSpec:
    """The transform from an image file to the array a model reads."""

    size: int  # pixels: side of the square that is kept
    resize: int  # pixels: the shortest side is brought to this length first, squashed both are
    interpolation: Literal["bilinear", "bicubic", "nearest", "lanczos"] = "bicubic"
    resize_mode: Literal["shortest", "squash"] = "shortest"  # squash: the whole image, as a square

    def __post_init__(self):
        if not 1 <= self.size <= self.resize:
            raise ValueError(
                f"view: expected 1 <= size <= resize, got size {self.size} and resize "
                f"{self.resize}: a square larger than the image would have a black border; raise "
                "resize or lower size"
            )


@dataclass(frozen=True, kw_only=True)
class TextViewSpec:
    """How sentences become the numbers that a language model reads."""

    tokenizer: str  # a model of `tokenizers.SOURCES`, or a folder with a tokenizer's files
    form: Literal["sentences", "options"]  # the sentences alone, or the question of Appendix J.5
    length: int = 128  # tokens, at most; the paper's

    def __post_init__(self):
        if self.form not in ("sentences", "options") or self.length < 8:
            raise ValueError(
                "view: expected form sentences or options and a length of 8 or more, got "
                f"{self.form!r} and {self.length}"
            )


def parse_view(fields: Mapping[str, Any]) -> ViewSpec | TextViewSpec:
    """The view with these fields: one of text names a tokenizer."""
    return TextViewSpec(**fields) if "tokenizer" in fields else ViewSpec(**fields)


@dataclass(frozen=True, kw_only=True)
class ResizeSpec:
    """The copy of a training set that is quicker to decode."""

    shortest: int = 256  # pixels: length that a longer shortest side is brought to
    quality: int = 90  # of the JPEGs

    def estimated_bytes(self, num_images: int) -> int:
        """Room to ask for: ImageNet at 256 px and quality 90 takes 17 kB an image."""
        return int(num_images * 17_500 * (self.shortest / 256) ** 2)
