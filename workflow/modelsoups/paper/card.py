"""The card of a soup, of models made elsewhere or of a study: what it is, of what, and how good."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from modelsoups.evaluation.metrics import metric_of, name_of
from modelsoups.evaluation.scores import datasets_of, rank, the_dataset
from modelsoups.evaluation.statistics import accuracy_interval
from modelsoups.evaluation.targets import Kind
from modelsoups.models.backbones import BackboneSpec
from modelsoups.models.own import OwnSpec
from modelsoups.paper.pages import join_markdown, page, part_html
from modelsoups.soups.options import BY_GROUP

FLATTERS = (
    "Accuracies have 95 % intervals over images. The held-out set chose the ingredients, so its "
    "scores flatter; sets that are reported chose nothing."
)
# What models give -> metrics that a card shows whatever the recipe chose by, the first of each
# candidate too.
SHOWN = {
    "class": ("accuracy",),
    "labels": ("average_precision", "labels_f1"),
    "numbers": ("mae", "r2"),
    "score": (),
}
CLASSIFYING = ("class", "labels")  # of other tasks the hub has no name here
ALONE = (
    "No second model made it better on the held-out set: it has the weights of the best single "
    "model."
)
DIAGNOSIS = "Diagnosis: whether something is wrong with the models, and what to do"
LOADING = {
    "timm": 'timm.create_model("{model}", {arguments}, checkpoint_path="{file}")',
    "transformers": "AutoModelForImageClassification.from_pretrained({folder!r})",
    "torchvision": 'model = torchvision.models.get_model("{model}", {arguments})\n'
    'model.load_state_dict(torch.load("{file}"){part})',
}
LOADING_OF_STUDY = """\
from modelsoups.models.backbones import BackboneSpec, build_for
from modelsoups.weights.checkpoints import read_weights

weights = read_weights("model.safetensors")
model = build_for(BackboneSpec(library="{library}", model="{model}", weights="none"), weights)
model.load_state_dict(weights)"""
LIBRARY_NAMES = {"python": "pytorch", "torchvision": "torchvision", "open_clip": "open_clip"}


def score_rows(
    scores: pd.DataFrame, roles: Mapping[str, str], soup: str, metric: Any = "accuracy"
) -> list[tuple[str, str, float, int]]:
    """Model, data set, score and number of images: of the soup, the best run and other soups.

    Args: metric: of a recipe (`metrics.metric_of`); the best run is so by it.
    """
    held_out, name = the_dataset(roles, "held_out"), name_of(metric)
    ranked = rank(scores[scores.kind == "run"], held_out, roles, name).index
    best = ranked[-1 if is_lower(metric) else 0]
    others = [m for m in scores[scores.kind == "soup"].model.unique() if m != soup]
    sets = [held_out, *datasets_of(roles, "test"), *datasets_of(roles, "shift")]
    of = scores[scores.metric == name].set_index(["model", "dataset"])
    pairs = [(model, dataset) for model in [soup, best, *others] for dataset in sets]
    return [(*pair, float(of.loc[pair, "value"]), int(of.loc[pair, "n"])) for pair in pairs]


def is_lower(metric: Any) -> bool:
    """Whether less of a recipe's metric is better."""
    if isinstance(metric, Mapping):
        return metric.get("better") == "lower"
    return ":" not in metric and metric_of(metric).lower


def reported_of(record: Mapping[str, Any]) -> Any:
    """The metric that a soup's record has of each candidate."""
    return record.get("reports", "accuracy")


def kind_of_record(record: Mapping[str, Any]) -> Kind:
    """What the models of a soup give."""
    found = [kind for kind, names in SHOWN.items() if names[:1] == (reported_of(record),)]
    return found[0] if found else "score"  # type: ignore[return-value]


def metrics_of(record: Mapping[str, Any]) -> list[Any]:
    """The metrics that a card shows: what the recipe chose by if scores have it, and others."""
    usual = SHOWN[kind_of_record(record)] or (reported_of(record),)
    chosen = record["recipe"].get("metric", usual[0])
    return [*usual] if chosen in (*usual, *BY_GROUP) else [chosen, *usual]


