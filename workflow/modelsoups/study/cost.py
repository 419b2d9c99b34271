"""What runs and analyses cost, for what their jobs ask for and the plan.

Imported while Snakemake parses: no torch.
"""

from collections.abc import Iterable, Mapping
from math import ceil, comb
from typing import Any

from modelsoups.study.search import RunSpec, average_names, pairs_below
from modelsoups.study.study import Study

ASSUMED_IMAGES = (
    50_000  # of a data set whose number the config does not say; time alone depends on it
)
SECOND_DERIVATIVE = 20  # forward passes that one takes, about


def passes_of(run: RunSpec) -> float:
    """Passes, forward and backward, that a step of a run takes: 1 of most, of SAM twice as many.

    A teacher's forward pass is a third of one.
    """
    return (1 + bool(run.sam)) * (1 + len(run.teachers) / 3)


def looks_of(run: RunSpec) -> int:
    """Passes over the held-out set in training, of the run and of each moving average."""
    return ceil(1 / run.evaluate_every) * (1 + len(run.ema)) if run.evaluate_every else 0


def models_in_training(run: RunSpec) -> int:
    """Models in float32 whose memory a process of a run takes.

    Weights, gradient, the optimiser's two moments, and a state as saved are 8; SAM keeps the
    weights that it began at; the best checkpoint is in memory and in the state; an average is so in
    float64.
    """
    kept = bool(run.sam) + len(run.teachers)
    if run.evaluate_every:
        kept += 2 * (1 + len(run.ema))
    return 8 + kept + 4 * len(average_names(run))


def megabytes(num_bytes: float, models: int, pool: int = 0, resident_gib: float = 0) -> int:
    """Main memory of a job that holds so many models, on top of Python, torch and images.

    Args:
        num_bytes: of one model, as in its file. pool: models that it holds besides, up to
            `resident_gib`.
    """
    return ceil(2000 + (models * num_bytes + min(pool * num_bytes, resident_gib * 2**30)) / 1e6)


def count_mixes(plan: Mapping[str, Any], runs: Mapping[str, RunSpec]) -> int:
    """The number of mixes that a plan evaluates (`analyses.mixes`)."""
    match plan["kind"]:
        case "plane":
            return plan["resolution"] ** 2 + 4
        case "pairs":
            return min(plan["num_pairs"], comb(len(runs), 2))
        case "wise":
            return 1 + (len(runs) + len(plan["soups"])) * len(plan["alphas"])
        case "endpoints":
            return sum(comb(len(grid), 2) for grid in plan["grids"].values())
        case "angles":
            chosen, pairs = pairs_below(runs, plan["below_lr"], plan["pairs"])
            return len(chosen) + len(pairs)
        case "groups":
            groups = plan["groups"]
            return sum(len(each["members"]) if each.get("ensemble") else 1 for each in groups)
    raise ValueError(f"plan of kind {plan['kind']!r} is unknown")


def count_images(study: Study, sweep: str, table: str, plan: Mapping[str, Any]) -> int:
    """Images that an analysis puts through a model, at most.

    Growth counts a pass over the held-out set for each candidate that a greedy soup tries.

    Args: sweep, table, plan: of the analysis that a figure asks for (`paper.declare.Analysis`).
    """
    datasets = study.config["datasets"]
    sizes = {name: spec.get("num_images", ASSUMED_IMAGES) for name, spec in datasets.items()}

    def count(names: Iterable[str], max_images: int | None = None) -> int:
        return sum(min(sizes[name], max_images or sizes[name]) for name in names)

    held_out, everything = sizes[study.held_out_of(sweep)], count(study.evaluated_of(sweep))
    reported = study.reported_of(sweep)
    match table.partition("/")[0]:
        case "mixes":
            training = [study.train_of(sweep) or ""] if plan["kind"] == "plane" else []
            images = count([*training, *reported], plan.get("max_images"))
            return count_mixes(plan, study.runs[sweep]) * images
        case "growth":
            size = len(study.pools[sweep])
            return plan["num_orders"] * (size * everything + comb(size + 1, 2) * held_out)
        case "timing":  # as if the ensembles had all models, and once more to warm up
            soups, ensembles = study.recipes_of(sweep), study.ensembles_of(sweep)
            models = 1 + len(soups) + len(ensembles) * len(study.pools[sweep])
            return (plan["num_repeats"] * models + 1) * min(held_out, plan["max_images"])
        case "cross":
            return 2 ** len(plan["models"]) * count([plan["dataset"]], plan.get("max_images"))
        case "seeds":
            return 2 * len(study.runs[sweep]) * everything
        case "approximation":
            rates, levels, seeds = (len(plan[k]) for k in ("learning_rates", "levels", "seeds"))
            pairs = levels * comb(rates, 2) + rates * comb(levels, 2)
            pairs += rates * levels * (comb(seeds, 2) + 1)
            images = (2 + SECOND_DERIVATIVE) * count(reported, plan.get("max_images"))
            return pairs * len(plan["alphas"]) * (images + count(reported))
    raise ValueError(f"analysis {table!r} is unknown")
