"""Make the small JPEGs that training reads in place of the original files."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.base.paths import require_space
from modelsoups.data.specs import ResizeSpec
from modelsoups.data.views import resize_images

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
index = pd.read_parquet(snakemake.input.index)
spec = ResizeSpec(**snakemake.params.resize)
require_space(snakemake.output.images, spec.estimated_bytes(len(index)))
resized = resize_images(
    spec,
    index,
    snakemake.output.images,
    column=snakemake.params.column,
    threads=snakemake.threads,
)
with publish(snakemake.output.index) as draft:
    resized.to_parquet(draft)
