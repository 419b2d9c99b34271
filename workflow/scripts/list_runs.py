"""Write the runs of a sweep as a table."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
runs = pd.DataFrame.from_dict(snakemake.params.runs, orient="index").rename_axis("run")
with publish(snakemake.output.runs) as draft:
    runs.to_csv(draft)
