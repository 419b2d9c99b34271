"""Figure G.4: seeds alone, for each of several kinds of pre-training (Appendix G)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import WHERE, Claim, percent
from modelsoups.paper.conditions import needs_seeds
from modelsoups.paper.declare import Given, Made, Result, Spec
from modelsoups.paper.domains import DOMAINS, domains_in, scores_by_image, sets_by_domain
from modelsoups.paper.gains import gain_claim
from modelsoups.paper.look import styled
from modelsoups.paper.seeds import PLAIN, SCHEMA, ask_for, draw_lines, need, seeds_curves
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure


def figure_g4(table: "pd.DataFrame", title: str) -> "Figure":
    """The k-th run, the soup and the ensemble of the first k, for each group of runs.

    Args: table: of `seeds_curves`, with the column `runs`: what they are called.
    """
    from matplotlib.figure import Figure

    domains = domains_in(table)
    groups = list(dict.fromkeys(table["runs"]))
    with styled():
        figure = Figure(figsize=(4.2 * len(domains) + 0.4, 3.4 * len(groups) + 0.8))
        grid = figure.subplots(len(groups), len(domains), squeeze=False)
        for row, runs in zip(grid, groups, strict=True):
            for axes, domain in zip(row, domains, strict=True):
                chosen = table[(table["metric"] == "accuracy") & (table["runs"] == runs)]
                draw_lines(axes, chosen, domain, 100, PLAIN)
                axes.set(
                    title=f"{runs}: {DOMAINS[domain].lower()}",
                    xlabel="Number of models",
                    ylabel="Accuracy (top-1, %)",
                )
        figure.suptitle(title)
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def describe(table: "pd.DataFrame") -> str:
    """Accuracy of the runs on average, the soup and the ensemble of all seeds; no test."""
    rows = table[table["metric"] == "accuracy"]
    parts = []
    for runs, chosen in rows.groupby("runs", sort=False):
        last = chosen[chosen["k"] == chosen["k"].max()].set_index("method")
        for domain, name in (("in_distribution", "in distribution"), ("shifts", "on the shifts")):
            if domain in chosen:
                mean = chosen[chosen["method"] == "individual"][domain].mean()
                parts.append(
                    f"{runs}, {name}: runs {percent(mean)} on average, soup "
                    f"{percent(last[domain]['soup'])}, ensemble {percent(last[domain]['ensemble'])}"
                )
    return "; ".join(parts) + "."


def name_groups(seeds: Sequence[Mapping[str, Any]]) -> list[str]:
    """What to call each entry's runs: their sweep, and what they match if it is there twice."""
    sweeps = [each["sweep"] for each in seeds]
    return [
        each["sweep"]
        if sweeps.count(each["sweep"]) == 1
        else ", ".join([each["sweep"], *(f"{k} {v}" for k, v in each.get("match", {}).items())])
        for each in seeds
    ]


def cut_to_fewest(tables: "Sequence[pd.DataFrame]") -> "list[pd.DataFrame]":
    """The tables without what has more runs than the group of fewest: gains are of equally many."""
    fewest = min(table["k"].max() for table in tables)
    return [table[table["k"] <= fewest] for table in tables]


def gain_claims(tables: "Mapping[str, pd.DataFrame]", roles: Mapping[str, str]) -> list[Claim]:
    """Averaging gains more with the first pre-training, CLIP's in the paper, than with the others.

    The gain is the soup of all seeds minus their mean; gains are compared image by image.

    Args: tables: name of the runs -> of `analyses.seeds.study_seeds`, in the order of the config.
    """
    (clip, first), *others = tables.items()
    return [
        gain_claim(
            (clip, name),
            [gain_by_image(each, datasets) for each in (first, table)],
            claim=f"Averaging gains more with contrastive pre-training than with {name} "
            f"({WHERE[domain]})",
            paper="CLIP gains more than a model pre-trained on ImageNet-22k",
            domain=domain,
        )
        for domain, datasets in sets_by_domain(roles).items()
        for name, table in others
    ]


def gain_by_image(seeds: "pd.DataFrame", datasets: Sequence[str]) -> "list[np.ndarray]":
    """Of each data set (n,): the soup of all seeds minus the runs' mean, in [-1, 1]."""
    from modelsoups.evaluation.paired import minus

    soup = seeds[(seeds["method"] == "soup") & (seeds["k"] == seeds["k"].max())]
    singles = seeds[seeds["method"] == "individual"]
    return minus(*(scores_by_image(rows, datasets) for rows in (soup, singles)))


def make(given: Given) -> Made:
    """Figure G.4 and its claims."""
    import pandas as pd

    groups = given.spec["seeds"]
    names = name_groups(groups)
    tables = cut_to_fewest(given.read_all("seeds"))
    table = pd.concat(
        seeds_curves(table, given.roles, ["accuracy"]).assign(sweep=each["sweep"], runs=name)
        for each, name, table in zip(groups, names, tables, strict=True)
    )
    return Made(
        table=table,
        figure=figure_g4(table, given.study),
        found=[describe(table)],
        claims=gain_claims(dict(zip(names, tables, strict=True)), given.roles),
    )


def problems(spec: Spec, study: Study) -> list[str]:
    """Runs that are not there, or differ in more than their seed."""
    return [
        problem
        for each in spec["seeds"]
        for problem in needs_seeds(study, each["sweep"], each.get("match", {}))
    ]


RESULT = Result(
    name="figureG4",
    title="Figure G.4",
    section="G",
    kind="figure",
    about="Figure G.4: runs, soups and ensembles of seeds, for each pre-training.",
    key="figureG4",
    schema={
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": SCHEMA,
        "description": "Groups of runs that differ in their seed alone; the first one stands for "
        "the paper's CLIP",
    },
    targets=lambda seeds, config: {"figureG4": {"seeds": seeds}},
    needs=lambda spec: {"seeds": [need(each) for each in spec["seeds"]]},
    analyses=lambda spec: [ask_for(each) for each in spec["seeds"]],
    names=lambda spec: [("sweep", each["sweep"]) for each in spec["seeds"]],
    problems=problems,
    make=make,
    caption=(
        "Figure G.4. The k-th run, and the soup and ensemble of the first k, differing in seed; as "
        "many of each group as the smallest one has."
    ),
    paper=(
        "Soup performance is correlated with ensemble performance; CLIP gains more than a model "
        "pre-trained on ImageNet-22k"
    ),
)
