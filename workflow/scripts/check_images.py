"""Read every training image once; the index that comes out lists images that can be read."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.data.views import check_images

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
index = pd.read_parquet(snakemake.input.index)
check_images(index, snakemake.params.column, snakemake.threads)
with publish(snakemake.output.index) as draft:
    index.to_parquet(draft)
