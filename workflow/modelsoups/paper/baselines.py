"""What Tables L.1 to L.3 share: rows that are means over seeds, and differences of such rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import WHERE, Claim, in_points, make_claim, not_judged
from modelsoups.paper.declare import (
    MAX_IMAGES,
    SWEEP,
    Analysis,
    Given,
    Made,
    Need,
    Result,
    Spec,
    one_sweep,
)
from modelsoups.paper.domains import DOMAINS, scores_by_image, sets_by_domain
from modelsoups.paper.pages import join_markdown
from modelsoups.study.groups import Group, group_problems
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from modelsoups.evaluation.statistics import Estimate

AUGMENTATIONS = ("minimal", "medium", "strong")  # of the three runs of a soup
PAPER_RATES = (3e-5, 1e-5)  # the paper's learning rates in L.1 and L.2, in its order


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table: a run, or a soup or ensemble of several."""

    label: str
    members: Sequence[Mapping[str, Any]]  # hyper-parameters of each, without learning rate and seed
    longer: int = 1  # times the epochs of the others
    taught: bool = False  # whether its runs have teachers
    ensemble: bool = False
    # Accuracy in % on ImageNet and mean of the shifts, at each of the paper's learning rates.
    paper: Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Better:
    """A claim of the paper: one row is better than another."""

    claim: str
    first: str  # label of a row
    second: str
    domains: Sequence[str] = tuple(DOMAINS)


def single(augmentation: str, label: str = "", **options: Any) -> Row:
    """The row of one run with an augmentation."""
    label = label or f"Individual model ({augmentation} aug)"
    return Row(label=label, members=[{"augmentation": augmentation}], **options)


def together(label: str, augmentations: Sequence[str], **options: Any) -> Row:
    """The row of the soup or ensemble of a run with each augmentation."""
    return Row(label=label, members=[{"augmentation": each} for each in augmentations], **options)


# Of schemas: learning rates of runs.
RATES: dict[str, Any] = {
    "type": "array",
    "items": {"type": "number"},
    "minItems": 1,
    "uniqueItems": True,
}
# Schema of the keys of Tables L.1 and L.2.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["sweep", "learning_rates", "seeds", "epochs"],
    "properties": {
        "sweep": SWEEP,
        "learning_rates": {
            **RATES,
            "maxItems": len(PAPER_RATES),
            "description": "One or two, the larger first: beside them stand the paper's numbers at "
            "3e-5 and at 1e-5",
        },
        "seeds": {
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 1,
            "uniqueItems": True,
            "description": "Of the runs; rows are means over them",
        },
        "epochs": {
            "type": "integer",
            "minimum": 1,
            "description": "Of the runs that are not longer",
        },
        "max_images": MAX_IMAGES,
    },
}


def groups_of(rows: Sequence[Row], spec: Spec) -> list[Group]:
    """The group of each row at each learning rate and seed."""
    return [
        {
            "about": {"row": row.label, "lr": lr, "seeds": str(seed)},
            "members": [
                {**match, "lr": lr, "seed": seed, "epochs": row.longer * spec["epochs"]}
                for match in row.members
            ],
            "taught": row.taught,
            "ensemble": row.ensemble,
        }
        for lr in spec["learning_rates"]
        for row in rows
        for seed in spec["seeds"]
    ]


def ask_for(name: str, spec: Spec, groups: Sequence[Group]) -> Analysis:
    """The analysis that evaluates groups of a sweep, for the table or figure of a name."""
    plan = {"kind": "groups", "groups": list(groups)}
    plan |= {key: spec[key] for key in ("max_images",) if key in spec}
    return Analysis(sweep=spec["sweep"], table=f"mixes/{name}", plan=plan)


def need(name: str, spec: Spec) -> dict[str, Need]:
    """What that analysis makes."""
    return {"mixes": Need(sweep=spec["sweep"], table=f"mixes/{name}")}


def problems(spec: Spec, study: Study, groups: Sequence[Group]) -> Iterator[str]:
    """Groups that the runs of the sweep do not make up, each sentence once."""
    yield from dict.fromkeys(group_problems(study, spec["sweep"], groups))


def tabulate(
    mixes: "pd.DataFrame",
    roles: Mapping[str, str],
    rows: Mapping[str, Sequence[tuple[float, float]]],
    study: str,
) -> "pd.DataFrame":
    """A row of the table for each learning rate and row: means over seeds, beside the paper's.

    Args:
        mixes: of the analysis: row, lr, seeds and what is right on each image.
        rows: label -> the paper's two numbers, at each of its learning rates.
    Returns: study, lr, method, seeds (of how many the mean is), and for each domain its accuracy,
        a fraction, `_sd` (over seeds; NaN of one), `_n` (images) and `_paper` (in %).
    """
    import pandas as pd

    table = []
    accuracies = mixes[mixes["metric"] == "accuracy"]
    for number, (lr, of_rate) in enumerate(accuracies.groupby("lr", sort=False)):
        for label, papers in rows.items():
            found = of_rate[of_rate["row"] == label]
            if found.empty:  # all of its runs failed
                continue
            paper = papers[number] if number < len(papers) else (nan, nan)
            cells: dict[str, Any] = {}
            for column, (domain, datasets) in zip(
                paper, sets_by_domain(roles).items(), strict=False
            ):
                of_sets = found[found["dataset"].isin(datasets)]
                means = of_sets.groupby("seeds", sort=False)["value"].mean()
                sizes = of_sets.drop_duplicates("dataset")["n"]
                cells |= {domain: means.mean(), f"{domain}_sd": means.std(ddof=1)}
                cells |= {f"{domain}_n": sizes.sum(), f"{domain}_paper": column}
            seeds = found["seeds"].nunique()
            table.append({"study": study, "lr": lr, "method": label, "seeds": seeds, **cells})
    return pd.DataFrame(table)


