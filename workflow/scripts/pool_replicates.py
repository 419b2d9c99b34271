"""Pool the replicates of a study: Table 3 and its claims over draws and images, and a figure."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.evaluation.scores import read_scores
from modelsoups.paper.claims import write_claims
from modelsoups.paper.look import save
from modelsoups.paper.methods import list_methods
from modelsoups.paper.pages import write_table
from modelsoups.paper.replicates import (
    each_draw,
    figure_replicates,
    open_replicate,
    print_replicates,
    replicated_claims,
    replicated_table,
)

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
about, given, made = snakemake.params.about, snakemake.input, snakemake.output
methods = list_methods(about["recipes"], about["ensembles"])
replicates = [
    open_replicate(read_scores(scores), pd.read_parquet(correct), about["roles"], methods, fold)
    for scores, correct, fold in zip(
        given.scores, given.correct, snakemake.params.folds, strict=True
    )
]
draws = each_draw(replicates, about["roles"])
table = replicated_table(replicates, about["roles"], about["study"])
claims = replicated_claims(replicates, about["roles"])
write_table(
    table,
    print_replicates(table, claims),
    f"Table 3 over {len(replicates)} draws, {about['study']}",
    csv=made.csv,
    markdown=made.markdown,
    page=made.html,
)
save(figure_replicates(draws, table, about["study"], methods), made.svg, made.png)
with publish(made.draws) as draft:
    draws.to_parquet(draft, index=False)
write_claims(made.claims, claims)
