"""Write the model card of a soup of a study."""

from typing import TYPE_CHECKING

from modelsoups.base.files import publish, read_json
from modelsoups.base.logs import log_to
from modelsoups.evaluation.scores import read_scores
from modelsoups.models.backbones import BackboneSpec
from modelsoups.paper.card import study_card

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
params = snakemake.params
text = study_card(
    BackboneSpec(**params.backbone),
    params.view,
    read_json(snakemake.input.record),
    read_scores(snakemake.input.scores),
    params.roles,
    params.study,
)
with publish(snakemake.output.card) as draft:
    draft.write_text(text, encoding="utf-8")
