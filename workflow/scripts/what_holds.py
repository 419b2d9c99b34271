"""Compare the paper's claims with this study, and write the captions of tables and figures."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.evaluation.scores import read_scores
from modelsoups.paper.captions import DESCRIPTIONS, caption
from modelsoups.paper.claims import all_claims, print_claims, to_table
from modelsoups.paper.tables import write_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
sweeps = snakemake.params.sweeps
described = {
    name: DESCRIPTIONS[name](pd.read_parquet(path))
    for name, path in zip(snakemake.params.described, snakemake.input.described, strict=True)
}
claims = to_table(
    all_claims(
        dict(zip(sweeps, map(read_scores, snakemake.input.scores), strict=True)),
        dict(zip(sweeps, map(pd.read_parquet, snakemake.input.correct), strict=True)),
        {
            name: pd.read_parquet(path)
            for name, path in snakemake.input.items()
            if name in ("figure3", "figure4", "seeds", "approximation")
        },
        snakemake.params.roles,
        snakemake.params.table3,
        snakemake.params.what_holds,
        snakemake.params.figure_k1,
    )
)
write_table(
    claims,
    print_claims(claims, snakemake.params.study),
    "What holds here",
    csv=snakemake.output.csv,
    markdown=snakemake.output.markdown,
    page=snakemake.output.html,
)
for name, path in zip(snakemake.params.names, snakemake.output.captions, strict=True):
    with publish(Path(path)) as draft:
        draft.write_text(caption(name, snakemake.params.study, claims, described.get(name, "")))
