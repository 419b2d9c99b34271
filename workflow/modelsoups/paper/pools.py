"""Tables about two averages of the same runs: soups of one, the best run from either.

The paper's ViT-G and BASIC (Sections 3.3.2 and C): exponential moving averages of the weights with
a low and a high decay. "We report the highest single model accuracy numbers obtained with either
EMA decay value, but perform greedy soup and ensembling with models trained with EMA decay of
0.999."
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import WHERE, Claim, compared
from modelsoups.paper.conditions import needs_runs
from modelsoups.paper.declare import SWEEP, Given, Need, Spec, tables_of
from modelsoups.paper.domains import sets_by_domain
from modelsoups.paper.methods import by_label
from modelsoups.soups.registry import Method
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import pandas as pd

# A sweep or pool, and perhaps one more whose runs may be the best too: keys of a spec.
POOLS = ("sweep", "high")
HIGH = "high: "  # what names of the other's soups and ensembles begin with
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": list(POOLS),
    "properties": {
        "sweep": {**SWEEP, "description": "The pool of low averages, which has the soups"},
        "high": {
            **SWEEP,
            "description": "That of high averages of the same runs: the best run is of either",
        },
    },
}
SOUP, ENSEMBLE = "Greedy soup", "Greedy ensemble"


def pools_of(spec: Spec) -> list[str]:
    """The one or two pools of a spec."""
    return [spec[key] for key in POOLS if key in spec]


def with_labels(spec: Mapping[str, Any], config: Mapping[str, Any]) -> Spec:
    """What the config says of a table, with all label sets of the study."""
    return {**spec, "label_sets": config.get("label_sets", {})}


def needs(spec: Spec) -> dict[str, Need | list[Need]]:
    """Scores, and what is right image by image, by each set of labels, pool by pool."""
    pools = pools_of(spec)
    return {
        **tables_of(pools, "scores", "correct"),
        "label_sets": [
            Need(sweep=pool, table=f"label-sets/{name}")
            for pool in pools
            for name in spec["label_sets"]
        ],
    }


def names(spec: Spec) -> list[tuple[str, str]]:
    """What such a table names."""
    return [("sweep", pool) for pool in pools_of(spec)]


def problems(spec: Spec, study: Study) -> list[str]:
    """Pools without a run."""
    return [problem for pool in pools_of(spec) for problem in needs_runs(study, pool)]


def read(given: Given) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Scores of all runs and of the soups and ensembles that are reported; and what is right.

    Soups and ensembles of the second pool have columns in the latter alone, under HIGH.
    """
    import pandas as pd

    from modelsoups.evaluation.paired import read_correct
    from modelsoups.evaluation.scores import read_scores

    scores = [read_scores(path) for path in given.paths("scores")]
    labels = given.paths("label_sets")
    size = len(labels) // len(scores)  # label sets of each pool
    correct = [
        read_correct([path, *labels[number * size : (number + 1) * size]])
        for number, path in enumerate(given.paths("correct"))
    ]
    if len(scores) == 1:
        return scores[0], correct[0]
    runs = scores[1][scores[1]["kind"] == "run"]
    others = {
        name: f"{HIGH}{name}"
        for name in scores[1].loc[scores[1]["kind"].isin(["soup", "ensemble"]), "model"].unique()
    }
    keys = [key for key in ("dataset", "index", "stratum") if key in correct[0]]
    second = correct[1].rename(columns=others)
    new = [name for name in second if name not in correct[0]]
    joined = correct[0].merge(second[[*keys, *new]], on=keys, validate="one_to_one")
    if len(joined) != len(correct[0]):
        raise ValueError(
            f"expected the models of both pools on the same {len(correct[0])} images, found "
            f"{len(joined)} in common; delete {given.paths('correct')[1]} and run again"
        )
    return pd.concat([scores[0], runs], ignore_index=True), joined


def held_out_claims(
    scores: "pd.DataFrame",
    correct: "pd.DataFrame",
    roles: Mapping[str, str],
    methods: Mapping[str, Method],
    where: str,
    *,
    section: str,
    papers: Mapping[str, str],
) -> list[Claim]:
    """The greedy soup beats the run that is best on the held-out set.

    Args:
        scores, correct: of `read`. methods: soup or ensemble -> its row.
        papers: domain -> the paper's numbers.
    """
    from modelsoups.evaluation.scores import rank, the_dataset

    runs = scores[scores["kind"] == "run"]
    best = rank(runs, the_dataset(roles, "held_out"), roles).index[0]
    soup = by_label(methods, scores["model"].unique()).get(SOUP, [])
    return [
        compared(
            correct,
            soup,
            [best],
            datasets,
            where,
            claim=f"The greedy soup beats the run that is best on the held-out set "
            f"({WHERE[domain]}, {where})",
            domain=domain,
            section=section,
            paper=papers[domain],
        )
        for domain, datasets in sets_by_domain(roles).items()
        if soup
    ]


def average_claims(
    scores: "pd.DataFrame",
    correct: "pd.DataFrame",
    roles: Mapping[str, str],
    methods: Mapping[str, Method],
    pools: Mapping[str, "pd.DataFrame"],
    where: str,
    *,
    section: str,
) -> list[Claim]:
    """High averages are better alone, low ones for greedy soups and ensembles.

    Alone: the best of each on the held-out set, compared on the test set. Soups and ensembles are
    compared by held-out accuracy, as in the paper, on which they were chosen.

    Args: pools: scores of the low and the high one. Others as of `held_out_claims`.
    """
    from modelsoups.evaluation.scores import rank, the_dataset

    held_out, test = the_dataset(roles, "held_out"), the_dataset(roles, "test")
    low, high = (
        rank(each[each["kind"] == "run"], held_out, roles).index[0] for each in pools.values()
    )
    claims = [
        compared(
            correct,
            [high],
            [low],
            [test],
            where,
            claim=f"The best run of high averages is better than that of low ones ({where})",
            section=section,
            paper="High EMA generally provides the best single-model accuracy",
        )
    ]
    for label, models in by_label(methods, scores["model"].unique()).items():
        others = [f"{HIGH}{model}" for model in models]
        if label in (SOUP, ENSEMBLE) and set(others) <= set(correct.columns):
            claims.append(
                compared(
                    correct,
                    models,
                    others,
                    [held_out],
                    f"{where}, held-out set",
                    claim=f"{label}: low averages are better than high ones ({where})",
                    section=section,
                    paper="Both attain higher validation accuracy when applied to low EMA",
                )
            )
    return claims


def read_pools(given: Given) -> "dict[str, pd.DataFrame]":
    """Scores of each pool alone, by its key in the spec."""
    from modelsoups.evaluation.scores import read_scores

    paths = given.paths("scores")
    return dict(zip(POOLS, map(read_scores, paths), strict=True))
