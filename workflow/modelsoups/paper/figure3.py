"""Figure 3: what averaging two runs gains against the angle between them (Section 3.2)."""

from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import correlated, count_pairs
from modelsoups.paper.conditions import needs_initialization, needs_pairs
from modelsoups.paper.declare import (
    MAX_IMAGES,
    SWEEP,
    Given,
    Made,
    Need,
    Result,
    Spec,
    mixes_of,
    one_sweep,
)
from modelsoups.paper.look import styled
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

VARIED: dict[str, tuple[str, dict[str, Any]]] = {  # what two runs differ in -> label and look
    "seed": ("Seed", {"marker": "o", "color": "tab:blue"}),
    "lr": ("Learning rate", {"marker": "s", "color": "tab:orange"}),
    "augmentation": ("Augmentation", {"marker": "^", "color": "tab:green"}),
    "several": ("Several", {"marker": "x", "color": "0.5"}),
}


def advantage(mixes: "pd.DataFrame", roles: Mapping[str, str]) -> "pd.DataFrame":
    """How much the middle of two runs is better than the runs are on average.

    Accuracy is averaged over the test set and the shift sets, each set alike (caption).

    Args: mixes: of `analyses.mixes.plan_angles`.
    Returns: first, second, varied, angle (degrees), advantage (difference of fractions).
    """
    from modelsoups.evaluation.scores import datasets_of, the_dataset

    reported = [the_dataset(roles, "test"), *datasets_of(roles, "shift")]
    chosen = mixes[(mixes["metric"] == "accuracy") & mixes["dataset"].isin(reported)]
    mean = chosen.groupby(["first", "second"])["value"].mean()
    pairs = mixes[mixes["first"] != mixes["second"]].drop_duplicates(["first", "second"])
    result = pairs[["first", "second", "varied", "angle"]].reset_index(drop=True)
    result["advantage"] = [
        mean[a, b] - (mean[a, a] + mean[b, b]) / 2
        for a, b in zip(result["first"], result["second"], strict=True)
    ]
    return result


def figure_3(table: "pd.DataFrame", title: str, subtitle: str = "") -> "Figure":
    """Interpolation advantage against the angle between two runs' displacements.

    Args: table: of `advantage`. subtitle: what was measured on it.
    """
    from matplotlib.figure import Figure

    with styled():
        figure = Figure()
        axes = figure.subplots()
        for what, pairs in table.groupby("varied"):
            label, look = VARIED.get(str(what), (str(what).capitalize(), {"marker": "D"}))
            axes.scatter(pairs["angle"], 100 * pairs["advantage"], label=label, s=36, **look)
        axes.axhline(0, color="0.6", linewidth=0.8)
        axes.set(
            title=f"{title}\n{subtitle}".strip(),
            xlabel="Angle between the runs' displacements (degrees)",
            ylabel="Interpolation advantage (percentage points)",
        )
        figure.legend(loc="outside lower center", ncols=4, title="The two runs differ in")
    return figure


def make(given: Given) -> Made:
    """Figure 3 and its claim."""
    from modelsoups.evaluation.statistics import correlation

    table = advantage(given.read("angles"), given.roles)
    found = correlation(table["angle"].to_numpy(), table["advantage"].to_numpy())
    claim = correlated(
        table,
        "angle",
        "advantage",
        claim="The advantage of averaging two runs grows with the angle between them",
        section="3.2",
        paper="Figure 3: correlated",
    )
    note = count_pairs(table) + ("" if isnan(found) else f", correlation {found:.2f}")
    return Made(table=table, figure=figure_3(table, given.study, note), claims=[claim])


def problems(spec: Spec, study: Study) -> list[str]:
    """No origin of the angles, or no pair of runs."""
    sweep = spec["sweep"]
    return [
        *needs_initialization(study, sweep),
        *needs_pairs(study, sweep, spec["below_lr"], spec["pairs"]),
    ]


RESULT = Result(
    name="figure3",
    title="Figure 3",
    section="3.2",
    kind="figure",
    about="Figure 3: the advantage of averaging two runs, against the angle between them.",
    key="figure3",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["sweep", "below_lr", "pairs"],
        "properties": {
            "sweep": SWEEP,
            "below_lr": {
                "type": "number",
                "description": "Runs from this learning rate on are out",
            },
            "pairs": {
                "enum": ["one", "all"],
                "description": "Pairs that differ in one hyper-parameter, or all",
            },
            "max_images": MAX_IMAGES,
        },
    },
    needs=lambda spec: {"angles": Need(sweep=spec["sweep"], table="mixes/angles")},
    analyses=mixes_of("angles"),
    names=one_sweep,
    problems=problems,
    make=make,
    caption=(
        "Figure 3. Advantage of the average of two runs over their mean accuracy (test set and "
        "shift sets alike), against the angle between their displacements, of the matrices and "
        "kernels of repeated blocks."
    ),
    paper="The advantage is correlated with the angle",
)
