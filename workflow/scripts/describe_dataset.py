"""Check the number of images of a data set, and write down what it is."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.files import write_json
from modelsoups.base.logs import log_to
from modelsoups.data.class_maps import build_class_map
from modelsoups.data.datasets import describe_dataset
from modelsoups.data.specs import CountsSpec, parse_dataset

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
spec = parse_dataset(snakemake.params.spec)
class_map = build_class_map(spec.class_map, snakemake.params.class_ids, spec.mappings)
record = describe_dataset(
    spec,
    CountsSpec(**snakemake.params.counts),
    pd.read_parquet(snakemake.input.index),
    class_map.ids,
)
write_json(snakemake.output.record, record)
