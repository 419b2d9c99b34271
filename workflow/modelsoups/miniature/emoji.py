"""The emoji benchmark: icon packages of many vendors -> one Parquet of 64 px images.

A class is a subgroup of Unicode, a style is a vendor's set of drawings.

The shipped copy is `resources/emoji/emoji.parquet`; the card beside it says what it holds and how
to make it again. For icon sets see `iconify`; two words more of this module:

- a *code point* is written as vendors name their files: lower-case hexadecimal, joined by dashes,
  without the variation selector fe0f (`1f468-200d-1f33e` is the farmer);
- a *chart* maps the code points that an icon set draws to the names of the icons.
"""

import json
import re
import unicodedata
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.features
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from modelsoups.base import files
from modelsoups.miniature.iconify import IconSet, encode, render, svg

VERSION = "1"  # of the benchmark: raise it whenever an image, a label or a split changes
SEED = 0  # of the split
NUM_FOLDS = 5  # that the images of the training styles are dealt to
SPLITS = {"train": ["0", "1", "2"], "held-out": ["3"], "test": ["4"]}  # of which folds each is
MIN_MEMBERS = 12  # concepts that Noto draws, for a subgroup to be a class
VERDICTS = ("kept", "near training", "repeated", "another class")  # see `judge`
NEAR = 0.2  # pictures that differ by less count as near duplicates; found by looking at pairs

# The classes: subgroups of Unicode in its order, with a name that fits "an icon of a ...".
CLASS_NAMES = {
    "face-smiling": "smiling face",
    "face-neutral-skeptical": "neutral or skeptical face",
    "face-unwell": "sick face",
    "face-concerned": "worried or sad face",
    "heart": "heart",
    "emotion": "emotion symbol",
    "body-parts": "body part",
    "person": "person",
    "person-gesture": "person making a gesture",
    "person-role": "person with a job or role",
    "person-fantasy": "fantasy character",
    "person-activity": "person doing an activity",
    "person-sport": "person doing sport",
    "family": "family or couple",
    "animal-mammal": "mammal",
    "animal-bird": "bird",
    "animal-marine": "sea animal",
    "animal-bug": "insect or bug",
    "plant-flower": "flower",
    "plant-other": "plant",
    "food-fruit": "fruit",
    "food-vegetable": "vegetable",
    "food-prepared": "prepared food",
    "food-asian": "Asian food",
    "food-sweet": "dessert or sweet",
    "drink": "drink",
    "place-building": "building",
    "place-other": "scenic place",
    "transport-ground": "land vehicle or road",
    "transport-air": "aircraft or air travel",
    "time": "clock or time",
    "sky-weather": "sky or weather",
    "event": "celebration or event",
    "sport": "sports equipment",
    "game": "game or toy",
    "clothing": "piece of clothing",
    "musical-instrument": "musical instrument",
    "computer": "computer equipment",
    "light-video": "camera or light",
    "book-paper": "book or paper",
    "mail": "mail",
    "office": "office supply",
    "tool": "tool",
    "household": "household object",
    "transport-sign": "public sign",
    "warning": "warning sign",
    "arrow": "arrow",
    "religion": "religious symbol",
    "zodiac": "zodiac sign",
    "av-symbol": "media player button",
    "other-symbol": "symbol",
    "keycap": "keycap with a digit",
    "alphanum": "button with letters",
    "geometric": "geometric shape",
}

# Icons that draw something else than the emoji of their name: a program's window and a piano.
MISNAMED = {"emojione-v1": {"window", "keyboard"}}

SCHEMA = pa.schema(
    {
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "style": pa.string(),
        "split": pa.string(),
        "fold": pa.string(),
        "code_point": pa.string(),
        "name": pa.string(),
        "keywords": pa.list_(pa.string()),
        "group": pa.string(),
        "subgroup": pa.string(),
    }
)

Chart = dict[str, str]


# Unicode


