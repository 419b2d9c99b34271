"""Tokenise all texts of a data set once, for the models that have one tokenizer."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.data.datasets import read_classes
from modelsoups.data.questions import option_texts
from modelsoups.data.specs import TextViewSpec
from modelsoups.data.texts import read_sentences, tokenize
from modelsoups.data.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
view, columns = TextViewSpec(**snakemake.params.view), snakemake.params.columns
sentences = read_sentences(pd.read_parquet(snakemake.input.index), columns)
classes = snakemake.input.classes
options = option_texts(read_classes(classes)) if classes else []
tokens = tokenize(view, load_tokenizer(view.tokenizer), columns, sentences, options)
with publish(snakemake.output.tokens) as draft, open(draft, "wb") as file:
    np.save(file, tokens)
