"""Every recipe of a study side by side: accuracy, a test against the greedy soup, and its price.

No table of the paper, but of the recipes that came after it: all choose from one pool on one
held-out set, are evaluated on the same images, and compared in pairs.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from math import isnan, nan
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import difference
from modelsoups.paper.declare import SWEEP, Given, Made, Need, Result, Spec, tables_of
from modelsoups.paper.domains import DOMAINS
from modelsoups.paper.methods import by_label
from modelsoups.paper.pages import join_markdown
from modelsoups.paper.rows import BEST
from modelsoups.paper.table3 import in_percent, print_optimism, print_p, summarize
from modelsoups.soups.registry import Method, method_of
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "Greedy soup"  # label of what the others are compared with
SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": SWEEP,
    "minItems": 1,
    "uniqueItems": True,
    "description": "Sweeps or pools whose recipes are compared side by side",
}


def compare_recipes(
    scores: "pd.DataFrame",
    correct: "pd.DataFrame",
    costs: "pd.DataFrame",
    roles: Mapping[str, str],
    about: Mapping[str, str],
    methods: Mapping[str, Method],
) -> "pd.DataFrame":
    """The best run and every soup of one sweep or pool, each against the greedy soup.

    Args:
        scores, correct: of the sweep, as for Table 3. costs: of `soups.costs.collect_costs`.
        roles: dataset -> role; one held_out, one test, any shifts.
        about: columns that begin every row: study, sweep.
        methods: soup or ensemble -> its row, in the order of rows.
    Returns:
        One row a method: what is about it; method, models (joined by a space); the columns of
        `table3.summarize`; for in_distribution and shifts {}_difference, from the greedy soup, with
        {}_difference_low and _high (95 % over images), {}_p and {}_test; what `mean_cost` gives,
        NaN for the best run.
    Raises: ValueError if a model lacks a score or a soup its cost.
    """
    import pandas as pd

    from modelsoups.evaluation.paired import compare
    from modelsoups.evaluation.scores import accuracies_by_model, datasets_of, rank, the_dataset

    held_out, test = the_dataset(roles, "held_out"), the_dataset(roles, "test")
    shifts = datasets_of(roles, "shift")
    kinds = scores.groupby("model")["kind"].first()
    accuracies, sizes = accuracies_by_model(scores, [held_out, test, *shifts])
    soups = by_label(methods, kinds.index[kinds == "soup"])
    runs = scores[scores["kind"] == "run"]
    best = {BEST: [rank(runs, held_out, roles).index[0]]} if len(runs) else {}
    table = []
    for method, models in {**best, **soups}.items():
        row: dict[str, Any] = {**about, "method": method, "models": " ".join(models)}
        row |= summarize(accuracies.loc[models], sizes, held_out, test, shifts)
        for domain, datasets in {"in_distribution": [test], "shifts": shifts}.items():
            names = ("difference", "difference_low", "difference_high", "p", "test")
            values: tuple[float | str, ...] = (nan, nan, nan, nan, "")
            if datasets and method != REFERENCE:
                found = compare(correct, models, soups[REFERENCE], datasets)
                interval = difference(correct, models, soups[REFERENCE], datasets)
                values = (found.difference, interval.low, interval.high, found.p, found.test)
            row |= {f"{domain}_{name}": value for name, value in zip(names, values, strict=True)}
        row |= {} if method in best else mean_cost(costs, models)
        table.append(row)
    return pd.DataFrame(table)


def mean_cost(costs: "pd.DataFrame", models: Sequence[str]) -> dict[str, Any]:
    """The columns of costs of a row: means over its models; `resumed` if one of them was."""
    import pandas as pd

    chosen = costs.set_index("model").loc[list(models)]
    names = ["num_ingredients", "passes", "seconds", "peak_memory_mb", "memory_before_mb"]
    return {
        **chosen[names].mean().to_dict(),
        "device": " ".join(dict.fromkeys(chosen["device"])),
        "device_memory_mb": float(pd.to_numeric(chosen["device_memory_mb"]).mean()),
        "resumed": bool(chosen["resumed"].any()),
    }


def compare_sweeps(given: Given) -> "pd.DataFrame":
    """The rows of all sweeps, with {}_p_holm, corrected for all comparisons of the table."""
    import pandas as pd

    from modelsoups.evaluation.scores import read_scores
    from modelsoups.evaluation.statistics import holm

    tables = [
        compare_recipes(
            read_scores(scores),
            pd.read_parquet(correct),
            pd.read_parquet(costs),
            given.roles,
            {"study": given.study, "sweep": sweep},
            given.methods,
        )
        for sweep, scores, correct, costs in zip(
            given.spec["sweeps"], *map(given.paths, ("scores", "correct", "costs")), strict=True
        )
    ]
    result = pd.concat(tables, ignore_index=True)
    columns = [f"{domain}_p" for domain in DOMAINS]
    corrected = holm(result[columns].to_numpy(dtype=float).ravel()).reshape(-1, 2)
    result[[f"{name}_holm" for name in columns]] = corrected
    return result


def to_markdown(table: "pd.DataFrame") -> str:
    """The table in print: percent and points, seconds, gigabytes."""
    domains = {name: title for name, title in DOMAINS.items() if table[f"{name}_p"].notna().any()}
    header = [
        f"{table['study'].iloc[0]}: accuracy in %",
        *domains.values(),
        *(f"{title}: to the greedy soup" for title in domains.values()),
        "Held-out, chosen on",
        "Held-out − test",
        "Ingredients",
        "Held-out passes",
        "Seconds",
        "Memory (GB)",
    ]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for row in table.to_dict("records"):
        lines.append(
            [
                f"{row['sweep']}: {row['method']} ({row['models']})",
                *(in_percent(row, name) for name in domains),
                *(print_difference(row, name) for name in domains),
                f"{100 * row['held_out_accuracy']:.2f}",
                print_optimism(row),
                print_cost(row, "num_ingredients", "g"),
                print_cost(row, "passes", ".1f"),
                print_cost(row, "seconds", ".1f"),
                print_cost(row, "peak_memory_mb", ".2f", 1000),
            ]
        )
    return join_markdown(lines)


def print_difference(row: Mapping[Hashable, Any], domain: str) -> str:
    """`+1.20 (-0.30 to +2.70), p 0.013 (Holm 0.091)`, in percentage points."""
    parts = ("difference", "difference_low", "difference_high")
    value, low, high = (100 * row[f"{domain}_{part}"] for part in parts)
    if isnan(value):
        return "–"
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f}), p {print_p(row, domain)}"


def print_cost(row: Mapping[Hashable, Any], name: str, form: str, unit: float = 1) -> str:
    """A cost in print; a dash where there is none, "≥" where an interrupted part is not in it."""
    value = row.get(name, nan)
    if isnan(value):
        return "–"
    lower = row["resumed"] is True and name in ("passes", "seconds")
    return f"{'≥ ' if lower else ''}{value / unit:{form}}"


def describe(table: "pd.DataFrame") -> Iterator[str]:
    """How many methods differ from the greedy soup after correction, and greedy's optimism."""
    from modelsoups.evaluation.statistics import ALPHA

    for sweep, rows in table.groupby("sweep", sort=False):
        others = rows[rows["method"] != REFERENCE]
        parts = []
        for domain, title in DOMAINS.items():
            tested = others[others[f"{domain}_p"].notna()]
            differ = tested[tested[f"{domain}_p_holm"] < ALPHA]
            above = differ[differ[f"{domain}_difference"] > 0]["method"]
            below = differ[differ[f"{domain}_difference"] < 0]["method"]
            if len(tested):
                parts.append(
                    f"{title.lower()} {len(above)} of {len(tested)} methods are above the greedy "
                    f"soup after Holm's correction ({', '.join(above) or 'none'}) and {len(below)} "
                    f"below ({', '.join(below) or 'none'})"
                )
        (greedy,) = rows[rows["method"] == REFERENCE].to_dict("records")
        optimism = f"held-out minus test accuracy of the greedy soup: {print_optimism(greedy)}"
        yield f"{sweep}: {'; '.join([*parts, optimism])} points."