def to_markdown(table: "pd.DataFrame", about_paper: str) -> str:
    """The table as Markdown, in percent.

    Args: about_paper: what the paper's numbers are of.
    """
    domains = [domain for domain in DOMAINS if domain in table]
    header = [f"{table['study'].iloc[0]}: accuracy in %", "Learning rate"]
    header += [f"{DOMAINS[each]} (n = {table[f'{each}_n'].iloc[0]:,})" for each in domains]
    header += [f"The paper's {about_paper}: {DOMAINS[each].lower()}" for each in domains]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for row in table.to_dict("records"):
        lines.append(
            [
                row["method"],
                f"{row['lr']:g}",
                *(print_mean(row[domain], row[f"{domain}_sd"]) for domain in domains),
                *(print_paper(row[f"{domain}_paper"]) for domain in domains),
            ]
        )
    spread = (
        "± is the standard deviation over seeds or, of a soup of two of them, over pairs; images "
        "are the same.\n"
    )
    return join_markdown(lines) + (f"\n{spread}" if (table["seeds"] > 1).any() else "")


def print_mean(value: float, deviation: float) -> str:
    """`75.68 (± 0.42)`, from fractions; without a deviation `75.68`."""
    spread = f" (± {100 * deviation:.2f})" if deviation == deviation else ""
    return f"{100 * value:.2f}{spread}"


def print_paper(value: float) -> str:
    """A number of the paper, in %; what it does not have is a dash."""
    return f"{value:.2f}" if value == value else "–"


Scores = Mapping[str, "list[np.ndarray]"]  # seed -> of each data set (n,): scores of its images


def by_seed(mixes: "pd.DataFrame", row: str, datasets: Sequence[str]) -> Scores:
    """Scores of a row image by image. mixes: of one learning rate."""
    found = mixes[mixes["row"] == row].groupby("seeds", sort=False)
    return {str(seeds): scores_by_image(rows, datasets) for seeds, rows in found}


def difference(first: Scores, second: Scores) -> "Estimate | None":
    """The first scores minus the second ones, with the seeds that both have as replicates.

    Of several seeds the interval is over seeds and images, of one over images. None without seeds.
    """
    from modelsoups.evaluation.paired import minus

    return mean_of_seeds([minus(first[seed], second[seed]) for seed in first if seed in second])


def mean_of_seeds(replicates: "Sequence[list[np.ndarray]]") -> "Estimate | None":
    """The mean over seeds and data sets. replicates: for each seed the sets' (n,) differences."""
    from modelsoups.evaluation.statistics import (
        paired_difference,
        replicated_difference,
        scaled,
    )

    if not replicates:
        return None
    if len(replicates) > 1:
        return replicated_difference(replicates, same_images=True)
    largest = max(1.0, *(abs(each).max() for each in replicates[0]))  # of gains' differences 2
    return scaled(paired_difference([each / largest for each in replicates[0]]), largest)


def over(number: int) -> str:
    """What the interval of a mean over so many seeds is over."""
    return f"{number} seeds" if number > 1 else "over images alone"


def judge(found: "Estimate | None", seeds: str, **texts: Any) -> Claim:
    """A claim on a difference; without runs it is not judged. seeds: of `over`."""
    if found is None:
        return not_judged("its runs failed", **texts)
    return make_claim(f"{in_points(found)}, {seeds}", found, **texts)


def row_claims(
    mixes: "pd.DataFrame",
    roles: Mapping[str, str],
    paper: Mapping[str, Sequence[tuple[float, float]]],
    claims: Sequence[Better],
) -> list[Claim]:
    """The claims that rows are better than others, at each learning rate and in each domain.

    Args: as of `tabulate`. paper: its numbers, by row.
    """
    judged = []
    for number, (lr, of_rate) in enumerate(mixes.groupby("lr", sort=False)):
        for each in claims:
            for place, (domain, datasets) in enumerate(sets_by_domain(roles).items()):
                if domain not in each.domains:
                    continue
                first, second = (
                    by_seed(of_rate, row, datasets) for row in (each.first, each.second)
                )
                numbers = [paper[row][number][place] for row in (each.first, each.second)]
                judged.append(
                    judge(
                        difference(first, second),
                        over(len(first.keys() & second.keys())),
                        claim=f"{each.claim} ({WHERE[domain]}, learning rate {lr:g})",
                        section="L",
                        paper=f"{numbers[0]:.2f} % against {numbers[1]:.2f} %",
                    )
                )
    return judged


def make_rows(given: Given, rows: Sequence[Row], claims: Sequence[Better]) -> Made:
    """Table L.1 or L.2: its rows, and the claims that some are better than others."""
    papers = {row.label: row.paper for row in rows}
    mixes = given.read("mixes")
    table = tabulate(mixes, given.roles, papers, given.study)
    return Made(
        table=table,
        markdown=to_markdown(table, "CLIP ViT-B/32"),
        claims=row_claims(mixes, given.roles, papers, claims),
    )


def table_of_rows(name: str, rows: Sequence[Row], **about: Any) -> Result:
    """What Table L.1 or L.2 is. about: title, make and texts, as `Result` has them."""
    return Result(
        name=name,
        section="L",
        kind="table",
        key=name,
        schema=SCHEMA,
        needs=lambda spec: need(name, spec),
        analyses=lambda spec: [ask_for(name, spec, groups_of(rows, spec))],
        names=one_sweep,
        problems=lambda spec, study: problems(spec, study, groups_of(rows, spec)),
        **about,
    )
