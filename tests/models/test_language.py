"""Language models of the real classes, with random weights, against transformers' own scoring."""

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertForMaskedLM, T5ForConditionalGeneration

from modelsoups.data.questions import option_texts
from modelsoups.data.specs import TextViewSpec, ViewSpec
from modelsoups.data.texts import PADDING, option_tokens, tokenize
from modelsoups.data.tokenizers import MINILM, load_tokenizer
from modelsoups.models.backbones import (
    BackboneSpec,
    build_classifier,
    build_for,
    check_view,
    load_pretrained,
    load_text_tower,
)
from modelsoups.models.language import option_table
from modelsoups.models.minilm import load_minilm
from modelsoups.weights.average import average, copy_into
from modelsoups.weights.checkpoints import Checkpoint, find_tied, read_weights, write_weights
from small_texts import SENTENCES, make_bert, make_t5

CLASSES = pd.DataFrame({"id": ["0", "1"], "name": ["unacceptable", "acceptable"]})
UNEVEN = pd.DataFrame({"id": ["0", "1", "2"], "name": ["mat", "garden wide", "x y z dog"]})
SINGLE = [(text,) for text in SENTENCES]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {"bert": make_bert(root / "bert"), "t5": make_t5(root / "t5")}


def spec_of(folders, library):
    return BackboneSpec(library=library, model=str(folders[library]), weights="random")


def classifier(spec, classes):
    """A model with seeded random weights and the classes' options."""
    model = build_classifier(spec, len(classes)).eval()
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.head.load_state_dict({"options": option_table(spec, classes)})
    return model


def questions(folder, classes):
    tokenizer, options = load_tokenizer(str(folder)), option_texts(classes)
    view = TextViewSpec(tokenizer=str(folder), form="options")
    return torch.from_numpy(tokenize(view, tokenizer, ["sentence"], SINGLE, options)).long()


