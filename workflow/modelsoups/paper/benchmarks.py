"""Soups against the runs of their sweep by a benchmark's own metric (Appendix G).

Figures G.1 and G.2: one panel a sweep and metric, in distribution along x, out of it along y. A
metric of a whole set is no mean over examples, so that the shift sets of a panel are one set here:
their images together, in which the worst group is the worst of all of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import WHERE, Claim, in_points, make_claim, percent
from modelsoups.paper.conditions import needs_runs
from modelsoups.paper.declare import SWEEP, Given, Made, Need, Spec, tables_of
from modelsoups.paper.domains import DOMAINS
from modelsoups.paper.look import BEST, INITIALIZATION, RUNS, Look, styled
from modelsoups.soups.registry import Method, method_of
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TITLES = {  # metrics that a panel can be about
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "matthews": "Matthews' coefficient",
    "worst_group_accuracy": "worst-group accuracy",
}
BEST_RUN, UNIFORM, GREEDY = "Best on held-out set", "Uniform soup", "Greedy soup"
LOOKS: dict[str, Look] = {  # in the order of drawing
    "Initialization": INITIALIZATION,
    "Individual models": RUNS,
    BEST_RUN: BEST,
    UNIFORM: method_of({"kind": "uniform"}).look,
    GREEDY: method_of({"kind": "greedy"}).look,
}
SHIFT_SETS: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "items": {"type": "string"},
    "description": "Those that it is about, together (default: all of the study)",
}
PANEL: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["sweep", "metric"],
    "properties": {
        "sweep": SWEEP,
        "metric": {"enum": list(TITLES), "description": "The benchmark's own"},
        "shift_sets": SHIFT_SETS,
    },
}


def label_of_greedy(metric: str) -> str:
    """The label that the greedy soup by a metric has among a study's methods."""
    return method_of({"kind": "greedy", "metric": metric}).label


def score_panel(
    predictions: "pd.DataFrame",
    scores: "pd.DataFrame",
    methods: Mapping[str, Method],
    panel: Spec,
) -> "pd.DataFrame":
    """One row a model that a panel shows, in the order of drawing; the best run has two.

    The best run is the best on the held-out set by the panel's metric, of equal ones the later.

    Args:
        predictions: of `evaluation.predictions`. scores: tidy, for the models' kinds. methods: soup
            or ensemble -> its row.
    Returns: columns sweep, metric, label, model, the metric on held_out, in_distribution and
        shifts, num_in_distribution and num_shifts (images).
    """
    import pandas as pd

    from modelsoups.evaluation.predictions import score_predictions

    kinds = scores.groupby("model")["kind"].first()
    labels = {UNIFORM: UNIFORM, label_of_greedy(panel["metric"]): GREEDY}
    label_of = {
        **{model: "Initialization" for model in kinds.index[kinds == "initialization"]},
        **{model: "Individual models" for model in kinds.index[kinds == "run"]},
        **{
            model: labels[method.label]
            for model, method in methods.items()
            if model in kinds.index and method.label in labels
        },
    }
    rows = {
        "held_out": predictions[predictions["role"] == "held_out"],
        **rows_by_domain(predictions, panel),
    }
    table = pd.DataFrame(
        {
            domain: score_predictions(chosen, panel["metric"], list(label_of))
            for domain, chosen in rows.items()
        }
    )
    table = table.rename_axis("model").reset_index()
    table.insert(0, "label", table["model"].map(label_of))
    runs = table[table["label"] == "Individual models"]
    best = runs.sort_values("held_out", kind="stable").tail(1).assign(label=BEST_RUN)
    table = pd.concat([table, best])
    table = table.sort_values(
        "label", key=lambda found: found.map(list(LOOKS).index), kind="stable"
    )
    table.insert(0, "metric", panel["metric"])
    table.insert(0, "sweep", panel["sweep"])
    sizes = {f"num_{domain}": len(rows[domain]) for domain in DOMAINS}
    return table.assign(**sizes).reset_index(drop=True)


def rows_by_domain(predictions: "pd.DataFrame", panel: Spec) -> "dict[str, pd.DataFrame]":
    """The test set's images, and those of the panel's shift sets together."""
    inside, outside = (predictions[predictions["role"] == role] for role in ("test", "shift"))
    if "shift_sets" in panel:
        outside = outside[outside["dataset"].isin(panel["shift_sets"])]
    return dict(zip(DOMAINS, (inside, outside), strict=True))