def code_point(hexcode: str) -> str:
    """`1F441-FE0F-200D-1F5E8-FE0F` -> `1f441-200d-1f5e8`."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def read_concepts(emojis: list[dict[str, Any]], groups: dict[str, Any]) -> pd.DataFrame:
    """One row an emoji in Unicode's order: code_point, name, keywords, group, subgroup.

    Skin tones of an emoji, and components (tones, hair, letters of flags), are left out.

    Args: emojis, groups: emojibase's `data.json` and `groups.json`.
    """
    known = [emoji for emoji in emojis if "subgroup" in emoji]
    rows = [
        {
            "code_point": code_point(emoji["hexcode"]),
            "name": emoji["label"],
            "keywords": emoji.get("tags", []),
            "group": groups["groups"][str(emoji["group"])],
            "subgroup": groups["subgroups"][str(emoji["subgroup"])],
        }
        for emoji in sorted(known, key=lambda emoji: emoji["order"])
    ]
    concepts = pd.DataFrame(rows)
    return concepts[concepts["group"] != "component"].reset_index(drop=True)


def choose_classes(concepts: pd.DataFrame, noto: Chart) -> pd.DataFrame:
    """The concepts in the subgroups of which Noto draws at least `MIN_MEMBERS` concepts."""
    drawn = concepts[concepts["code_point"].isin(noto)]
    members = concepts["subgroup"].map(drawn["subgroup"].value_counts())
    return concepts[members >= MIN_MEMBERS]


# Matching icons to code points


def slug(name: str) -> str:
    """What two spellings share: `Flag: São Tomé & Príncipe` -> `flagsaotomeandprincipe`."""
    for symbol, word in {"&": "and", "#": "pound", "*": "asterisk"}.items():
        name = name.replace(symbol, word)
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]", "", letters.lower())


def own_name(icon_set: IconSet, icon: str) -> str:
    """The name that an alias stands for; a mirrored alias is an icon of its own."""
    alias = icon_set.get("aliases", {}).get(icon, {})
    return own_name(icon_set, alias["parent"]) if set(alias) == {"parent"} else icon


def all_names(icon_set: IconSet, icon: str) -> list[str]:
    """The icon's own name, then its aliases."""
    own = own_name(icon_set, icon)
    aliases = icon_set.get("aliases", {})
    return [own, *(alias for alias in aliases if own_name(icon_set, alias) == own)]


def known_names(
    concepts: pd.DataFrame, charted: list[tuple[IconSet, Chart]], unicode_names: Chart
) -> dict[str, list[str]]:
    """Code point -> slugs it goes by, best first.

    They are Unicode's short name, the names in icon sets that have a chart, the character's name.
    """
    names = {}
    for row in concepts.itertuples():
        spellings = [row.name]
        for icon_set, chart in charted:
            if row.code_point in chart:
                spellings += all_names(icon_set, chart[row.code_point])
        spellings.append(unicode_names.get(row.code_point, row.name))
        names[row.code_point] = list(dict.fromkeys(map(slug, spellings)))
    return names


def match_names(names: dict[str, list[str]], icon_set: IconSet) -> Chart:
    """The chart of an icon set that comes without one, by the `known_names` of code points.

    An icon that several code points lead to goes to the one that knows it by its own name, else by
    the better name: where `cricket` is an alias of `cricket-game`, nothing is left for the insect.
    """
    wrong = MISNAMED.get(icon_set["prefix"], set())
    spellings = [*icon_set.get("aliases", {}), *icon_set["icons"]]
    icons = {slug(name): name for name in spellings if own_name(icon_set, name) not in wrong}
    claims = []
    for order, (point, slugs) in enumerate(names.items()):
        for rank, name in enumerate(slugs):
            if name in icons:
                own = own_name(icon_set, icons[name])
                claims.append((own != icons[name], rank, order, point, own))
                break
    chart: Chart = {}
    for *_, point, icon in sorted(claims):
        if icon not in chart.values():
            chart[point] = icon
    return chart


# Duplicates and split


def near_duplicates(pixels: np.ndarray, limit: float = NEAR, chunk: int = 512) -> np.ndarray:
    """Pairs of pictures that are alike, perhaps mirrored: (num_pairs, 2) int64, i < j.

    The difference of two pictures is the Euclidean distance of their pixels as a fraction of the
    larger one's distance from a white page, so that faint pictures are not alike for being faint.

    Args: pixels: (n, height, width, 3) uint8; limit: largest difference of a pair.
    """
    ink = 1 - pixels / np.float32(255)  # 0 is white
    mirrored = ink[:, :, ::-1].reshape(len(ink), -1)
    ink = ink.reshape(len(ink), -1)
    weights = np.square(ink).sum(1)
    pairs = [np.empty((0, 2), np.int64)]
    for start in range(0, len(ink), chunk):
        rows = slice(start, start + chunk)
        least = limit**2 * np.maximum(weights[rows, None], weights[start:])
        for view in (ink, mirrored):
            squares = weights[rows, None] + weights[start:] - 2 * view[rows] @ ink[start:].T
            pairs.append(np.argwhere(squares <= least) + start)
    found = np.unique(np.concatenate(pairs), axis=0)
    return found[found[:, 0] < found[:, 1]]


