"""Time the predictions of the best run, the soups and the ensembles of a sweep."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modelsoups.analyses.timing import list_members, time_predictions
from modelsoups.base.files import publish, read_json
from modelsoups.base.logs import log_to
from modelsoups.evaluation.classifier import open_evaluator
from modelsoups.evaluation.evaluator import open_set
from modelsoups.evaluation.scores import read_scores
from modelsoups.models.backbones import BackboneSpec
from modelsoups.weights.checkpoints import read_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
params, given = snakemake.params, snakemake.input
weights = dict(zip(params.models, map(Path, given.weights), strict=True))
ensembles = dict(zip(params.ensembles, map(read_json, given.ensembles), strict=True))
examples = open_set(
    params.held_out, given.examples, given.labels, max_examples=params.plan["max_images"]
).examples
timed = time_predictions(
    open_evaluator(
        BackboneSpec(**params.backbone),
        params.num_classes,
        snakemake.resources.batch_size,
        params.precision,
    ),
    list_members(read_scores(given.scores), params.roles, params.soups, ensembles),
    lambda model: read_weights(weights[model]),
    examples,
    params.plan["num_repeats"],
)
with publish(snakemake.output.timing) as draft:
    timed.to_parquet(draft, index=False)