def draw_panels(tables: "Sequence[pd.DataFrame]", title: str) -> "Figure":
    """A panel a table of `score_panel`, and one legend."""
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=(max(4.2 * len(tables) + 0.4, 6.0), 4.6))  # as wide as the legend
        grid = figure.subplots(1, len(tables), squeeze=False)[0]
        for axes, table in zip(grid, tables, strict=True):
            for label, points in table.groupby("label", sort=False):
                axes.scatter(
                    100 * points["in_distribution"],
                    100 * points["shifts"],
                    label=label,
                    **LOOKS[label],
                )
            first = table.iloc[0]
            metric = TITLES[first["metric"]]
            metric = metric[0].upper() + metric[1:]
            axes.set(
                title=f"{first['sweep']}: {TITLES[first['metric']]}",
                xlabel=f"{metric} in distribution (%; n = {first['num_in_distribution']:,})",
                ylabel=f"{metric} on shift sets (%; n = {first['num_shifts']:,})",
            )
        figure.suptitle(title)
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def describe(table: "pd.DataFrame", panel: Spec) -> str:
    """What the best run and the soups of a panel have, in words; no test."""
    shown = table[table["label"].isin([BEST_RUN, UNIFORM, GREEDY])]
    parts = [
        f"{label} {percent(mean['in_distribution'])} and {percent(mean['shifts'])}"
        for label, mean in shown.groupby("label", sort=False)[list(DOMAINS)].mean().iterrows()
    ]
    first = table.iloc[0]
    inside, outside = (say_where(panel, domain) for domain in DOMAINS)
    return (
        f"{first['sweep']}, {TITLES[first['metric']]} {inside} and {outside}: {'; '.join(parts)}."
    )


def say_where(panel: Spec, domain: str) -> str:
    """`in distribution`, `on the shifts` or, of the shift sets that a panel names, `on noto-v1`."""
    if domain == "shifts" and "shift_sets" in panel:
        return f"on {', '.join(panel['shift_sets'])}"
    return WHERE[domain]


def judge(
    table: "pd.DataFrame",
    predictions: "pd.DataFrame",
    panel: Spec,
    paper: str,
) -> list[Claim]:
    """The greedy soup is better than the best run by the panel's metric, in either domain.

    Args: table: of `score_panel`. paper: what the paper found.
    """
    from modelsoups.evaluation.predictions import score_difference

    by_label = table.groupby("label")["model"].first()
    metric = panel["metric"]
    claims = []
    for domain, rows in rows_by_domain(predictions, panel).items():
        found = score_difference(rows, metric, by_label[GREEDY], by_label[BEST_RUN])
        claims.append(
            make_claim(
                f"{by_label[GREEDY]} minus {by_label[BEST_RUN]}: {in_points(found)}, sweep "
                f"{panel['sweep']}",
                found,
                claim=f"The greedy soup is better than the best run by {TITLES[metric]} "
                f"({say_where(panel, domain)})",
                domain=domain,
                section="G",
                paper=paper,
            )
        )
    return claims


def make_panels(given: Given, paper: str) -> Made:
    """A figure of panels, its table and claims."""
    import pandas as pd

    panels = given.spec["panels"]
    predictions = given.read_all("predictions")
    tables = [
        score_panel(rows, scores, given.methods, panel)
        for rows, scores, panel in zip(predictions, given.read_all("scores"), panels, strict=True)
    ]
    claims = [
        claim
        for table, rows, panel in zip(tables, predictions, panels, strict=True)
        for claim in judge(table, rows, panel, paper)
    ]
    return Made(
        table=pd.concat(tables, ignore_index=True),
        figure=draw_panels(tables, given.study),
        found=[*map(describe, tables, panels), "Intervals of what holds are over images."],
        claims=claims,
    )


def needs(spec: Spec) -> dict[str, Need | list[Need]]:
    """The predictions of each panel's sweep, and its scores, which have the models' kinds."""
    return tables_of((panel["sweep"] for panel in spec["panels"]), "predictions", "scores")


def names(spec: Spec) -> Iterable[tuple[str, str]]:
    """The sweeps and shift sets that panels name."""
    for panel in spec["panels"]:
        yield "sweep", panel["sweep"]
        yield from (("dataset", name) for name in panel.get("shift_sets", []))


def problems(spec: Spec, study: Study) -> Iterable[str]:
    """A panel without runs, without shift sets, or without a greedy soup by its metric."""
    for panel in spec["panels"]:
        sweep, metric = panel["sweep"], panel["metric"]
        yield from needs_runs(study, sweep)
        shifts = [name for name in study.reported_of(sweep) if study.roles[name] == "shift"]
        if not shifts:
            yield f"{sweep} has no shift set, on which soups are compared with runs"
        for name in panel.get("shift_sets", []):
            if name not in shifts:
                yield f"{name} is no shift set of {sweep}, which has {', '.join(shifts)}"
        labels = [method_of(config).label for config in study.recipes_of(sweep).values()]
        if label_of_greedy(metric) not in labels:
            options = "" if metric == "accuracy" else f", metric: {metric}"
            yield f"{sweep} has no recipe {{kind: greedy{options}}} to compare with its runs"