def judge(images: pd.DataFrame, pixels: np.ndarray, alike: np.ndarray) -> pd.Series:
    """The verdict on each image: `kept`, or why it is left out.

    - `another class`: the same pixels stand for several classes in the set, so none is right;
    - `repeated`: the same pixels came before in the set, for another code point of the class;
    - `near training`: an image of a shift style that is a near duplicate of a training style's.

    The training styles make one set, each shift style another.

    Args: images: columns style, role, subgroup, indexed from 0; alike: see `near_duplicates`.
    """
    training = (images["role"] == "training").to_numpy()
    crossing = alike[training[alike[:, 0]] != training[alike[:, 1]]]
    picture = pd.Series([sha256(drawing.tobytes()).hexdigest() for drawing in pixels])
    same = [images["style"].mask(training, "training"), picture]
    verdict = pd.Series("kept", index=images.index)
    verdict[np.setdiff1d(crossing, np.flatnonzero(training))] = "near training"
    verdict[pd.concat(same, axis=1).duplicated()] = "repeated"
    verdict[images.groupby(same)["subgroup"].transform("nunique") > 1] = "another class"
    return verdict


def deal(classes: np.ndarray, alike: np.ndarray, seed: int = SEED) -> np.ndarray:
    """The fold of each image, (num,) names "0" to "4": near duplicates lie in one, classes in all.

    Groups of near duplicates, in a seeded order within their class, are dealt out class by class
    in rounds of ten images: two to each fold in turn.

    Args: classes: (num,) names of classes; alike: (num_pairs, 2) near duplicates among the images.
    """
    graph = coo_array((np.ones(len(alike)), alike.T), shape=(len(classes), len(classes)))
    _, group = connected_components(graph, directed=False)
    _, first, sizes = np.unique(group, return_index=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(classes[first[order]], kind="stable")]
    starts = np.cumsum(sizes[order]) - sizes[order]
    dealt = np.empty(len(order), object)
    dealt[order] = (starts // 2 % NUM_FOLDS).astype(str)
    return dealt[group]


def split_of(folds: pd.Series) -> pd.Series:
    """The split that folds are in; `shift` where the fold is empty, missing where it is missing."""
    names = {fold: split for split, inside in SPLITS.items() for fold in inside}
    return folds.map({**names, "": "shift"})


# The benchmark


def read_charts(styles: pd.DataFrame, folder: Path) -> dict[str, Chart]:
    """Style -> the chart that its package comes with, of the styles that have one."""
    paths = {row.style: folder / str(row.package) / "chars.json" for row in styles.itertuples()}
    charts = {style: files.read_json(path) for style, path in paths.items() if path.exists()}
    return {
        style: {code_point(hexcode): icon for hexcode, icon in chart.items()}
        for style, chart in charts.items()
        if chart
    }


def list_images(
    styles: pd.DataFrame, concepts: pd.DataFrame, charts: dict[str, Chart]
) -> pd.DataFrame:
    """One row an image to draw: style, role and icon beside the columns of its concept.

    Styles keep their order, and the images of a style Unicode's.
    """
    parts = [
        concepts.assign(
            style=row.style, role=row.role, icon=concepts["code_point"].map(charts[str(row.style)])
        )
        for row in styles.itertuples()
    ]
    return pd.concat(parts).dropna(subset="icon").reset_index(drop=True)


def draw_all(
    styles: pd.DataFrame, fxemoji: pd.DataFrame, folder: Path
) -> tuple[pd.DataFrame, np.ndarray]:
    """Every image that the packages have for the classes: its row (see `list_images`), its pixels.

    Args:
        styles: one row a style: style, package, role (training or shift).
        fxemoji: code_point and icon, the chart that the package fxemoji lacks.
        folder: the node_modules with the packages.
    """
    unicode = folder / "emojibase-data"
    emojis = json.loads((unicode / "en/data.json").read_text())
    concepts = read_concepts(emojis, files.read_json(unicode / "meta/groups.json"))
    characters = files.read_json(unicode / "meta/unicode-names.json")
    sets = {
        str(row.style): files.read_json(folder / str(row.package) / "icons.json")
        for row in styles.itertuples()
    }
    charts = read_charts(styles, folder)
    charted = [(sets[style], charts[style]) for style in charts]
    names = known_names(
        concepts, charted, {code_point(key): name for key, name in characters.items()}
    )
    charts["fxemoji"] = dict(zip(fxemoji["code_point"], fxemoji["icon"], strict=True))
    for style in sets.keys() - charts.keys():
        charts[style] = match_names(names, sets[style])

    images = list_images(styles, choose_classes(concepts, charts["noto"]), charts)
    pixels = [render(svg(sets[row.style], row.icon)) for row in images.itertuples()]
    return images, np.stack(pixels)


def arrange(images: pd.DataFrame, pixels: np.ndarray) -> pd.DataFrame:
    """`images` with five columns more.

    verdict: see `judge`. fold: of `deal`, empty of a shift style. split: of SPLITS, or `shift`.
    Both are missing where the image is left out. alike: kept, with a near duplicate in its set.
    doubtful: kept, with one of another class in its set.
    """
    pairs = near_duplicates(pixels)
    verdict = judge(images, pixels, pairs)
    kept = (verdict == "kept").to_numpy()
    training = (images["role"] == "training").to_numpy()
    sets = images["style"].mask(training, "training").to_numpy()
    classes = images["subgroup"].to_numpy()

    i, j = pairs.T
    pairs = pairs[kept[i] & kept[j] & (sets[i] == sets[j])]
    doubtful = pairs[classes[pairs[:, 0]] != classes[pairs[:, 1]]]
    rows = np.flatnonzero(kept & training)
    inside = pairs[training[pairs[:, 0]]]
    folds = pd.Series("", index=images.index).where(kept)
    folds[rows] = deal(classes[rows], np.searchsorted(rows, inside))
    return images.assign(
        verdict=verdict,
        fold=folds,
        split=split_of(folds),
        alike=np.isin(images.index, pairs),
        doubtful=np.isin(images.index, doubtful),
    )


def summarise(images: pd.DataFrame) -> pd.DataFrame:
    """The card's counts, one row a style and their sum, from the images of `arrange`."""
    verdicts = pd.get_dummies(images["verdict"]).reindex(columns=VERDICTS, fill_value=False)
    splits = pd.get_dummies(images["split"]).reindex(columns=[*SPLITS, "shift"], fill_value=False)
    flags = images[["style", "alike", "doubtful"]].assign(drawn=True)
    counts = flags.join(verdicts).join(splits).groupby("style", sort=False).sum()
    counts.loc["all"] = counts.sum()
    return counts[["drawn", *VERDICTS, *SPLITS, "shift", "alike", "doubtful"]]


def metadata() -> dict[str, Any]:
    """What the Parquet file says of itself: how it was made, and its columns for `datasets`."""
    text = {"dtype": "string", "_type": "Value"}
    features: dict[str, Any] = dict.fromkeys(SCHEMA.names, text)
    features |= {"image": {"_type": "Image"}, "keywords": {"feature": text, "_type": "List"}}
    return {
        "emoji": {
            "version": VERSION,
            "folds": {"seed": SEED, "number": NUM_FOLDS, "splits": SPLITS},
            "near_duplicates": NEAR,
            "made_with": {
                "resvg_py": version("resvg_py"),
                "pillow": version("pillow"),
                "libwebp": PIL.features.version("webp"),
            },
        },
        "huggingface": {"info": {"features": features}},
    }


def to_table(images: pd.DataFrame, pixels: np.ndarray) -> pa.Table:
    """The content of the Parquet file, laid out like an image data set of the Hugging Face hub."""
    texts = [name for name in SCHEMA.names if name != "image"]
    columns: dict[str, list] = {name: images[name].tolist() for name in texts}
    columns["image"] = [
        {"bytes": encode(drawing), "path": f"{row.style}/{row.code_point}.webp"}
        for row, drawing in zip(images.itertuples(), pixels, strict=True)
    ]
    described = SCHEMA.with_metadata({key: json.dumps(text) for key, text in metadata().items()})
    return pa.Table.from_pydict(columns, schema=described)


def write_table(table: pa.Table, path: Path) -> None:
    """Write the benchmark; the same table gives the same bytes with the same pyarrow."""
    pq.write_table(table, path, row_group_size=1000, compression="zstd", write_statistics=False)


def list_classes() -> pd.DataFrame:
    """The content of classes.csv: id and name, in the order of the labels."""
    return pd.DataFrame(CLASS_NAMES.items(), columns=["id", "name"])


def build(
    styles: pd.DataFrame, fxemoji: pd.DataFrame, folder: Path
) -> tuple[pa.Table, pd.DataFrame]:
    """The benchmark's table, and all images with what became of them (see `arrange`).

    For the arguments see `draw_all`.
    """
    images, pixels = draw_all(styles, fxemoji, folder)
    found, named = set(images["subgroup"]), set(CLASS_NAMES)
    if found != named:
        raise ValueError(
            f"expected the {len(named)} classes of CLASS_NAMES in modelsoups/miniature/emoji.py, "
            f"found {sorted(found - named)} beside them and {sorted(named - found)} missing; "
            "name the new ones there and take the old ones out"
        )
    images = arrange(images, pixels)
    kept = images["verdict"] == "kept"
    return to_table(images[kept], pixels[kept]), images
