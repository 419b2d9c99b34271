"""Make the tasks of text classification from WordNet; the log gets the counts of its card."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.miniature import wordnet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logging.basicConfig(filename=snakemake.log[0], level=logging.INFO, format="%(message)s")

folder = Path(os.environ.get("WORDNET", wordnet.FOLDER))
output = Path(snakemake.output.folder)
output.mkdir(parents=True)
wordnet.check_sources(pd.read_csv(snakemake.input.sources), folder)
for task, table in wordnet.build(folder).items():
    wordnet.write_task(table, output / f"{task}.parquet")
    wordnet.list_classes(task).to_csv(output / f"{task}.csv", index=False)
    logging.info("%s\n%s", task, table.groupby(["split", "label"]).size().unstack().T.to_string())
