"""Write the soup of models made elsewhere in the form that they came in, with its card."""

from pathlib import Path
from typing import TYPE_CHECKING

from modelsoups.base.files import publish, read_json
from modelsoups.base.logs import log_to
from modelsoups.evaluation.scores import read_scores
from modelsoups.models.ingredients import open_models
from modelsoups.models.own import read_spec
from modelsoups.paper.card import card, report, show_own
from modelsoups.soups.own import export

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
params, given = snakemake.params, snakemake.input
spec, record = read_spec(given.spec), read_json(given.record)
models = open_models(params.models, params.part)
files = params.get("given", params.models)
records = zip(params.models, map(read_json, given.records), strict=True)
hashes = {name: each["inputs"]["file"] for name, each in records}
folder = Path(snakemake.output.folder)
written = export(spec, record, given.weights, models, hashes, folder, params.prefix)
part = models[record["ingredients"][0]].part
shown = show_own(spec, written, params.base_model, part)
about = (shown, record, read_scores(given.scores), params.roles, files, hashes)
(folder / "README.md").write_text(card(*about), encoding="utf-8")
with publish(snakemake.output.report) as draft:
    draft.write_text(report(*about), encoding="utf-8")
