"""List the images of a data set and the classes that its labels number."""

from typing import TYPE_CHECKING

import numpy as np

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.data.datasets import targets_of
from modelsoups.data.specs import parse_dataset
from modelsoups.data.tasks import TASKS

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
spec = parse_dataset(snakemake.params.spec)
index, class_map = TASKS[spec.task].index(spec, snakemake.params.class_ids)
with publish(snakemake.output.index) as draft:
    index.to_parquet(draft)
with publish(snakemake.output.labels) as draft, open(draft, "wb") as file:
    np.save(file, targets_of(index))
with publish(snakemake.output.class_map) as draft, open(draft, "wb") as file:
    np.save(file, class_map.logits)
