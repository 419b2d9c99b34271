"""Embed every name of the icons once."""

from typing import TYPE_CHECKING

import pandas as pd
import torch

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.models.devices import pick_device
from modelsoups.models.minilm import load_minilm

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
icons = pd.read_parquet(snakemake.input.icons)
names = sorted(icons["name"].unique(), key=len)  # of like length: less padding
embeddings = load_minilm(pick_device()).embed(names).numpy()
table = pd.DataFrame({"name": names, "embedding": list(embeddings)})
with publish(snakemake.output.names) as draft:
    table.to_parquet(draft, index=False)
