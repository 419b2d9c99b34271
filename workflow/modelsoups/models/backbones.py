"""Backbones (pre-trained image towers, some with a text tower; language models) and the classifier
made of one and a head."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from huggingface_hub.errors import GatedRepoError
from torch import nn

from modelsoups.data.specs import TextViewSpec, ViewSpec
from modelsoups.data.tokenizers import load_tokenizer
from modelsoups.models import iconclip, open_clip_towers, timm_towers, torchvision_towers
from modelsoups.models.folding import fold_frozen_norms
from modelsoups.models.towers import Preprocessing, Reading, TextTower, Tower, TowerSpec
from modelsoups.weights.checkpoints import Weights

if TYPE_CHECKING:  # jobs that build a model do without
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(TowerSpec):
    """A pre-trained image tower, or a language model.

    `iconclip` is any network of timm with a linear projection to the space of MiniLM's text
    embeddings, trained by this project; `timm`, `torchvision` and `transformers` have no text
    tower. `bert` is BERT with its head for masked tokens, `t5` T5 with its decoder, `minilm` a BERT
    that embeds sentences. `own` is no tower: it is a model made elsewhere, whole
    (`modelsoups.models.own`).
    """

    library: Literal[
        "timm",
        "open_clip",
        "torchvision",
        "transformers",
        "iconclip",
        "bert",
        "t5",
        "minilm",
        "own",
    ]

    def __post_init__(self):
        if self.library not in LIBRARIES:
            allowed = ", ".join(LIBRARIES)
            raise ValueError(f"backbone library {self.library!r} is unknown; allowed: {allowed}")
        LIBRARIES[self.library].check(self)

    @property
    def task(self) -> str:
        """The kind of task that the model fits: what its examples are."""
        return LIBRARIES[self.library].task


class Classifier(nn.Module):
    """A tower, its input normalisation, and a linear head on its L2-normalised embedding.

    The state dict has the tower's tensors under `backbone.` and `head.weight`, `head.bias`.
    Normalised features are CLIP's convention (Sec. 3.1: a zero-shot head is a cosine similarity);
    with them a linear-probe head of any backbone has one scale.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, tower: Tower, num_classes: int):
        super().__init__()
        self.backbone = tower.module
        self.head = nn.Linear(tower.num_features, num_classes)
        self.preprocessing = tower.preprocessing
        if isinstance(self.preprocessing, Reading):
            return
        mean, std = self.preprocessing.mean, self.preprocessing.std
        self.mean_color = mean  # augmentation fills uncovered pixels with it
        self.register_buffer("mean", 255 * torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).view(3, 1, 1), persistent=False)

    def features(self, examples: torch.Tensor) -> torch.Tensor:
        """L2-normalised features (b, num_features) float32 of images (b, 3, H, W) in [0, 255], or
        of texts (b, length)."""
        if isinstance(self.preprocessing, Preprocessing):
            pixels = (examples.float() - self.mean) / self.std
            examples = pixels.contiguous(memory_format=torch.channels_last)
        return nn.functional.normalize(self.backbone(examples).float(), dim=-1)

    def forward(self, examples: torch.Tensor) -> torch.Tensor:
        """Logits (b, num_classes) float32 of images (b, 3, H, W), uint8 or float in [0, 255], or of
        texts (b, length).

        The head is computed in float32 under autocast too: logits of CLIP's scale, about 30, are
        a quarter apart in bfloat16.
        """
        features = self.features(examples)
        with torch.autocast(features.device.type, enabled=False):
            return self.head(features).float()


def build_classifier(spec: BackboneSpec, num_classes: int) -> Classifier:
    """The architecture of `spec` with a head of `num_classes`; its weights are random.

    A model made elsewhere has the head that it came with.
    """
    if spec.library == "own":
        from modelsoups.models.own import build, read_spec  # imports this module

        return cast(Classifier, build(read_spec(spec.model)))
    library = LIBRARIES[spec.library]
    with from_hub(spec):  # a name there may stand for the architecture, too
        tower = library.build(spec)
    fold_frozen_norms(tower.module)
    classifier = library.assemble(tower, num_classes)
    return classifier.to(memory_format=torch.channels_last)


