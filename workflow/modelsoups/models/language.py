"""Language models of transformers as classifiers, without new parameters (paper Appendix J.5).

A task is phrased as a question with options (`data.questions`); logits are the log-probabilities of
the options' texts: for BERT those of the pieces at the masks after the question, for T5 those that
its decoder gives. Sentence encoders have a linear head on their embedding, as image towers do.

Models read token numbers (b, length) int64, then `data.texts.PADDING`.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import (
    AutoConfig,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    PretrainedConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from modelsoups.data.questions import option_texts
from modelsoups.data.texts import PADDING, option_tokens
from modelsoups.data.tokenizers import HUB, MINILM, load_tokenizer, minilm_folder, source_of
from modelsoups.models.towers import (
    Reading,
    TextTower,
    Tower,
    TowerSpec,
    find_weights,
    read_state_dict,
)

MAX_PIECES = 16  # tokens of an option, its end included
NONE = -1  # in place of a token, where an option has no more
SENTENCE_SCALE = 20.0  # what cosines are multiplied by: sentence-transformers' own

# Architectures by name, so that a study is planned without the hub; others are in a folder.
CONFIGS: dict[str, PretrainedConfig] = {
    "bert-base-uncased": BertConfig(),
    "bert-large-uncased": BertConfig(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
    ),
    "t5-small": T5Config(),
    "t5-base": T5Config(d_model=768, d_ff=3072, num_layers=12, num_heads=12),
    "t5-large": T5Config(d_model=1024, d_ff=4096, num_layers=24, num_heads=16),
}
CLASSES: dict[str, Any] = {
    "bert": BertForMaskedLM,
    "t5": T5ForConditionalGeneration,
}


class Options(nn.Module):
    """The head of a language model: the tokens of each option's text, and no parameters.

    They are integers in the weights file, which averages keep.
    """

    options: Tensor  # (num_classes, MAX_PIECES) int64

    def __init__(self, num_classes: int):
        super().__init__()
        self.out_features = num_classes
        self.register_buffer("options", torch.full((num_classes, MAX_PIECES), NONE))


class OptionClassifier(nn.Module):
    """A language model whose logits are the log-probabilities of options.

    The state dict has the model's tensors under `backbone.`, tied as the model ties them, and
    `head.options`.
    """

    def __init__(self, tower: Tower, num_classes: int):
        super().__init__()
        self.backbone: Any = tower.module
        self.head = Options(num_classes)
        self.preprocessing = tower.preprocessing

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (b, num_classes) float32 of questions (b, length)."""
        tokens, mask = masked(tokens, self.training)
        width = int((self.head.options != NONE).sum(1).max())  # tokens of the longest option
        pieces = self.head.options[:, :width]
        score = score_seq2seq if self.backbone.config.is_encoder_decoder else score_masks
        scores = score(self.backbone, tokens, mask, pieces.clamp(min=0))
        return scores.masked_fill(pieces == NONE, 0).sum(2)


