"""Draw the icons that IconCLIP is trained on; the log gets the counts that its card quotes."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.miniature import iconify, icons

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
sources = pd.read_csv(snakemake.input.sources)
packages = Path(snakemake.output.packages)
iconify.install(sources, packages)
iconify.check_sources(sources, packages / "node_modules")
icon_sets = icons.read_icon_sets(packages / "node_modules/@iconify/json")
emoji_images = [
    iconify.decode(image["bytes"])
    for image in pq.read_table(snakemake.input.emoji, columns=["image"])["image"].to_pylist()
]
chosen, drawings = icons.build(icon_sets, np.stack(emoji_images))
logging.info("%d drawings, %d names", len(chosen), chosen["name"].nunique())
with publish(snakemake.output.drawings) as draft, open(draft, "wb") as file:
    np.save(file, drawings)
with publish(snakemake.output.icons) as draft:
    chosen.to_parquet(draft, index=False)
