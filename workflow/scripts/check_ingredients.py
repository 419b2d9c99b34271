"""Check that all models made elsewhere can be ingredients of one soup."""

from typing import TYPE_CHECKING

import pandas as pd

from modelsoups.base.files import publish
from modelsoups.base.logs import log_to
from modelsoups.models.ingredients import check_ingredients, open_models
from modelsoups.models.own import build, read_spec

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
params = snakemake.params
models = open_models(params.models, params.part)
spec = read_spec(snakemake.input.spec)
check_ingredients(models, spec, build(spec), params.prefix, params.seen_alike)
rows = [
    (name, path, models[name].part or "", ", ".join(models[name].left_aside))
    for name, path in params.get("given", params.models).items()
]
with publish(snakemake.output.table) as draft:
    pd.DataFrame(rows, columns=["model", "file", "part", "left_aside"]).to_csv(draft, index=False)