@pytest.mark.parametrize("classes", [CLASSES, UNEVEN])
def test_bert_scores_options_as_its_own_masked_language_model_does(folders, classes):
    model = classifier(spec_of(folders, "bert"), classes)
    theirs = BertForMaskedLM(model.backbone.config).eval()
    theirs.load_state_dict(model.backbone.state_dict())
    tokenizer = load_tokenizer(str(folders["bert"]))
    pieces = option_tokens(tokenizer, option_texts(classes))
    tokens = questions(folders["bert"], classes)
    with torch.inference_mode():
        found = model(tokens)
        for row, logits in zip(tokens, found, strict=True):
            row = row[row != PADDING]  # alone and without padding
            log_p = theirs(row[None]).logits[0].log_softmax(-1)
            masks = (row == tokenizer.mask_token_id).nonzero()[:, 0]
            assert len(masks) == max(map(len, pieces))
            expected = [
                sum(log_p[place, piece] for place, piece in zip(masks, option, strict=False))
                for option in pieces
            ]
            torch.testing.assert_close(logits, torch.stack(expected), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("classes", [CLASSES, UNEVEN])
def test_t5_scores_options_as_its_own_loss_does(folders, classes):
    model = classifier(spec_of(folders, "t5"), classes)
    theirs = T5ForConditionalGeneration(model.backbone.config).eval()
    theirs.config.decoder_start_token_id = 0  # the hub's config has it; T5's own does not
    theirs.load_state_dict(model.backbone.state_dict())
    tokenizer = load_tokenizer(str(folders["t5"]))
    pieces = option_tokens(tokenizer, option_texts(classes))
    assert all(option[-1] == tokenizer.eos_token_id for option in pieces)
    tokens = questions(folders["t5"], classes)
    with torch.inference_mode():
        found = model(tokens)
        for row, logits in zip(tokens, found, strict=True):
            row = row[row != PADDING]
            # The loss is the mean over an option's tokens.
            expected = [
                -theirs(row[None], labels=torch.tensor([option])).loss * len(option)
                for option in pieces
            ]
            torch.testing.assert_close(logits, torch.stack(expected), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("library", ["bert", "t5"])
def test_padding_changes_nothing_and_training_cuts_it(folders, library):
    model = classifier(spec_of(folders, library), CLASSES)
    tokens = questions(folders[library], CLASSES)
    wide = torch.nn.functional.pad(tokens, (0, 20), value=PADDING)
    with torch.inference_mode():
        torch.testing.assert_close(model(wide), model(tokens), atol=1e-4, rtol=1e-5)
    seen = []
    inner = model.backbone.bert if library == "bert" else model.backbone.encoder
    inner.register_forward_hook(
        lambda module, given, named, output: seen.append(output.last_hidden_state.shape[1]),
        with_kwargs=True,
    )
    model.train()(wide)
    model.eval()(wide)
    assert seen == [tokens.shape[1], wide.shape[1]]


@pytest.mark.parametrize(
    ("library", "groups"),
    [
        (
            "bert",
            [
                {"bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"},
                {"cls.predictions.bias", "cls.predictions.decoder.bias"},
            ],
        ),
        (
            "t5",
            [
                {
                    *("shared.weight", "encoder.embed_tokens.weight"),
                    *("decoder.embed_tokens.weight", "lm_head.weight"),
                }
            ],
        ),
    ],
)
def test_tied_embeddings_are_averaged_once_and_stay_tied(folders, tmp_path, library, groups):
    """Through files, a soup of two, its file, and back into a model (J.5's word of caution)."""
    groups = [{f"backbone.{name}" for name in group} for group in groups]
    spec = spec_of(folders, library)
    models = [classifier(spec, CLASSES) for _ in range(2)]
    with torch.no_grad():
        for parameter in models[1].parameters():
            parameter.mul_(3).add_(1)
    paths = [tmp_path / f"{number}.safetensors" for number in range(2)]
    for path, model in zip(paths, models, strict=True):
        write_weights(path, model.state_dict())
    soup = average(paths)
    write_weights(tmp_path / "soup.safetensors", soup)
    loaded = read_weights(tmp_path / "soup.safetensors")
    result = build_for(spec, loaded)
    copy_into(result, loaded)
    state = result.state_dict()
    for weights in (soup, loaded, state):
        for group in groups:
            assert len({weights[key].data_ptr() for key in group}) == 1
            key = min(group)
            both = [model.state_dict()[key].double() for model in models]
            torch.testing.assert_close(weights[key], ((both[0] + both[1]) / 2).float())
    stored = Checkpoint(tmp_path / "soup.safetensors")
    tied = find_tied(stored.entries)
    assert {frozenset((key, other)) for key, other in tied.items()} == {
        frozenset((key, first))
        for group in groups
        for first in [next(key for key in soup if key in group)]
        for key in group - {first}
    }
    size = sum(tensor.nbytes for tensor in {t.data_ptr(): t for t in soup.values()}.values())
    assert (tmp_path / "soup.safetensors").stat().st_size < size + 40_000  # a header beside
    torch.testing.assert_close(loaded["head.options"], models[0].head.options)
    assert loaded["head.options"].dtype == torch.int64


def test_option_that_the_head_cannot_hold_is_told(folders):
    long = CLASSES.assign(name=["a", "cat " * 20])
    with pytest.raises(ValueError, match="at most 16 tokens each"):
        option_table(spec_of(folders, "bert"), long)


def test_folder_of_another_kind_of_model_is_told(folders):
    with pytest.raises(ValueError, match="expected a t5 model, found a bert one"):
        BackboneSpec(library="t5", model=str(folders["bert"]), weights="random")


def test_random_weights_are_the_same_each_time(folders):
    for library in ("bert", "t5"):
        spec = spec_of(folders, library)
        models = [build_classifier(spec, 2) for _ in range(2)]
        for model in models:
            load_pretrained(spec, model)
        for first, second in zip(*(model.state_dict().values() for model in models), strict=True):
            assert first.equal(second)


def test_weights_file_of_a_language_model_is_read_by_name(folders, tmp_path):
    spec = spec_of(folders, "t5")
    model = classifier(spec, CLASSES)
    path = tmp_path / "weights.safetensors"
    model.backbone.save_pretrained(tmp_path / "saved")  # as the hub has it: tied tensors once
    write_weights(path, model.backbone.state_dict())
    for file in (path, tmp_path / "saved/model.safetensors"):
        other = build_classifier(spec, 2)
        load_pretrained(BackboneSpec(library="t5", model=spec.model, weights=str(file)), other)
        for key, tensor in model.backbone.state_dict().items():
            assert tensor.equal(other.backbone.state_dict()[key]), key


MINI = BackboneSpec(library="minilm", model=MINILM, weights=MINILM)


def test_sentence_encoder_has_minilms_embeddings():
    model = build_classifier(MINI, 2).eval()
    load_pretrained(MINI, model)
    tokenizer = load_tokenizer(MINILM)
    view = TextViewSpec(tokenizer=MINILM, form="sentences")
    check_view(model.preprocessing, view)
    tokens = torch.from_numpy(tokenize(view, tokenizer, ["sentence"], SINGLE, [])).long()
    with torch.inference_mode():
        features = model.features(tokens)
    torch.testing.assert_close(features, load_minilm().embed(SENTENCES), atol=1e-5, rtol=0)
    tower = load_text_tower(MINI, torch.device("cpu"))
    assert tower.scale == 20
    torch.testing.assert_close(tower.embed(SENTENCES), features, atol=1e-5, rtol=0)


def test_view_of_another_form_or_vocabulary_is_told(folders):
    bert, t5 = (build_classifier(spec_of(folders, name), 2).preprocessing for name in folders)
    view = TextViewSpec(tokenizer=str(folders["bert"]), form="options")
    check_view(bert, view)
    with pytest.raises(ValueError, match="the backbone has the vocabulary of .*t5"):
        check_view(t5, view)
    with pytest.raises(ValueError, match="reads texts as options, its view has the form sentences"):
        check_view(bert, TextViewSpec(tokenizer=str(folders["bert"]), form="sentences"))
    with pytest.raises(ValueError, match="name another view"):
        check_view(bert, ViewSpec(size=8, resize=8))


def test_named_architectures_are_those_of_the_hub():
    """Numbers of parameters as the models' cards and papers have them, in millions."""
    millions = {"bert-base-uncased": 109.5, "bert-large-uncased": 335.2}
    millions |= {"t5-small": 60.5, "t5-base": 222.9, "t5-large": 737.7}
    with torch.device("meta"):
        for name, expected in millions.items():
            library = name.partition("-")[0]
            spec = BackboneSpec(library=library, model=name, weights="hub")
            model = build_classifier(spec, 2)
            count = sum(parameter.numel() for parameter in model.parameters())
            assert count / 1e6 == pytest.approx(expected, abs=0.06), name
    assert np.isclose(len(build_classifier(MINI, 2).backbone.bert.encoder.layer), 6)
