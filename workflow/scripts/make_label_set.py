"""Make a second label set of a test set."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.files import publish, write_json
from modelsoups.base.logs import log_to
from modelsoups.data.datasets import read_classes
from modelsoups.data.label_sets import describe_label_set, make_label_set

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
labels = make_label_set(
    snakemake.params.spec,
    pd.read_parquet(snakemake.input.index),
    read_classes(snakemake.input.classes),
)
with publish(snakemake.output.labels) as draft:
    labels.to_parquet(draft, index=False)
write_json(snakemake.output.record, describe_label_set(snakemake.params.spec, labels))
