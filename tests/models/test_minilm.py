import pytest
import torch

from modelsoups.models.minilm import MiniLM, load_minilm


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return load_minilm()


def test_embeddings_are_those_of_sentence_transformers(minilm):
    from sentence_transformers import SentenceTransformer

    folder = minilm.tokenizer.name_or_path
    texts = ["a dog", "an icon of a smiling face with three hearts", "Café 🐟"]
    expected = SentenceTransformer(folder, device="cpu").encode(texts, normalize_embeddings=True)
    torch.testing.assert_close(minilm.embed(texts), torch.from_numpy(expected))


def test_text_embeds_alike_alone_and_beside_longer_ones(minilm):
    """Padding must not enter the mean, and batches keep their order."""
    texts = ["dog", "a very long description of a cat that sits on a mat", "fish"]
    together = minilm.embed(texts, batch_size=2)
    alone = torch.cat([minilm.embed([text]) for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_related_words_are_closer_than_unrelated_ones(minilm):
    dog, puppy, invoice = minilm.embed(["dog", "puppy", "invoice"])
    assert dog @ puppy > 0.7 > 0.4 > dog @ invoice


def test_embeddings_have_length_one_and_none_are_no_rows(minilm):
    assert minilm.embed([]).shape == (0, 384)
    torch.testing.assert_close(minilm.embed(["a", "b"]).norm(dim=1), torch.ones(2))
