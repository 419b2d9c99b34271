"""Text: sentences of a data set, tokenised once into an array that every model reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from modelsoups.data.parquet import open_table
from modelsoups.data.questions import question
from modelsoups.data.specs import TextViewSpec

if TYPE_CHECKING:  # steps that list texts do without torch
    import torch

DTYPE = np.int32  # of token numbers: vocabularies have up to some 250,000
PADDING = -1  # after the end of a text: no token
WIDTH = 16  # texts are as wide for a model as the next multiple of it


def read_sentences(index: pd.DataFrame, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The sentences of each example of an index, in its order.

    Raises:
        ValueError: a file has been changed since it was listed, or a sentence is null or empty.
    """
    tables: dict[str, pa.Table] = {}
    found = []
    for file, row in zip(index["file"], index["row"].tolist(), strict=True):
        if file not in tables:
            tables[file] = open_table(file).select(list(columns)).to_pydict()
        texts = tuple(tables[file][column][row] for column in columns)
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise ValueError(
                f"{file}, row {row}: expected a sentence in each of {', '.join(columns)}, found "
                f"{texts}; leave the row out by `where`, or name other columns as `text`"
            )
        found.append(texts)
    return found


def tokenize(
    view: TextViewSpec,
    tokenizer: Any,
    columns: Sequence[str],
    sentences: Sequence[tuple[str, ...]],
    options: Sequence[str],
) -> np.ndarray:
    """Token numbers (n, width) int32, then `PADDING`; width is the longest example's.

    Of form `sentences` they are the sentences as the tokenizer joins them, the longest cut first.
    Of form `options` they are the question and, for a tokenizer with masks, as many masks as the
    longest option has tokens. What is longer than the view loses words at the end of its longest
    sentence: never the options.

    Args:
        tokenizer: a transformers tokenizer.
        columns: names of the sentences. options: texts in label order (`questions.option_texts`).
    Raises:
        ValueError: the options leave no room for sentences.
    """
    if view.form == "sentences":
        encoded = tokenizer(
            *map(list, zip(*sentences, strict=True)),
            truncation="longest_first",
            max_length=view.length,
            split_special_tokens=True,  # a sentence that spells [SEP] has none
        ).input_ids
    else:
        masks = count_masks(tokenizer, options)
        encoded = [ask(view, tokenizer, columns, each, options, masks) for each in sentences]
    tokens = np.full((len(encoded), max(map(len, encoded))), PADDING, DTYPE)
    for row, numbers in zip(tokens, encoded, strict=True):
        row[: len(numbers)] = numbers
    return tokens


def ask(
    view: TextViewSpec,
    tokenizer: Any,
    columns: Sequence[str],
    sentences: Sequence[str],
    options: Sequence[str],
    masks: int,
) -> list[int]:
    """The tokens of one question, shortened to the view's length."""
    words = [text.split() for text in sentences]
    texts = list(sentences)
    while True:
        text = question(columns, texts, options)
        tokens = framed(
            tokenizer, [*plain_tokens(tokenizer, text), *[tokenizer.mask_token_id] * masks]
        )
        if len(tokens) <= view.length:
            return tokens
        longest = max(words, key=len)
        if not longest:
            raise ValueError(
                f"view: expected a question of at most {view.length} tokens, its options alone "
                f"take {len(tokens)}; raise `length`, or shorten the names of the classes"
            )
        longest.pop()
        texts = [" ".join(each) for each in words]


def plain_tokens(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text, without any that are special."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids


def framed(tokenizer: Any, tokens: Sequence[int]) -> list[int]:
    """Tokens between those that a tokenizer puts around a sequence: [CLS], [SEP] or </s>."""
    around = tokenizer("").input_ids
    begins = around[:1] == [tokenizer.cls_token_id]
    return [*around[:begins], *tokens, *around[begins:]]


def option_tokens(tokenizer: Any, options: Sequence[str]) -> list[list[int]]:
    """The tokens of each option: with the end of a sequence where the model generates it."""
    end = [] if tokenizer.mask_token_id is not None else [tokenizer.eos_token_id]
    return [[*plain_tokens(tokenizer, option), *end] for option in options]


def count_masks(tokenizer: Any, options: Sequence[str]) -> int:
    """Masks after a question: the tokens of the longest option; none for a model that generates."""
    if tokenizer.mask_token_id is None:
        return 0
    return max(map(len, option_tokens(tokenizer, options)))


class Tokens:
    """Texts as token numbers, memory-mapped, in memory, or on a GPU."""

    def __init__(self, tokens: "np.ndarray | torch.Tensor", widths: np.ndarray | None = None):
        """Texts as they were tokenised, by default with their widths counted.

        Args:
            tokens: (n, width) integers, then `PADDING`.
            widths: (n,) the multiples of `WIDTH` that hold the texts.
        """
        self.tokens = tokens
        if widths is None:
            widths = -(-count_tokens(np.asarray(tokens)) // WIDTH) * WIDTH
        self.widths = widths

    def __len__(self) -> int:
        return len(self.tokens)

    def batch(self, indices: np.ndarray) -> "torch.Tensor":
        """Token numbers (b, width) int64, of the widest of these texts."""
        import torch

        width = self.widths[indices].max(initial=0)
        if isinstance(self.tokens, torch.Tensor):
            chosen = torch.from_numpy(indices).to(self.tokens.device)
            return self.tokens[chosen, :width].long()
        return torch.from_numpy(np.asarray(self.tokens[indices, :width], np.int64))

    def shapes(self, indices: np.ndarray) -> np.ndarray:
        """Widths (b,): what a model gives for a text in a batch of its own width does not depend on
        which other texts are there."""
        return self.widths[indices]

    def take(self, indices: np.ndarray) -> "Tokens":
        """These texts alone, in memory."""
        return Tokens(self.tokens[indices], self.widths[indices])

    def to(self, device: "torch.device") -> "Tokens":
        """The texts on a GPU; for a CPU they stay where they are."""
        import torch

        if device.type == "cpu" or isinstance(self.tokens, torch.Tensor):
            return self
        return Tokens(torch.from_numpy(np.array(self.tokens)).to(device), self.widths)


def count_tokens(tokens: np.ndarray) -> np.ndarray:
    """How many tokens each text has, (n,) integers. Args: tokens: (n, width), then `PADDING`."""
    return (tokens != PADDING).sum(1)


def open_texts(path: str | Path, *_: Any) -> Tokens:
    """The texts of a view's array (`tokens.npy`)."""
    return Tokens(np.load(path, mmap_mode="r"))


def open_training_texts(path: str | Path, *_: Any) -> np.ndarray:
    """The training texts in a view's array file: (n, width) int32. What else images need is not
    needed here."""
    return np.load(path, mmap_mode="r")
