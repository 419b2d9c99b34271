"""Decode all images of a data set once, at one evaluation transform."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from modelsoups.files import publish
from modelsoups.logs import log_to
from modelsoups.views import ViewSpec, decode

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
index = pd.read_parquet(snakemake.input.index)
view = ViewSpec(**snakemake.params.view)
with publish(snakemake.output.images) as draft:
    shape = (len(index), view.size, view.size, 3)
    images = np.lib.format.open_memmap(draft, "w+", np.uint8, shape)
    decode(index, view, images, snakemake.params.column, snakemake.threads)
    images.flush()
with publish(snakemake.output.labels) as draft, open(draft, "wb") as file:
    np.save(file, index.label.to_numpy())