def build_for(spec: BackboneSpec, weights: Weights) -> Classifier:
    """The architecture that has these weights, or those of a head alone (`head.` left out)."""
    parts = ("weight", "bias", "options")
    heads = [tensor for key, tensor in weights.items() if key.removeprefix("head.") in parts]
    return build_classifier(spec, num_classes=len(heads[0]) if heads else 0)


def load_pretrained(spec: BackboneSpec, classifier: Classifier) -> None:
    """Load the pre-trained weights of `spec` into the classifier's image tower.

    Raises:
        ValueError: the weights file does not fit the architecture, or the hub does not give it.
    """
    with same_each_time(), from_hub(spec):
        LIBRARIES[spec.library].load(spec, classifier.backbone)


def weights_file(spec: BackboneSpec) -> Path | None:
    """The file that the weights of `spec` were loaded from, in the hub's cache where they are
    the hub's; None if they are random."""
    return None if spec.weights in ("random", "none") else LIBRARIES[spec.library].find(spec)


def load_text_tower(spec: BackboneSpec, device: torch.device) -> TextTower:
    """The pre-trained text tower of `spec`, on `device`.

    Raises:
        ValueError: the backbone has none, or the hub does not give its weights.
    """
    load = LIBRARIES[spec.library].load_text
    if load is None:
        raise ValueError(
            f"{spec.library} model {spec.model} has no text tower, so no zero-shot head; "
            "start from linear-probe"
        )
    with same_each_time(), from_hub(spec):
        return load(spec, device)


def check_view(preprocessing: Preprocessing | Reading, view: ViewSpec | TextViewSpec) -> None:
    """Compare the view of a backbone with what it wants to see.

    Raises:
        ValueError: an image tower reads another size only, a language model another form or
            vocabulary.
    """
    if isinstance(preprocessing, Reading) or isinstance(view, TextViewSpec):
        check_reading(preprocessing, view)
        return
    if preprocessing.fixed_size not in (None, view.size):
        raise ValueError(
            f"the backbone reads images of {preprocessing.fixed_size} pixels, its view has "
            f"{view.size}; give it a view of that size"
        )
    found = (view.interpolation, view.resize_mode)
    wanted = (preprocessing.interpolation, preprocessing.resize_mode)
    if found != wanted:
        logger.warning(
            "the view resizes by %s (%s side), in pre-training it was %s (%s)", *found, *wanted
        )


def check_reading(wanted: Preprocessing | Reading, view: ViewSpec | TextViewSpec) -> None:
    """Raise a ValueError unless a language model reads a view of its own form and vocabulary."""
    if not isinstance(wanted, Reading) or not isinstance(view, TextViewSpec):
        raise ValueError(f"the backbone reads by {wanted}, its view is {view}; name another view")
    if wanted.form != view.form:
        raise ValueError(
            f"the backbone reads texts as {wanted.form}, its view has the form {view.form}"
        )
    own, other = (load_tokenizer(name).get_vocab() for name in (wanted.tokenizer, view.tokenizer))
    if own != other:
        raise ValueError(
            f"the backbone has the vocabulary of {wanted.tokenizer}, its view that of "
            f"{view.tokenizer}; give the view the model's own tokenizer"
        )


@contextmanager
def same_each_time() -> Iterator[None]:
    """Random numbers, such as "random" weights, are the same each time; the generator is left as
    it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@contextmanager
def from_hub(spec: BackboneSpec) -> Iterator[None]:
    """Says in a ValueError which weights the hub did not give, and what can be done."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # open_clip's is a RuntimeError that came of one
        own = spec.weights == "random" or "/" in spec.weights
        if own or not any(isinstance(each, OSError) for each in reasons(error)):
            raise
        name = f"{spec.library}'s weights {spec.weights!r} of {spec.model}"
        if any(isinstance(each, GatedRepoError) for each in reasons(error)):
            raise ValueError(
                f"{name} are gated ({error}); accept their terms on the hub's page and log in "
                "(`hf auth login`, or HF_TOKEN), or give the path of a local file as `weights`"
            ) from error
        raise ValueError(
            f"{name} could not be had from the hub, and are not in its cache ({error}); where "
            "there is a network load them once, with HF_HOME on a disk that this machine sees, "
            "then set HF_HUB_OFFLINE=1; or give the path of a local file as `weights`"
        ) from error