def make(given: Given) -> Made:
    """The table of recipes."""
    table = compare_sweeps(given)
    return Made(table=table, markdown=to_markdown(table), found=list(describe(table)))


def needs(spec: Spec) -> dict[str, Need | list[Need]]:
    """Scores, what is right image by image, and what soups took, of every sweep."""
    return tables_of(spec["sweeps"], "scores", "correct", "costs")


def names(spec: Spec) -> list[tuple[str, str]]:
    """The sweeps."""
    return [("sweep", sweep) for sweep in spec["sweeps"]]


def problems(spec: Spec, study: Study) -> Iterator[str]:
    """Unless every sweep has the greedy soup."""
    for sweep in spec["sweeps"]:
        labels = [method_of(config).label for config in study.recipes_of(sweep).values()]
        if REFERENCE not in labels:
            yield (
                f"{sweep} has no recipe of kind greedy with its default options, which all others "
                f"are compared with; it has {', '.join(labels) or 'none'}"
            )


RESULT = Result(
    name="recipes",
    title="Recipes",
    section="R",
    kind="table",
    about="Recipes: accuracy of every recipe, a test against the greedy soup, and what it took.",
    key="compare_recipes",
    schema=SCHEMA,
    targets=lambda sweeps, config: {"recipes": {"sweeps": sweeps}},
    needs=needs,
    names=names,
    problems=problems,
    make=make,
    caption=(
        "Every recipe of the study on the pools of its sweeps, beside the best individual model; "
        "all choose on the held-out set. In parentheses 95 % intervals over images, or the "
        "standard deviation over the models of a row, where they differ in their seed. "
        "Differences and p-values are to the greedy soup on the same images (exact McNemar in "
        "distribution, permutation test for means), corrected by Holm for the whole table; their "
        "intervals are normal ones, which near zero may say otherwise than the test. "
        "Held-out − test: optimism of what was chosen there. Held-out passes: images through the "
        "model by the size of the held-out set, those with gradients counting as any. Seconds of "
        "the recipe alone, without start; peak memory of the process, of which Python, torch and "
        "one model are the base (memory_before_mb in the CSV)."
    ),
)
