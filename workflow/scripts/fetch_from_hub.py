"""Fetch a file from the Hugging Face hub."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from modelsoups.base.files import sha256, write_json
from modelsoups.base.hub import HubFile, fetch
from modelsoups.base.logs import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
named = snakemake.wildcards
wanted = HubFile(repo=f"{named.owner}/{named.name}", revision=named.revision, file=named.file)
commit = fetch(wanted, snakemake.output.file)
record = {**asdict(wanted), "commit": commit, "sha256": sha256(snakemake.output.file)}
write_json(snakemake.output.record, record)
