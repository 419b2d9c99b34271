"""Table L.3: soups of runs with and without sharpness-aware minimisation (Appendix L)."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from modelsoups.paper.baselines import (
    SCHEMA,
    Better,
    Scores,
    ask_for,
    by_seed,
    judge,
    mean_of_seeds,
    need,
    over,
    problems,
    tabulate,
    to_markdown,
)
from modelsoups.paper.claims import WHERE, Claim
from modelsoups.paper.declare import Given, Made, Result, Spec, one_sweep
from modelsoups.paper.domains import sets_by_domain
from modelsoups.study.groups import Group

if TYPE_CHECKING:
    import pandas as pd

NAME = "tableL3"
VANILLA, SAM = "Vanilla fine-tuning", "SAM fine-tuning"
SOUP, SAM_SOUP = "Soup (vanilla fine-tuning, two seeds)", "Soup (SAM fine-tuning, two seeds)"
MIXED = "Soup (vanilla fine-tuning and SAM fine-tuning, one seed)"
# Of the paper's two seeds the means; it has one learning rate, 2e-5.
PAPER = {
    VANILLA: [((79.32 + 79.16) / 2, (45.09 + 45.12) / 2)],
    SAM: [((79.61 + 79.59) / 2, (43.78 + 43.79) / 2)],
    SOUP: [(79.78, 46.46)],
    SAM_SOUP: [(79.85, 44.44)],
    MIXED: [(80.04, 45.38)],
}
# "Improves accuracy", "yields higher accuracy": of accuracies on ImageNet the paper's table shows
# it, on the shifts the other way round.
INSIDE = ("in_distribution",)
CLAIMS = [
    Better(
        claim="SAM is better than vanilla fine-tuning", first=SAM, second=VANILLA, domains=INSIDE
    ),
    Better(claim="The soup of two SAM runs is better than they are", first=SAM_SOUP, second=SAM),
    Better(
        claim="The soup of a vanilla and a SAM run is better than that of two vanilla ones",
        first=MIXED,
        second=SOUP,
        domains=INSIDE,
    ),
    Better(
        claim="The soup of a vanilla and a SAM run is better than that of two SAM ones",
        first=MIXED,
        second=SAM_SOUP,
        domains=INSIDE,
    ),
]


def groups(spec: Spec) -> list[Group]:
    """Every run, the soups of every two seeds, and of every seed that of both methods."""
    seeds, rhos = spec["seeds"], {VANILLA: 0, SAM: spec["rho"]}

    def group(row: str, seeds: Sequence[int], members: Sequence[tuple[str, int]]) -> Group:
        about = {"row": row, "lr": spec["lr"], "seeds": " ".join(map(str, seeds))}
        found = [{"lr": spec["lr"], "seed": seed, "sam": rhos[method]} for method, seed in members]
        return {"about": about, "members": found}

    singles = [group(each, [seed], [(each, seed)]) for each in rhos for seed in seeds]
    soups = [
        group(row, pair, [(method, seed) for seed in pair])
        for method, row in ((VANILLA, SOUP), (SAM, SAM_SOUP))
        for pair in combinations(seeds, 2)
    ]
    mixed = [group(MIXED, [seed], [(each, seed) for each in rhos]) for seed in seeds]
    return [*singles, *soups, *mixed]


def replicates(first: Scores, second: Scores) -> list[list[Any]]:
    """The first scores' mean minus that of the second ones, as if each seed had one of its own.

    Soups of two seeds share runs, so they are no replicates. In their place stand the jackknife's
    pseudo-values: of n seeds, n times the difference less n - 1 times that without the seed. Of
    rows of one run they are the seed's own. Two seeds make up one soup, of which nothing can be
    left out: one replicate.

    Args: first, second: of seeds, or of pairs of them, such as "0 1".
    """
    import numpy as np

    from modelsoups.evaluation.paired import minus

    parts = {frozenset(key.split()): scores for key, scores in first.items()}
    others = {frozenset(key.split()): scores for key, scores in second.items()}
    seeds = sorted(set().union(*parts) & set().union(*others)) if parts and others else []
    if not seeds:
        return []

    def mean(scores: Mapping[frozenset[str], Any], without: str | None) -> list[Any] | None:
        kept = [each for key, each in scores.items() if without not in key and key <= {*seeds}]
        return [np.mean(sets, axis=0) for sets in zip(*kept, strict=True)] if kept else None

    def difference(without: str | None) -> list[Any] | None:
        ours, theirs = mean(parts, without), mean(others, without)
        return None if ours is None or theirs is None else minus(ours, theirs)

    whole, left = difference(None), [difference(seed) for seed in seeds]
    if whole is None or any(each is None for each in left):
        return [whole] if whole is not None else []
    n = len(seeds)
    return [
        [n * a - (n - 1) * b for a, b in zip(whole, each, strict=True)]
        for each in left
        if each is not None
    ]


def sam_claims(mixes: "pd.DataFrame", roles: Mapping[str, str]) -> list[Claim]:
    """The claims on rows, and that soups of SAM runs gain less than those of others."""
    from modelsoups.evaluation.paired import minus

    claims = []
    for place, (domain, datasets) in enumerate(sets_by_domain(roles).items()):
        scores = {row: by_seed(mixes, row, datasets) for row in PAPER}
        numbers = {row: values[0][place] for row, values in PAPER.items()}
        for each in CLAIMS:
            if domain in each.domains:
                found = replicates(scores[each.first], scores[each.second])
                claims.append(
                    judge(
                        mean_of_seeds(found),
                        over(len(found)),
                        claim=f"{each.claim} ({WHERE[domain]})",
                        section="L",
                        paper=f"{numbers[each.first]:.2f} % against {numbers[each.second]:.2f} %",
                    )
                )
        gains = [
            replicates(scores[soup], scores[runs])
            for soup, runs in ((SOUP, VANILLA), (SAM_SOUP, SAM))
        ]
        found = [minus(*pair) for pair in zip(*gains, strict=False)]
        claims.append(
            judge(
                mean_of_seeds(found),
                over(len(found)),
                claim=f"The soup of two runs gains less with SAM than without ({WHERE[domain]})",
                section="L",
                paper=f"{numbers[SAM_SOUP] - numbers[SAM]:+.2f} points against "
                f"{numbers[SOUP] - numbers[VANILLA]:+.2f}",
            )
        )
    return claims


def make(given: Given) -> Made:
    """Table L.3 and its claims."""
    mixes = given.read("mixes")
    table = tabulate(mixes, given.roles, PAPER, given.study)
    return Made(
        table=table,
        markdown=to_markdown(table, "CLIP ViT-B/32"),
        claims=sam_claims(mixes, given.roles),
        found=[f"SAM goes uphill by rho = {given.spec['rho']:g}; the paper gives none."],
    )


RESULT = Result(
    name=NAME,
    title="Table L.3",
    section="L",
    kind="table",
    about="Table L.3: soups of runs with and without sharpness-aware minimisation (SAM).",
    key=NAME,
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["sweep", "lr", "rho", "seeds"],
        "properties": {
            **{key: SCHEMA["properties"][key] for key in ("sweep", "seeds", "max_images")},
            "lr": {"type": "number", "description": "Of all runs"},
            "rho": {
                "type": "number",
                "exclusiveMinimum": 0,
                "description": "`sam` of the runs with it; the others have 0",
            },
        },
    },
    needs=lambda spec: need(NAME, spec),
    analyses=lambda spec: [ask_for(NAME, spec, groups(spec))],
    names=one_sweep,
    problems=lambda spec, study: problems(spec, study, groups(spec)),
    make=make,
    caption=(
        "Table L.3 in the form of the paper: runs with and without sharpness-aware minimisation, "
        "means over seeds; soups of every two seeds, or of one seed with and without. Intervals "
        "are over seeds (their jackknife, since soups share runs) and images."
    ),
    paper="SAM is better than vanilla fine-tuning; its soups gain less; a soup of a run of each "
    "kind is better than one of two alike",
)
