"""Classification phrased as a question with options, without new parameters (Appendix J.5).

"sentence: The best movie I've ever seen! | options: A) positive B) negative | label:" is what a
language model reads, and "A) positive" what it should find probable. Sentences are named by their
columns. The paper gives the wording of SST-2 and CoLA; that of pairs, `sentence1: ... | sentence2:
... | options: ...`, is ours.
"""

from collections.abc import Sequence
from string import ascii_uppercase

import pandas as pd


def option_texts(classes: pd.DataFrame) -> list[str]:
    """The text of each class's option, in label order: "A) positive".

    Args:
        classes: columns `name` and, where the options are listed in another order than the labels
            are numbered, `letter`.
    Raises:
        ValueError: letters are not A, B, ... once each, or there are more classes than letters.
    """
    known = list(ascii_uppercase[: len(classes)])
    letters = classes["letter"].to_list() if "letter" in classes else known
    if sorted(letters) != known or len(known) != len(classes):
        raise ValueError(
            f"options: expected the letters {', '.join(known)}, one for each of {len(classes)} "
            f"classes, found {letters}"
        )
    return [f"{letter}) {name}" for letter, name in zip(letters, classes["name"], strict=True)]


def question(columns: Sequence[str], sentences: Sequence[str], options: Sequence[str]) -> str:
    """What a model is asked: the sentences by their columns, and the options in their order.

    Args: options: of `option_texts`; they are listed by their letters.
    """
    parts = [f"{column}: {text}" for column, text in zip(columns, sentences, strict=True)]
    return " | ".join([*parts, f"options: {' '.join(sorted(options))}", "label:"])