def reasons(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and the errors that it came of; libraries wrap those of the hub."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def no_tower(spec: BackboneSpec, *others: Any) -> Any:
    """Raise: of a model made elsewhere no part is known to be its image tower."""
    raise ValueError(f"{spec.model}: a model made elsewhere has no tower to fine-tune from")


@dataclass(frozen=True)
class Library:
    """What a source of backbones can do."""

    check: Callable[[BackboneSpec], None]  # raises ValueError if it has no such model or weights
    build: Callable[[BackboneSpec], Tower]  # the architecture, without pre-trained weights
    load: Callable[[BackboneSpec, nn.Module], None]  # puts the pre-trained weights into the tower
    find: Callable[[BackboneSpec], Path]  # the file that these weights come from
    load_text: Callable[[BackboneSpec, torch.device], TextTower] | None = None
    task: str = "images"  # what its models read: a key of `data.tasks.TASKS`
    assemble: Callable[[Tower, int], Any] = Classifier  # the model with so many classes
    # Of a language model: the tokens of the classes' options, which its head consists of.
    options: Callable[[BackboneSpec, "pd.DataFrame"], torch.Tensor] | None = None


MODELS_OF_TEXT = "modelsoups.models.language"
TRANSFORMERS = "modelsoups.models.transformers_towers"


def later(module: str, name: str) -> Callable[..., Any]:
    """A function of a module that is imported when it is called: transformers takes seconds."""
    return lambda *given: getattr(import_module(module), name)(*given)


LANGUAGE: dict[str, Any] = {
    "check": later(MODELS_OF_TEXT, "check_language"),
    "find": later(MODELS_OF_TEXT, "find_language"),
    "task": "text",
}
OPTIONS: dict[str, Any] = {
    **LANGUAGE,
    "build": later(MODELS_OF_TEXT, "build_language"),
    "load": later(MODELS_OF_TEXT, "load_language"),
    "assemble": later(MODELS_OF_TEXT, "OptionClassifier"),
    "options": later(MODELS_OF_TEXT, "option_table"),
}
LIBRARIES = {
    "timm": Library(
        timm_towers.check_timm,
        timm_towers.build_timm,
        timm_towers.load_timm,
        timm_towers.find_timm,
    ),
    "open_clip": Library(
        open_clip_towers.check_open_clip,
        open_clip_towers.build_open_clip,
        open_clip_towers.load_open_clip,
        open_clip_towers.find_open_clip,
        open_clip_towers.load_open_clip_text,
    ),
    "torchvision": Library(
        torchvision_towers.check_torchvision,
        torchvision_towers.build_torchvision,
        torchvision_towers.load_torchvision,
        torchvision_towers.find_torchvision,
    ),
    "transformers": Library(
        lambda spec: None,  # of the hub its config has to come first
        later(TRANSFORMERS, "build_transformers"),
        later(TRANSFORMERS, "load_transformers"),
        later(TRANSFORMERS, "find_transformers"),
    ),
    "iconclip": Library(
        timm_towers.check_timm,
        iconclip.build_iconclip,
        iconclip.load_iconclip,
        iconclip.find_iconclip,
        iconclip.load_iconclip_text,
    ),
    "own": Library(lambda spec: None, no_tower, no_tower, no_tower),
    "bert": Library(**OPTIONS),
    "t5": Library(**OPTIONS),
    "minilm": Library(
        **LANGUAGE,
        build=later(MODELS_OF_TEXT, "build_sentences"),
        load=later(MODELS_OF_TEXT, "load_sentences"),
        load_text=later(MODELS_OF_TEXT, "load_sentence_text"),
    ),
}
