"""Decode all images of a data set once, at one evaluation transform."""

from math import prod
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from modelsoups.base.files import publish, read_json
from modelsoups.base.logs import log_to
from modelsoups.base.paths import require_space
from modelsoups.data.specs import ViewSpec
from modelsoups.data.views import decode

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
index = pd.read_parquet(snakemake.input.index)
fields = read_json(snakemake.input.model)["view"] if snakemake.input.model else {}
view = ViewSpec(**snakemake.params.view, **fields)
shape = (len(index), view.size, view.size, 3)
require_space(snakemake.output.images, prod(shape))
with publish(snakemake.output.images) as draft:
    images = np.lib.format.open_memmap(draft, "w+", np.uint8, shape)
    decode(
        index,
        view,
        images,
        column=snakemake.params.column,
        threads=snakemake.threads,
    )
    images.flush()
