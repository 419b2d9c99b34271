"""Push a soup with its card, and tables and figures, to the Hugging Face hub."""

from pathlib import Path
from typing import TYPE_CHECKING

from modelsoups.base.hub import push
from modelsoups.base.logs import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
params = snakemake.params
files = dict(zip(params.names, map(Path, snakemake.input.files), strict=True))
for folder in map(Path, snakemake.input.get("folders", [])):
    inside = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    files |= {str(path.relative_to(folder)): path for path in inside}
print(push(params.repo, files, params.private))
