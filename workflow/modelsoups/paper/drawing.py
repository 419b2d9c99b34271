"""Each figure by its name: from the files that its rule has as input to the table it draws.

One function a figure, in `FIGURES`: it reads, calls `evidence`, calls `figures`, and returns both
the tidy table and the Figure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from modelsoups.analyses import evidence
from modelsoups.analyses.approximation import agreement
from modelsoups.base.files import read_json
from modelsoups.evaluation.scores import read_scores
from modelsoups.evaluation.statistics import LEVEL, correlation
from modelsoups.paper import figures
from modelsoups.soups.ensembles import group_files

Paths = Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a figure is drawn from."""

    files: Paths  # tables of the analyses, or records of runs
    logits: Paths = ()  # of `models` on `datasets`, data set by data set
    spec: Mapping[str, Any]  # of the figure, from the config
    labels: Sequence[str]  # of each of `files`: a sweep, a plane or a run
    models: Sequence[str] = ()
    datasets: Sequence[str] = ()
    roles: Mapping[str, str]
    study: str


Drawn = tuple[pd.DataFrame, Figure]


def scatter(given: Inputs) -> Drawn:
    """Figure 1."""
    scores = read_scores(given.files[0])
    return scores, figures.figure_1(scores, given.roles, given.study)


def scatter_of_all(given: Inputs) -> Drawn:
    """Figure L.3."""
    scores = read_scores(given.files[0])
    return scores, figures.figure_1(scores, given.roles, given.study, figures.EVERYTHING)


def planes(given: Inputs, log_levels: bool = True) -> Drawn:
    """Figure 2."""
    table = evidence.landscape(_by_label(given), given.roles, "nll")
    return table, figures.figure_2(table, given.study, log_levels)


def planes_linear(given: Inputs) -> Drawn:
    """Figure J.1."""
    return planes(given, log_levels=False)


def angles(given: Inputs) -> Drawn:
    """Figure 3."""
    table = evidence.advantage(pd.read_parquet(given.files[0]), given.roles)
    found = correlation(table["angle"].to_numpy(), table["advantage"].to_numpy())
    note = f"{len(table)} pairs, correlation {found:.2f}"
    return table, figures.figure_3(table, given.study, note)


def pairs(given: Inputs) -> Drawn:
    """Figure 4."""
    files = group_files(given.logits, given.datasets, given.models)
    table = evidence.pair_accuracies(pd.read_parquet(given.files[0]), files, given.roles)
    return table, figures.figure_4(table, given.study)


def growth(given: Inputs) -> Drawn:
    """Figure B.1."""
    table = evidence.growth_curves(pd.read_parquet(given.files[0]), given.roles)
    return table, figures.figure_b1(table, given.study)


def growth_of_sweep(given: Inputs) -> Drawn:
    """Figures H.1 to H.4: Figure B.1 of another sweep."""
    table = evidence.growth_curves(pd.read_parquet(given.files[0]), given.roles)
    return table, figures.figure_b1(table, f"{given.study}: sweep {given.labels[0]}")


def seeds(given: Inputs) -> Drawn:
    """Figure B.2."""
    metrics = list(figures.SEED_METRICS)
    table = evidence.seeds_curves(pd.read_parquet(given.files[0]), given.roles, metrics)
    return table, figures.figure_b2(table, given.study)


def seeds_of_backbones(given: Inputs) -> Drawn:
    """Figure G.4."""
    table = pd.concat(
        evidence.seeds_curves(seeds, given.roles, ["accuracy"]).assign(sweep=sweep)
        for sweep, seeds in _by_label(given).items()
    )
    return table, figures.figure_g4(table, given.study)


def wise(given: Inputs) -> Drawn:
    """Figure D.1."""
    table = evidence.wise_curves(_by_label(given), given.roles)
    return table, figures.figure_d1(table, given.study)


def approximation(given: Inputs) -> Drawn:
    """Figure K.1."""
    table, high_lr = pd.read_parquet(given.files[0]), given.spec["high_lr"]
    curvature = given.spec["curvature"]
    notes = []
    for _, truth, rows in evidence.k1_panels(table, high_lr):
        found = agreement(rows, truth, curvature)
        notes.append(
            f"r = {found['correlation']:.2f} ({100 * LEVEL:.0f} %: {found['low']:.2f} to "
            f"{found['high']:.2f}), same sign {100 * found['same_sign']:.0f} %"
        )
    return table, figures.figure_k1(table, given.study, high_lr, curvature, notes)


def curves(given: Inputs) -> Drawn:
    """The runs' training curves."""
    records = dict(zip(given.labels, map(read_json, given.files), strict=True))
    table = pd.DataFrame(
        [
            {"run": run, "epoch": epoch, "loss": step["loss"], "lr": record["spec"]["lr"]}
            for run, record in records.items()
            for epoch, step in enumerate(record["curve"], start=1)
        ]
    )
    return table, figures.figure_curves(table, f"{given.study}: sweep {given.spec['sweep']}")


def _by_label(given: Inputs) -> dict[str, pd.DataFrame]:
    return dict(zip(given.labels, map(pd.read_parquet, given.files), strict=True))


FIGURES: dict[str, Callable[[Inputs], Drawn]] = {
    "figure1": scatter,
    "figureL3": scatter_of_all,
    "figure2": planes,
    "figureJ1": planes_linear,
    "figure3": angles,
    "figure4": pairs,
    "figureB1": growth,
    "figureH": growth_of_sweep,
    "figureB2": seeds,
    "figureG4": seeds_of_backbones,
    "figureD1": wise,
    "figureK1": approximation,
    "curves": curves,
}
