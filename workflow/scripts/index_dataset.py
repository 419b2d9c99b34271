"""List the images of a data set."""

from typing import TYPE_CHECKING

from modelsoups.datasets import DatasetSpec, index_dataset, read_classes
from modelsoups.files import publish
from modelsoups.logs import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
spec = DatasetSpec(**snakemake.params.spec)
classes = read_classes(snakemake.input.classes)
index = index_dataset(spec, classes.id.tolist())
with publish(snakemake.output.index) as draft:
    index.to_parquet(draft)
