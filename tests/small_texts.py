"""Small language models of the real classes, with random weights and tokenizers of their own."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertTokenizerFast, PreTrainedTokenizerFast, T5Config

SENTENCES = [
    "the cat sat on the mat .",
    "a dog chased the small cat across the wide garden !",
    "is this sentence acceptable ?",
    "soups are better than their best ingredient",
    "cat the mat on sat .",
    "garden wide a across dog chased",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz().:|ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!?"
CORPUS = [*SENTENCES, "sentence: x | options: A) acceptable B) unacceptable | label:", *LETTERS]


def make_bert(folder: Path, **config) -> Path:
    """A BERT of two layers and its WordPiece tokenizer, in a folder as the hub has it."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=180, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    BertTokenizerFast(vocab=tokenizer.get_vocab()).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertConfig(
        vocab_size=tokenizer.get_vocab_size(), intermediate_size=32, **{**sizes, **config}
    ).save_pretrained(folder)
    return folder


def make_t5(folder: Path) -> Path:
    """A T5 of two layers and its unigram tokenizer, in a folder as the hub has it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    T5Config(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
    ).save_pretrained(folder)
    return folder


def write_glue(path: Path, rows: int = 12, pair: bool = False) -> Path:
    """A Parquet file in the layout that the hub has GLUE in: idx, label and sentences."""
    texts = [
        SENTENCES[row % len(SENTENCES)] + " and" * (row // len(SENTENCES)) for row in range(rows)
    ]
    columns = {"sentence1": texts, "sentence2": texts[::-1]} if pair else {"sentence": texts}
    labels = pa.array([int(row % 6 < 4) for row in range(rows)], pa.int64())
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**columns, "label": labels, "idx": list(range(rows))}), path)
    return path
