"""Find out what models made elsewhere are, and how they see images, from the first of them."""

import logging
from typing import TYPE_CHECKING

from modelsoups.base.logs import log_to
from modelsoups.base.paths import resolve
from modelsoups.models.own import Request, describe, write_spec
from modelsoups.weights.stored import open_stored

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
stored = open_stored(resolve(snakemake.params.model), snakemake.params.part)
spec = describe(Request(**snakemake.params.request), stored, snakemake.params.classes)
logging.info("%s: %s of %s, sees images as %s", stored.path, spec.model, spec.library, spec.view)
for each in spec.assumed:
    logging.warning("assumed: %s", each)
write_spec(snakemake.output.spec, spec)
