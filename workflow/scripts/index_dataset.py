"""List the images of a data set and the classes that its labels number."""

from typing import TYPE_CHECKING

import numpy as np

from modelsoups.base.files import publish, write_json
from modelsoups.base.logs import log_to
from modelsoups.data.datasets import DatasetSpec, describe_dataset, index_dataset, read_classes

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
spec = DatasetSpec(**snakemake.params.spec)
classes = read_classes(snakemake.input.classes)
index, class_map = index_dataset(spec, classes.id.tolist())
with publish(snakemake.output.index) as draft:
    index.to_parquet(draft)
with publish(snakemake.output.labels) as draft, open(draft, "wb") as file:
    np.save(file, index.label.to_numpy())
with publish(snakemake.output.class_map) as draft, open(draft, "wb") as file:
    np.save(file, class_map.logits)
write_json(snakemake.output.record, describe_dataset(spec, index, class_map))