def score_table(
    scores: pd.DataFrame, roles: Mapping[str, str], soup: str, metric: Any, runs: Collection[str]
) -> str:
    """Markdown of one metric. Args: runs: names of the models that there were."""
    held_out = the_dataset(roles, "held_out")
    rows = score_rows(scores, roles, soup, metric)
    sets = list(dict.fromkeys(dataset for _, dataset, _, _ in rows))
    sizes = {dataset: n for _, dataset, _, n in rows}
    heads = [f"{d}{', chosen on' if d == held_out else ''} (n = {sizes[d]:,})" for d in sets]
    found = {(model, dataset): (value, n) for model, dataset, value, n in rows}
    models = list(dict.fromkeys(model for model, *_ in rows))
    show = _percent if metric == "accuracy" else lambda value, n: show_score(metric, value)
    lines = [[unit_of(metric), *heads], ["---", *["---:"] * len(sets)]]
    for model in models:
        what = "the soup" if model == soup else "best single model" if model in runs else "soup"
        lines.append([f"{model} ({what})", *(show(*found[model, d]) for d in sets)])
    return join_markdown(lines)


def unit_of(metric: Any) -> str:
    """A metric as the head of a table has it."""
    unit = "accuracy in %" if metric == "accuracy" else name_of(metric)
    return unit + " (less is better)" * is_lower(metric)


def show_score(metric: Any, value: float) -> str:
    """A score without its interval."""
    return f"{100 * value:.2f}" if metric == "accuracy" else f"{value:.4f}"


def tables(
    record: Mapping[str, Any],
    scores: pd.DataFrame,
    roles: Mapping[str, str],
    files: Mapping[str, str],
    hashes: Mapping[str, str],
) -> tuple[str, str]:
    """Markdown of the scores, and of the candidates with what became of them."""
    scored = "\n".join(
        score_table(scores, roles, record["model"], metric, files) for metric in metrics_of(record)
    )
    coefficients, reported = record["coefficients"], reported_of(record)
    shares = (
        dict(zip(record["ingredients"], coefficients, strict=True))
        if isinstance(coefficients, list)
        else {}
    )
    ingredients = [
        [
            "candidate",
            f"alone, held-out {unit_of(reported)}",
            "decision",
            "coefficient",
            "file",
            "SHA-256",
        ],
        ["---", "---:", "---", "---:", "---", "---"],
    ]
    first: dict[str, str] = {}  # hash -> the first candidate that has it
    for each in record["candidates"]:
        name = each["name"]
        same = first.setdefault(hashes[name], name)
        share = f"{shares[name]:.4f}" if name in shares else "–"
        ingredients.append(
            [
                name,
                show_score(reported, each[f"held_out_{name_of(reported)}"]),
                each["decision"],
                share,
                f"`{files[name]}`" + (f" (the same as {same})" if same != name else ""),
                f"`{hashes[name]}`",
            ]
        )
    return scored.rstrip(), join_markdown(ingredients).rstrip()


def title_of(record: Mapping[str, Any]) -> str:
    """What a soup is called: its recipe, and of how many models."""
    count = len(record["ingredients"])
    return f"{record['model']} soup of {count} model{'s' * (count != 1)}"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a card says of a model beside its scores and ingredients."""

    library: str  # as the hub calls it
    task: str = "image-classification"  # likewise
    loading: str  # Python that loads the model
    reading: str  # how it sees images or texts, a sentence
    assumed: Sequence[str] = ()  # what no file says
    base_model: str | None = None  # what the ingredients were fine-tuned from
    data: str = ""  # what it was fine-tuned and judged on, a sentence


def show_own(
    spec: OwnSpec,
    written: Sequence[Path],
    base_model: str | None = None,
    part: str | None = None,
) -> Shown:
    """Of models made elsewhere. Args: written: files of the export. part: entry of a torch file
    that holds the weights."""
    loading = LOADING.get(spec.library, 'model.load_state_dict(torch.load("{file}"){part})')
    weights = next(path.name for path in written if path.suffix not in (".json", ".txt"))
    if weights.endswith(".safetensors"):
        loading = loading.replace("torch.load(", "safetensors.torch.load_file(")
    arguments = {**spec.arguments, "num_classes": spec.num_classes}
    view, reading = spec.view, ""
    if view:
        reading = (
            f"Images are resized ({view['resize_mode']}) to {view['resize']} pixels by "
            f"{view['interpolation']}, cut to {view['size']}, and normalised with mean {spec.mean} "
            f"and deviation {spec.std}."
        )
    return Shown(
        library=LIBRARY_NAMES.get(spec.library, spec.library),
        loading=loading.format(
            model=spec.model,
            arguments=", ".join(f"{key}={value!r}" for key, value in arguments.items()),
            file=weights,
            part=f'["{part}"]' if part else "",
            folder=".",
        ),
        reading=reading,
        assumed=spec.assumed,
        base_model=base_model,
    )


def show_study(backbone: BackboneSpec, view: Mapping[str, Any], study: str) -> Shown:
    """Of a study's own models. Args: view: of the config, which the backbone reads."""
    images = backbone.task == "images"
    what = "images, uint8 in [0, 255]" if images else "texts"
    said = ", ".join(f"{key} {value}" for key, value in view.items())
    return Shown(
        library="modelsoups",
        task="image-classification" if images else "text-classification",
        loading=LOADING_OF_STUDY.format(library=backbone.library, model=backbone.model),
        reading=f"It reads {what}, by the view: {said}.",
        data=f"Study: {study}.",
    )


