"""Texts from the hub's Parquet layout, CSV and TSV, and their tokens."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from modelsoups.data.datasets import index_dataset
from modelsoups.data.questions import option_texts
from modelsoups.data.specs import DatasetSpec, SplitSpec, TextViewSpec, parse_dataset
from modelsoups.data.tasks import TASKS, open_any
from modelsoups.data.texts import PADDING, Tokens, count_masks, read_sentences, tokenize
from modelsoups.data.tokenizers import MINILM, load_tokenizer, source_of
from small_texts import SENTENCES, make_bert, make_t5, write_glue

CLASSES = ["0", "1"]
NAMES = pd.DataFrame({"name": ["unacceptable", "acceptable"], "letter": ["B", "A"]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("tokenizers")
    make_bert(root / "bert"), make_t5(root / "t5")
    return root


def text_spec(path, **fields):
    return DatasetSpec(path=str(path), task="text", **fields)


def test_task_of_glue_is_listed_from_the_hubs_files(tmp_path):
    write_glue(tmp_path / "glue/mrpc/train-00000-of-00002.parquet", rows=3, pair=True)
    write_glue(tmp_path / "glue/mrpc/train-00001-of-00002.parquet", rows=2, pair=True)
    write_glue(tmp_path / "glue/mrpc/test-00000-of-00001.parquet", rows=9, pair=True)
    columns = ("sentence1", "sentence2")
    spec = text_spec(tmp_path / "glue/mrpc/train-*.parquet", text=columns)
    index, class_map = TASKS["text"].index(spec, CLASSES)
    assert index.label.tolist() == [1, 1, 1, 1, 1]
    assert index.row.tolist() == [0, 1, 2, 0, 1]
    assert index["name"].is_unique
    assert class_map.logits.tolist() == [[0], [1]]
    sentences = read_sentences(index, columns)
    assert sentences[0] == (SENTENCES[0], SENTENCES[2])
    assert sentences[3] == (SENTENCES[0], SENTENCES[1])


def test_held_out_part_is_split_from_the_training_texts(tmp_path):
    path = write_glue(tmp_path / "cola/train.parquet", rows=12)
    whole = {"num_images": 12, "per_class": 2}
    parts = [
        index_dataset(text_spec(path, split=SplitSpec(part=part, **whole)), CLASSES)[0]
        for part in ("held-out", "rest")
    ]
    assert parts[0].label.value_counts().to_dict() == {0: 2, 1: 2}
    assert sorted([*parts[0].row, *parts[1].row]) == list(range(12))


def test_csv_and_tsv_have_the_same_texts(tmp_path):
    texts = ['say "yes", or', "no |\\ ✓", "3"]
    (tmp_path / "a.csv").write_text('label,sentence\n1,"say ""yes"", or"\n0,no |\\ ✓\n1,"3"\n')
    (tmp_path / "a.tsv").write_text('label\tsentence\n1\tsay "yes", or\n0\tno |\\ ✓\n1\t3\n')
    for kind in ("csv", "tsv"):
        index, _ = index_dataset(text_spec(tmp_path / f"a.{kind}", layout=kind), CLASSES)
        assert index.label.tolist() == [1, 0, 1]
        assert [text for (text,) in read_sentences(index, ["sentence"])] == texts
        folder, _ = index_dataset(text_spec(tmp_path, layout=kind), CLASSES)
        assert len(folder) == 3


def test_labels_by_name_and_rows_by_another_column(tmp_path):
    (tmp_path / "a.csv").write_text("kind,text,part\nbad,x y,train\ngood,z,test\ngood,w,train\n")
    fields = {"layout": "csv", "text": ("text",), "label": "kind", "where": {"part": ["train"]}}
    index, _ = index_dataset(text_spec(tmp_path / "a.csv", **fields), ["bad", "good"])
    assert index.label.tolist() == [0, 1]
    assert read_sentences(index, ["text"]) == [("x y",), ("w",)]


def test_wrong_columns_and_empty_sentences_are_told(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"sentence": ["a", " ", None], "label": [0, 1, 1]}), path)
    index, _ = index_dataset(text_spec(path), CLASSES)
    with pytest.raises(ValueError, match=r"a.parquet, row 1: expected a sentence in each of sent"):
        read_sentences(index, ["sentence"])
    with pytest.raises(ValueError, match=r"no column \['premise'\]; it has \['sentence'"):
        index_dataset(text_spec(path, text=("premise",)), CLASSES)
    with pytest.raises(ValueError, match=r"'label' is of type int64; expected sentences: strings"):
        index_dataset(text_spec(path, text=("label",)), CLASSES)
    hidden = tmp_path / "hidden.parquet"  # GLUE's test sets hide their labels
    pq.write_table(pa.table({"sentence": ["a"], "label": [-1]}), hidden)
    with pytest.raises(ValueError, match="a label that is none of the 2 classes"):
        index_dataset(text_spec(hidden), CLASSES)


def test_columns_of_a_config_become_part_of_the_spec():
    spec = parse_dataset({"path": "x", "task": "text", "text": ["premise", "claim"]})
    assert spec.text == ("premise", "claim")
    assert parse_dataset({"path": "x"}).text == ("sentence",)


def test_bert_is_asked_with_as_many_masks_as_the_longest_option_has_pieces(folder):
    tokenizer = load_tokenizer(str(folder / "bert"))
    view = TextViewSpec(tokenizer="bert", form="options")
    options = option_texts(NAMES)
    tokens = tokenize(view, tokenizer, ["sentence"], [("the cat",), ("the dog .",)], options)
    assert tokens.dtype == np.int32
    masks = count_masks(tokenizer, options)
    assert ((tokens == tokenizer.mask_token_id).sum(1) == masks).all()
    first = [token for token in tokens[0].tolist() if token != PADDING]
    asked = "sentence: the cat | options: A) acceptable B) unacceptable | label:"
    expected = tokenizer(f"{asked} {' '.join(['[MASK]'] * masks)}").input_ids
    assert first == expected


def test_t5_is_asked_without_masks(folder):
    tokenizer = load_tokenizer(str(folder / "t5"))
    view = TextViewSpec(tokenizer="t5", form="options")
    tokens = tokenize(view, tokenizer, ["sentence"], [("the cat",)], option_texts(NAMES))
    asked = "sentence: the cat | options: A) acceptable B) unacceptable | label:"
    assert tokens[0].tolist() == tokenizer(asked).input_ids
    assert tokens[0, -1] == tokenizer.eos_token_id


def test_long_sentences_are_cut_and_options_are_not(folder):
    tokenizer = load_tokenizer(str(folder / "bert"))
    options = option_texts(NAMES)
    view = TextViewSpec(tokenizer="bert", form="options", length=90)
    pairs = [("the cat " * 40, "a dog"), ("a", "b")]
    tokens = tokenize(view, tokenizer, ["sentence1", "sentence2"], pairs, options)
    assert tokens.shape[1] <= 90
    tail = tokenizer("| options: A) acceptable B) unacceptable | label:", add_special_tokens=False)
    text = " ".join(map(str, tokens[0]))
    assert " ".join(map(str, tail.input_ids)) in text
    second = tokenizer("sentence2: a dog |", add_special_tokens=False).input_ids
    assert " ".join(map(str, second)) in text
    with pytest.raises(ValueError, match="its options alone take"):
        tokenize(TextViewSpec(tokenizer="bert", form="options", length=8), tokenizer,
                 ["sentence"], [("the cat",)], options)  # fmt: skip


def test_sentence_that_spells_a_special_token_has_none():
    tokenizer = load_tokenizer(MINILM)
    for form in ("options", "sentences"):
        view = TextViewSpec(tokenizer=MINILM, form=form)
        options = option_texts(NAMES) if form == "options" else []
        tokens = tokenize(view, tokenizer, ["sentence"], [("a [MASK] b [SEP]",)], options)
        masks = count_masks(tokenizer, options) if options else 0
        assert (tokens == tokenizer.mask_token_id).sum() == masks
        assert (tokens == tokenizer.sep_token_id).sum() == 1


def test_pair_of_sentences_is_joined_as_the_tokenizer_does():
    tokenizer = load_tokenizer(MINILM)
    view = TextViewSpec(tokenizer=MINILM, form="sentences", length=12)
    tokens = tokenize(view, tokenizer, ["a", "b"], [("one two", "three"), ("x " * 20, "y")], [])
    assert tokens.shape == (2, 12)
    assert tokens[0].tolist()[:6] == tokenizer("one two", "three").input_ids
    assert tokens[1, -2] == tokenizer("y").input_ids[1]  # the longest sentence is cut alone


def test_tokens_are_memory_mapped_and_batched(tmp_path):
    numbers = np.arange(12, dtype=np.int32).reshape(4, 3)
    np.save(tmp_path / "tokens.npy", numbers)
    tokens = open_any(tmp_path / "tokens.npy")
    assert isinstance(tokens, Tokens) and isinstance(tokens.tokens, np.memmap)
    batch = tokens.batch(np.array([2, 0, 2]))
    assert batch.dtype == torch.int64
    assert batch.tolist() == numbers[[2, 0, 2]].tolist()
    assert tokens.take(np.array([3])).batch(np.array([0])).tolist() == [[9, 10, 11]]
    assert len(tokens.to(torch.device("cpu"))) == 4


def test_texts_are_as_wide_as_the_next_sixteen_tokens():
    tokens = np.full((4, 40), PADDING, np.int32)
    for row, length in zip(tokens, [16, 17, 40, 3], strict=True):
        row[:length] = 7
    texts = Tokens(tokens)
    assert texts.shapes(np.array([3, 0, 1, 2])).tolist() == [16, 16, 32, 48]
    assert texts.batch(np.array([0, 3])).tolist() == tokens[[0, 3], :16].tolist()
    assert texts.batch(np.array([0, 1])).tolist() == tokens[[0, 1], :32].tolist()
    held = Tokens(torch.from_numpy(tokens), texts.widths).take(np.array([1, 2]))
    assert held.batch(np.array([1, 0])).tolist() == tokens[[2, 1]].tolist()


def test_unknown_tokenizer_is_told_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="'bert-huge' is no model of bert-base-uncased, .*folder"):
        source_of("bert-huge")
    with pytest.raises(ValueError, match=f"the tokenizer '{tmp_path}' could not be had"):
        load_tokenizer(str(tmp_path))


def test_view_without_a_form_is_told():
    with pytest.raises(ValueError, match="expected form sentences or options"):
        TextViewSpec(tokenizer="x", form="words")
