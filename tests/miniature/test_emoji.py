"""The emoji benchmark: its maker on icons drawn here, and the shipped file itself."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from icon_sets import icon_set
from modelsoups.miniature import emoji
from modelsoups.miniature.iconify import decode

SHIPPED = Path(__file__).parents[2] / "resources/emoji"
TRAINING = ["noto", "twemoji", "emojione-v1", "fxemoji"]


def picture(seed):
    """A random picture, unlike any other."""
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)


# Unicode


def test_code_point_drops_the_variation_selector():
    assert emoji.code_point("1F441-FE0F-200D-1F5E8-FE0F") == "1f441-200d-1f5e8"


def test_read_concepts_follows_unicode_and_leaves_components_out():
    groups = {
        "groups": {"0": "smileys", "2": "component"},
        "subgroups": {"0": "face", "1": "skin-tone"},
    }
    emojis: list[dict] = [
        {"hexcode": "1F1E6", "label": "regional indicator A"},
        {
            "hexcode": "1F603",
            "label": "big",
            "tags": ["smile"],
            "order": 2,
            "group": 0,
            "subgroup": 0,
        },
        {"hexcode": "1F600", "label": "grin", "order": 1, "group": 0, "subgroup": 0},
        {"hexcode": "1F3FB", "label": "light skin tone", "order": 3, "group": 2, "subgroup": 1},
    ]
    concepts = emoji.read_concepts(emojis, groups)
    assert concepts["code_point"].tolist() == ["1f600", "1f603"]
    assert concepts["keywords"].tolist() == [[], ["smile"]]
    assert concepts.loc[0, ["name", "group", "subgroup"]].tolist() == ["grin", "smileys", "face"]


def test_a_class_needs_twelve_members_in_noto():
    concepts = pd.DataFrame(
        {"code_point": [f"{i:x}" for i in range(25)], "subgroup": ["big"] * 13 + ["small"] * 12}
    )
    noto = {f"{i:x}": "icon" for i in [*range(12), *range(13, 24)]}  # 12 of big, 11 of small
    chosen = emoji.choose_classes(concepts, noto)
    assert chosen["subgroup"].tolist() == ["big"] * 13  # the one not in Noto belongs to it too


# Matching


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Flag: São Tomé & Príncipe", "flagsaotomeandprincipe"),
        ("keycap: #", "keycappound"),
        ("man’s shoe", "mansshoe"),
        ("grinning-face", "grinningface"),
    ],
)
def test_slug_is_what_spellings_share(name, slug):
    assert emoji.slug(name) == slug


def test_known_names_learn_from_charted_sets():
    concepts = pd.DataFrame({"code_point": ["1f621"], "name": ["enraged face"]})
    charted = icon_set(
        {"angry-red": {"parent": "pouting-face"}, "pouting": {"parent": "angry-red"}},
        pouting_face="",
    )
    names = emoji.known_names(
        concepts, [(charted, {"1f621": "pouting-face"})], {"1f621": "RED FACE"}
    )
    assert names == {"1f621": ["enragedface", "poutingface", "angryred", "pouting", "redface"]}


def test_match_names_gives_an_icon_to_one_code_point():
    sports = icon_set({"cricket": {"parent": "cricket-game"}}, cricket_game="")
    names = {"1f997": ["cricket"], "1f3cf": ["cricketgame", "cricket"]}
    assert emoji.match_names(names, sports) == {"1f3cf": "cricket-game"}


def test_match_names_prefers_the_better_name():
    names = {"1f4f1": ["mobilephone", "phone"], "260e": ["phone"]}
    assert emoji.match_names(names, icon_set(phone="")) == {"260e": "phone"}


def test_match_names_leaves_misnamed_icons_out():
    icons = icon_set({"pane": {"parent": "window"}}, window="", door="") | {"prefix": "emojione-v1"}
    names = {"1fa9f": ["window", "pane"], "1f6aa": ["door"]}
    assert emoji.match_names(names, icons) == {"1f6aa": "door"}


def test_match_names_keeps_mirrored_aliases_apart():
    hands = icon_set({"right": {"parent": "left", "hFlip": True}}, left="")
    names = {"1f448": ["left"], "1f449": ["right"]}
    assert emoji.match_names(names, hands) == {"1f448": "left", "1f449": "right"}


# Duplicates and split


def test_near_duplicates_finds_equal_close_and_mirrored_pictures():
    one, other = picture(1), picture(2)
    close = np.clip(one.astype(int) + 5, 0, 255).astype(np.uint8)
    pixels = np.stack([one, other, close, one[:, ::-1], one])
    expected = [[0, 2], [0, 3], [0, 4], [2, 3], [2, 4], [3, 4]]
    assert emoji.near_duplicates(pixels).tolist() == expected
    assert emoji.near_duplicates(pixels, chunk=2).tolist() == expected


def test_the_difference_is_a_fraction_of_the_ink():
    page = np.full((8, 8, 3), 255, np.uint8)
    dot, two_dots = page.copy(), page.copy()
    dot[0, 0] = 0
    two_dots[0, :2] = 0  # differs from dot in 1 of its 2 black pixels: sqrt(1 / 2) = 0.71
    pixels = np.stack([dot, two_dots])
    assert emoji.near_duplicates(pixels, limit=0.70).tolist() == []
    assert emoji.near_duplicates(pixels, limit=0.71).tolist() == [[0, 1]]


def test_judge_names_what_is_left_out():
    images = pd.DataFrame(
        [
            ("noto", "training", "sport", "kept"),
            ("twemoji", "training", "sport", "repeated"),  # as the first
            ("noto", "training", "food-sweet", "another class"),
            ("noto", "training", "drink", "another class"),  # as the one above
            ("openmoji", "shift", "sport", "near training"),  # as the first
            ("openmoji", "shift", "mail", "kept"),
            ("openmoji", "shift", "mail", "repeated"),  # as the one above
            ("fluent-emoji", "shift", "mail", "kept"),  # the same picture in another set
        ],
        columns=["style", "role", "subgroup", "expected"],
    )
    pixels = np.stack([picture(seed) for seed in (1, 1, 2, 2, 1, 3, 3, 3)])
    verdict = emoji.judge(images, pixels, emoji.near_duplicates(pixels))
    assert verdict.tolist() == images["expected"].tolist()


def test_folds_keep_near_duplicates_together_and_share():
    classes = np.repeat([f"class {i}" for i in range(20)], 50)
    alike = np.stack([np.arange(0, 1000, 25), np.arange(1, 1000, 25)], 1)
    folds = emoji.deal(classes, alike)
    assert (folds[alike[:, 0]] == folds[alike[:, 1]]).all()
    for fold in map(str, range(emoji.NUM_FOLDS)):
        share = pd.Series(folds == fold).groupby(classes).mean()
        assert share.between(0.1, 0.3).all() and abs(share.mean() - 0.2) < 0.02


def test_folds_depend_on_the_seed_alone():
    classes, alike = np.repeat(["a", "b"], 50), np.empty((0, 2), np.int64)
    first = emoji.deal(classes, alike, seed=0)
    assert (first == emoji.deal(classes, alike, seed=0)).all()
    assert (first != emoji.deal(classes, alike, seed=1)).any()


def test_arrange_splits_what_is_kept_and_flags_doubt():
    rows = [("noto", "training", f"class {i}") for i in range(10)] + [
        ("noto", "training", "class 0"),  # the same pixels as the first: repeated
        ("noto", "training", "another"),  # close to the second, which is of class 1
        ("openmoji", "shift", "class 0"),
    ]
    images = pd.DataFrame(rows, columns=["style", "role", "subgroup"])
    pixels = np.stack([picture(seed) for seed in [*range(10), 0, 1, 99]])
    pixels[11, 0, 0] = 255 - pixels[11, 0, 0]
    arranged = emoji.arrange(images, pixels)
    assert arranged["verdict"].tolist() == ["kept"] * 10 + ["repeated"] + ["kept"] * 2
    assert arranged["split"].isna().tolist() == [False] * 10 + [True] + [False] * 2
    assert set(arranged["split"][:10]) <= set(emoji.SPLITS)
    assert arranged["split"][11] == arranged["split"][1]
    assert arranged["split"][12] == "shift"
    assert np.flatnonzero(arranged["alike"]).tolist() == [1, 11]
    assert np.flatnonzero(arranged["doubtful"]).tolist() == [1, 11]
    counts = emoji.summarise(arranged)
    assert counts.loc["noto", ["drawn", "kept", "repeated", "doubtful"]].tolist() == [12, 11, 1, 2]
    assert counts.loc["all", "shift"] == 1


# The benchmark


def test_build_refuses_classes_without_a_name(tmp_path, monkeypatch):
    """The whole way from packages to images, on twelve one-colour icons and one style."""
    icons = {f"icon-{i}": f'<path fill="#0{i:x}0" d="M0 0h32v{i + 9}H0z"/>' for i in range(12)}
    emojis = [
        {"hexcode": f"1F60{i:X}", "label": f"icon {i}", "order": i, "group": 0, "subgroup": 0}
        for i in range(12)
    ]
    content = {
        "noto/icons.json": {"icons": {k: {"body": v} for k, v in icons.items()}, "prefix": "noto"}
        | {"width": 32, "height": 32},
        "noto/chars.json": {f"1f60{i:x}": f"icon-{i}" for i in range(12)},
        "emojibase-data/en/data.json": emojis,
        "emojibase-data/meta/groups.json": {"groups": {"0": "g"}, "subgroups": {"0": "stripes"}},
        "emojibase-data/meta/unicode-names.json": {},
    }
    for name, value in content.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(value))
    styles = pd.DataFrame({"style": ["noto"], "package": ["noto"], "role": ["training"]})
    fxemoji = pd.DataFrame({"code_point": [], "icon": []})
    with pytest.raises(ValueError, match=r"found \['stripes'\] beside them"):
        emoji.build(styles, fxemoji, tmp_path)
    monkeypatch.setattr(emoji, "CLASS_NAMES", {"stripes": "stripe"})
    table, images = emoji.build(styles, fxemoji, tmp_path)
    assert table.num_rows == len(images) == 12
    assert table.schema.names == emoji.SCHEMA.names
    assert table["image"][11]["path"].as_py() == "noto/1f60b.webp"
    assert (decode(table["image"][11]["bytes"].as_py())[0, 0] == [0, 0xBB, 0]).all()


# The shipped benchmark


@pytest.fixture(scope="module")
def shipped():
    """The shipped rows."""
    return pq.read_table(SHIPPED / "emoji.parquet").to_pandas()


@pytest.fixture(scope="module")
def shipped_pixels(shipped):
    """(n, 64, 64, 3) uint8; stacking fails unless all have one size."""
    return np.stack([decode(image["bytes"]) for image in shipped["image"]])


def test_the_shipped_file_is_small_and_says_how_it_was_made():
    assert (SHIPPED / "emoji.parquet").stat().st_size <= 20 * 2**20
    schema = pq.read_schema(SHIPPED / "emoji.parquet")
    assert schema.equals(emoji.SCHEMA)
    made = json.loads(schema.metadata[b"emoji"])
    assert made["version"] == emoji.VERSION
    assert made["folds"] == emoji.metadata()["emoji"]["folds"]
    assert made["near_duplicates"] == emoji.NEAR


def test_shipped_images_are_64_pixels_rgb(shipped_pixels):
    assert shipped_pixels.shape[1:] == (64, 64, 3)
    assert (shipped_pixels.reshape(len(shipped_pixels), -1) < 255).any(1).all()  # none is blank


def test_shipped_classes_are_those_of_unicode(shipped):
    classes = pd.read_csv(SHIPPED / "classes.csv")
    assert classes.equals(emoji.list_classes())
    assert len(classes) == 54
    noto = shipped[shipped["style"] == "noto"]
    assert noto["subgroup"].unique().tolist() == classes["id"].tolist()
    assert set(shipped["subgroup"]) == set(classes["id"])


def test_shipped_splits_have_the_sizes_asked_for(shipped):
    sizes = shipped["split"].value_counts()
    assert 2400 <= sizes["train"] <= 2600 and sizes["held-out"] >= 800 and sizes["test"] >= 800
    training = shipped["style"].isin(TRAINING)
    assert ((shipped["split"] == "shift") == ~training).all()
    assert shipped.loc[training].groupby("split")["subgroup"].nunique().eq(54).all()


def test_shipped_rows_are_in_order_and_unique(shipped):
    styles = pd.read_csv(SHIPPED / "styles.csv")
    assert shipped["style"].unique().tolist() == styles["style"].tolist()
    assert not shipped.duplicated(["style", "code_point"]).any()
    paths = shipped["style"] + "/" + shipped["code_point"] + ".webp"
    assert [image["path"] for image in shipped["image"]] == paths.tolist()


def test_no_picture_is_shipped_twice_in_a_set_or_in_training_and_shift(shipped, shipped_pixels):
    picture = pd.Series([drawing.tobytes() for drawing in shipped_pixels])
    training = shipped["split"] != "shift"
    sets = shipped["style"].mask(training, "training")
    assert not pd.concat([sets, picture], axis=1).duplicated().any()
    assert not set(picture[training]) & set(picture[~training])


def test_no_near_duplicates_lie_in_two_splits_or_folds(shipped, shipped_pixels):
    # Where they abound: simple shapes of all styles, and the people of noto.
    some = shipped["subgroup"].isin(["geometric", "sky-weather"]) | (shipped["style"] == "noto")
    rows = np.flatnonzero(some)
    i, j = rows[emoji.near_duplicates(shipped_pixels[rows]).T]
    training = shipped["style"].isin(TRAINING).to_numpy()
    assert (training[i] == training[j]).all()
    both = training[i]
    for dealt in (shipped["split"].to_numpy(), shipped["fold"].to_numpy()):
        assert both.sum() > 100 and (dealt[i] == dealt[j])[both].all()


def test_shipped_splits_are_whole_folds_of_the_training_styles(shipped):
    assert (emoji.split_of(shipped["fold"]) == shipped["split"]).all()
    training = shipped[shipped["split"] != "shift"]
    folds = training["fold"].value_counts()
    assert sorted(folds.index) == ["0", "1", "2", "3", "4"]
    assert folds.sum() == 4209 and folds.max() - folds.min() < 25
    assert training.groupby("fold")["subgroup"].nunique().eq(54).all()


def test_the_card_tells_the_numbers_of_the_file(shipped):
    card = (SHIPPED / "README.md").read_text()
    counts = pd.crosstab(shipped["style"], shipped["split"])
    styles = pd.read_csv(SHIPPED / "styles.csv").merge(pd.read_csv(SHIPPED / "sources.csv"))
    for row in styles[styles["file"] == "icons.json"].itertuples():
        line = next(line for line in card.splitlines() if line.startswith(f"| {row.style} |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert {row.title, row.author, row.licence, f"{row.package} {row.version}"} <= set(cells)
        assert f"{counts.loc[row.style].sum():,}" in cells
    for name, num in shipped["split"].value_counts().items():
        assert f"{name} {num:,}" in card


def test_classes_of_the_groups_are_those_of_unicode_in_the_order_of_all() -> None:
    """Of the study of cross-dataset soups."""
    classes = pd.read_csv(SHIPPED / "classes.csv")
    table = pd.read_parquet(SHIPPED / "emoji.parquet", columns=["group", "subgroup"])
    group_of = table.drop_duplicates().set_index("subgroup")["group"]
    for group, part in classes.groupby(classes["id"].map(group_of)):
        shipped = pd.read_csv(SHIPPED / f"groups/{group}.csv")
        pd.testing.assert_frame_equal(shipped, part.reset_index(drop=True))
    assert len(list((SHIPPED / "groups").iterdir())) == group_of.nunique()