def card(
    shown: Shown,
    record: Mapping[str, Any],
    scores: pd.DataFrame,
    roles: Mapping[str, str],
    files: Mapping[str, str],
    hashes: Mapping[str, str],
) -> str:
    """The model card: the hub's metadata, then scores, ingredients, decisions and what is assumed.

    Args:
        scores, roles: of the study. files, hashes: name -> where a model was given, its SHA-256.
    """
    from huggingface_hub import EvalResult, ModelCardData

    soup, title = record["model"], title_of(record)
    task = shown.task if kind_of_record(record) in CLASSIFYING else None
    results = [
        EvalResult(
            task_type=task or "other",
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split=roles[dataset],
            metric_type=name_of(metric),
            metric_value=round(value, 6),
        )
        for metric in metrics_of(record)
        for model, dataset, value, _ in score_rows(scores, roles, soup, metric)
        if model == soup
    ]
    data = ModelCardData(
        model_name=title,
        base_model=shown.base_model,
        library_name=shown.library,
        pipeline_tag=task,
        tags=["model-soup", "merge"],
        eval_results=results,
    )
    scored, ingredients = tables(record, scores, roles, files, hashes)
    options = {key: value for key, value in record["recipe"].items() if key != "kind"}
    if isinstance(options.get("metric"), Mapping):
        options["metric"] = options["metric"]["function"]
    whose = record.get("other_layers_of")
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {title.capitalize()}",
        f"The average of the weights of {len(record['ingredients'])} of "
        f"{len(record['candidates'])} fine-tuned models, by the recipe "
        f"`{record['recipe']['kind']}` "
        f"({', '.join(f'{key}: {value}' for key, value in options.items())}) of *Model soups* "
        "(Wortsman et al. 2022), made by modelsoups. It costs what one of them costs to run.",
        *([ALONE] if {*record["ingredients"]} == {whose or record["ingredients"][0]} else []),
        *([f"Layers that are not averaged are those of {whose}."] if whose else []),
        *([shown.data] if shown.data else []),
        "## Scores",
        scored,
        FLATTERS,
        "## Ingredients and decisions",
        ingredients,
        "## How to load it",
        f"```python\n{shown.loading}\n```",
        *([shown.reading] if shown.reading else []),
    ]
    if shown.assumed:
        parts += [
            "Assumed, since no file says it:",
            "\n".join(f"- {each}" for each in shown.assumed),
        ]
    return "\n\n".join(parts) + "\n"


def study_card(
    backbone: BackboneSpec,
    view: Mapping[str, Any],
    record: Mapping[str, Any],
    scores: pd.DataFrame,
    roles: Mapping[str, str],
    study: str,
) -> str:
    """The card of a soup of a study. Args: record: of the soup. scores: of its sweep or pool."""
    names = {each["name"]: f"{record['sweep']}/{each['name']}" for each in record["candidates"]}
    shown = show_study(backbone, view, study)
    return card(shown, record, scores, roles, names, record["inputs"])


def report(
    shown: Shown,
    record: Mapping[str, Any],
    scores: pd.DataFrame,
    roles: Mapping[str, str],
    files: Mapping[str, str],
    hashes: Mapping[str, str],
) -> str:
    """The same as a page. Args: as `card`."""
    scored, ingredients = tables(record, scores, roles, files, hashes)
    title = title_of(record).capitalize()
    assumed = [f"Assumed: {each}" for each in shown.assumed]
    text = "\n".join([scored, "", FLATTERS, *assumed])
    body = f"{part_html(text)}<h2>Ingredients and decisions</h2>{part_html(ingredients)}"
    if len(files) > 1:
        body += f'<p><a href="diagnosis.html">{DIAGNOSIS}</a></p>'
    return page(title, body)


def _percent(value: float, n: int) -> str:
    low, high = accuracy_interval(value, n)
    return f"{100 * value:.2f} ({100 * low:.2f}–{100 * high:.2f})"
