"""Judge every model of a sweep by a second label set: which examples it has right."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.evaluation.paired import judge_label_set

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
files = dict(zip(snakemake.params.models, map(Path, snakemake.input.logits), strict=True))
correct = judge_label_set(snakemake.params.name, files, pd.read_parquet(snakemake.input.labels))
with publish(snakemake.output.correct) as draft:
    correct.to_parquet(draft, index=False)
