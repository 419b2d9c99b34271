import pandas as pd
import pytest

from modelsoups.data.questions import option_texts, question

SST2 = pd.DataFrame({"id": ["0", "1"], "name": ["negative", "positive"], "letter": ["B", "A"]})


def test_question_is_worded_as_the_paper_has_it():
    """Appendix J.5's examples, the options listed by their letters whatever their labels are."""
    options = option_texts(SST2)
    assert options == ["B) negative", "A) positive"]
    text = question(["sentence"], ["The best movie I've ever seen!"], options)
    assert text == (
        "sentence: The best movie I've ever seen! | options: A) positive B) negative | label:"
    )


def test_sentences_of_a_pair_are_named_by_their_columns():
    options = option_texts(pd.DataFrame({"name": ["no", "yes"]}))
    assert question(["sentence1", "sentence2"], ["One.", "Two."], options) == (
        "sentence1: One. | sentence2: Two. | options: A) no B) yes | label:"
    )


@pytest.mark.parametrize("letters", [["A", "A"], ["B", "C"], ["a", "b"]])
def test_letters_that_are_not_the_first_ones_once_each_are_told(letters):
    with pytest.raises(ValueError, match="expected the letters A, B, one for each of 2 classes"):
        option_texts(SST2.assign(letter=letters))


def test_more_classes_than_letters_are_told():
    with pytest.raises(ValueError, match="one for each of 27 classes"):
        option_texts(pd.DataFrame({"name": ["x"] * 27}))
