"""Print how far the study is."""

from pathlib import Path
from typing import TYPE_CHECKING

from modelsoups.base.logs import log_to
from modelsoups.study.status import read_run, sum_up, to_text

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log_to(snakemake.log[0])
params = snakemake.params
runs = {
    sweep: [
        read_run(sweep, run, epochs, Path(record), Path(log)) for run, epochs, record, log in rows
    ]
    for sweep, rows in params.runs.items()
}
sweeps = {
    sweep: sum_up(found, params.num_images[sweep], params.images_per_second[sweep])
    for sweep, found in runs.items()
}
files = {
    what: (sum(Path(path).exists() for path in paths), len(paths))
    for what, paths in params.files.items()
}
print(to_text(params.study, sweeps, [run for found in runs.values() for run in found], files))
