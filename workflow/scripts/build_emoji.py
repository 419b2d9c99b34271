"""Build the emoji benchmark; the log gets the counts that its card quotes."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.miniature import emoji, iconify

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logging.basicConfig(filename=snakemake.log[0], level=logging.INFO, format="%(message)s")

sources = pd.read_csv(snakemake.input.sources)
styles = pd.read_csv(snakemake.input.styles)
fxemoji = pd.read_csv(snakemake.input.fxemoji, dtype=str)
packages = Path(snakemake.output.packages)

iconify.install(sources, packages)
iconify.check_sources(sources, packages / "node_modules")
table, images = emoji.build(styles, fxemoji, packages / "node_modules")
left_out = images.loc[images["verdict"] != "kept", ["style", "verdict", "subgroup", "name"]]

emoji.write_table(table, Path(snakemake.output.emoji))
emoji.list_classes().to_csv(snakemake.output.classes, index=False)
logging.info("%s\n\n%s", emoji.summarise(images).to_string(), left_out.to_string(index=False))