def masked(tokens: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """Tokens, in training without the padding that no example of a batch needs, and their mask.

    Any token may stand for padding: it is masked.
    """
    mask = tokens != PADDING
    if training:
        longest = int(mask.sum(1).max())
        tokens, mask = tokens[:, :longest], mask[:, :longest]
    return tokens.clamp(min=0), mask


def score_masks(model: Any, tokens: Tensor, mask: Tensor, pieces: Tensor) -> Tensor:
    """Log-probability (b, num_classes, width) of each option's pieces at the masks.

    An option with fewer pieces than there are masks is scored at the first ones alone.

    Args: pieces: (num_classes, width) token numbers.
    """
    width = pieces.shape[1]
    hidden = model.bert(tokens, attention_mask=mask).last_hidden_state
    first = mask.sum(1, keepdim=True) - 1 - width  # the masks are followed by [SEP] alone
    places = first + torch.arange(width, device=tokens.device)  # (b, width)
    rows = torch.arange(len(tokens), device=tokens.device)[:, None]
    with torch.autocast(tokens.device.type, enabled=False):
        log_p = model.cls(hidden[rows, places].float()).log_softmax(-1)  # (b, width, vocabulary)
    return log_p[:, torch.arange(width, device=tokens.device), pieces]


def score_seq2seq(model: Any, tokens: Tensor, mask: Tensor, pieces: Tensor) -> Tensor:
    """Log-probability (b, num_classes, width) of each option's tokens, given those before them.

    Args: pieces: (num_classes, width) token numbers.
    """
    num_options, start = len(pieces), model.config.pad_token_id  # as T5 begins
    encoded = model.encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
    shifted = pad(pieces[:, :-1], (1, 0), value=start).repeat(len(tokens), 1)
    outputs = model.decoder(
        input_ids=shifted,  # (b * num_classes, width)
        encoder_hidden_states=encoded.repeat_interleave(num_options, 0),
        encoder_attention_mask=mask.repeat_interleave(num_options, 0),
        use_cache=False,
    )
    hidden = outputs.last_hidden_state.float().unflatten(0, (len(tokens), num_options))
    if model.config.scale_decoder_outputs:
        hidden = hidden * model.model_dim**-0.5
    with torch.autocast(tokens.device.type, enabled=False):
        log_p = model.lm_head(hidden).log_softmax(-1)  # (b, num_classes, width, vocabulary)
    wanted = pieces.expand(len(tokens), -1, -1)[..., None]
    return log_p.gather(3, wanted).squeeze(3)


class SentenceEncoder(nn.Module):
    """A BERT whose embedding of a text is the mean over its tokens."""

    def __init__(self, config: Any):
        super().__init__()
        self.bert: Any = BertModel(config, add_pooling_layer=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embeddings (b, hidden_size) of texts (b, length), not normalised."""
        tokens, mask = masked(tokens, self.training)
        hidden = self.bert(tokens, attention_mask=mask).last_hidden_state
        return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def config_of(name: str) -> PretrainedConfig:
    """The architecture of that name, or of a folder's config.json.

    Raises:
        ValueError: there is no such name, nor such a folder.
    """
    if name in CONFIGS:
        return CONFIGS[name]
    return AutoConfig.from_pretrained(source_of(name), local_files_only=True)


def check_language(spec: TowerSpec) -> None:
    """Raise a ValueError unless the model is one of the library's kind."""
    wanted = "bert" if spec.library == "minilm" else spec.library
    found = config_of(spec.model).model_type
    if found != wanted:
        raise ValueError(f"backbone {spec.model}: expected a {wanted} model, found a {found} one")


def build_language(spec: TowerSpec) -> Tower:
    """The language model, with random weights."""
    model = CLASSES[spec.library](config_of(spec.model))
    return Tower(model, 0, Reading(form="options", tokenizer=spec.model))


def build_sentences(spec: TowerSpec) -> Tower:
    """The sentence encoder, with random weights."""
    encoder = SentenceEncoder(config_of(spec.model))
    reading = Reading(form="sentences", tokenizer=spec.model)
    return Tower(encoder, encoder.bert.config.hidden_size, reading)


def option_table(spec: TowerSpec, classes: pd.DataFrame) -> Tensor:
    """The head of a language model: each option's tokens (num_classes, MAX_PIECES) int64.

    Args: classes: as in `questions.option_texts`.
    Raises:
        ValueError: an option has more tokens than the head can hold.
    """
    texts = option_texts(classes)
    tokens = option_tokens(load_tokenizer(spec.model), texts)
    if long := [text for text, each in zip(texts, tokens, strict=True) if len(each) > MAX_PIECES]:
        raise ValueError(
            f"options: expected at most {MAX_PIECES} tokens each, found more in {long[:5]}; "
            "shorten the names of these classes"
        )
    return torch.tensor([[*each, *[NONE] * (MAX_PIECES - len(each))] for each in tokens])


def load_language(spec: TowerSpec, module: Any) -> None:
    """Put the pre-trained weights into the model."""
    if spec.weights == "random":
        loaded = build_language(spec).module
    else:
        loaded = pretrained(CLASSES[spec.library], spec)
    module.load_state_dict(loaded.state_dict())


def load_sentences(spec: TowerSpec, module: Any) -> None:
    """Put the pre-trained weights into the encoder."""
    if spec.weights == "random":
        module.load_state_dict(build_sentences(spec).module.state_dict())
    else:
        bert = pretrained(BertModel, spec, add_pooling_layer=False)
        module.bert.load_state_dict(bert.state_dict())


def pretrained(kind: Any, spec: TowerSpec, **options: Any) -> nn.Module:
    """A model of transformers with the weights of the hub or of a file, which may have more.

    Raises:
        ValueError: tensors are missing.
    """
    on_hub = spec.weights == "hub"
    model, info = kind.from_pretrained(
        HUB[spec.model] if on_hub else None,
        config=config_of(spec.model),
        state_dict=None if on_hub else read_state_dict(find_language(spec)),
        output_loading_info=True,
        **options,
    )
    if missing := sorted(info["missing_keys"]):
        raise ValueError(
            f"{spec.weights}: {len(missing)} tensors of {spec.model} are missing, the first "
            f"{missing[:3]}; is it a file of this model?"
        )
    return model


def load_sentence_text(spec: TowerSpec, device: torch.device) -> TextTower:
    """The encoder itself, as that of class prompts."""
    from modelsoups.models.minilm import MiniLM

    encoder: Any = MiniLM(Path(source_of(spec.model)), device)
    module: Any = build_sentences(spec).module
    load_sentences(spec, module)
    encoder.bert = module.bert.eval().to(device)
    return TextTower(encoder.embed, SENTENCE_SCALE)


def find_language(spec: TowerSpec) -> Path:
    """The file that the weights come from."""
    from huggingface_hub import try_to_load_from_cache

    if spec.library == "minilm" and spec.weights == MINILM:
        return minilm_folder() / "model.safetensors"
    if spec.weights != "hub":
        return find_weights(spec.weights)
    path = try_to_load_from_cache(HUB[spec.model], "model.safetensors")
    if not isinstance(path, str):
        raise ValueError(f"{HUB[spec.model]} is not in the hub's cache; load its weights first")
    return Path(path)
