import numpy as np
import pandas as pd
import pytest

from modelsoups.miniature import icons

SQUARE = '<path d="M4 4h8v8H4z"/>'
CIRCLE = '<circle cx="8" cy="8" r="3" fill="red"/>'


def icon_set(bodies, name="Tiny", category="Thematic", spdx="MIT", **fields):
    info = {"name": name, "category": category, "license": {"spdx": spdx}, "palette": False}
    return {"info": info, "icons": {key: {"body": body} for key, body in bodies.items()}, **fields}


@pytest.mark.parametrize(
    ("icon", "name"),
    [
        ("house", "house"),
        ("house-fill", "house"),  # a word for a style at the end
        ("house-simple-20-filled", "house simple"),
        ("traffic-light", "traffic light"),  # light is a style only where the set says so
        ("fill", "fill"),  # a name is never empty
        ("bold-text", "bold text"),  # not at the end
    ],
)
def test_plain_name_leaves_out_words_for_a_style(icon, name):
    assert icons.plain_name(icon, {}) == name


def test_plain_name_leaves_out_what_the_set_declares():
    declared = {"suffixes": {"": "Regular", "light": "Light"}, "prefixes": {"twotone": "Two"}}
    assert icons.plain_name("lamp-light", declared) == "lamp"
    assert icons.plain_name("twotone-lamp", declared) == "lamp"


@pytest.mark.parametrize(
    "fields",
    [
        {"category": "Emoji"},
        {"category": "Logos"},
        {"name": "Fluent Emoji", "category": None},
        {"name": "Circle Flags", "category": "Flags / Maps"},
        {"spdx": "CC-BY-NC-4.0"},
    ],
)
def test_emoji_brands_flags_and_closed_licences_are_not_wanted(fields):
    assert icons.is_wanted(icon_set({})["info"])
    assert not icons.is_wanted(icon_set({}, **fields)["info"])


def test_choose_takes_one_drawing_a_name_and_set():
    bodies = {"house": SQUARE, "house-fill": SQUARE, "tree": CIRCLE, "9": SQUARE}
    chosen = icons.choose({"a": icon_set(bodies), "b": icon_set({"house-bold": SQUARE})})
    assert chosen[["icon_set", "name"]].values.tolist() == [
        ["a", "house"],
        ["a", "tree"],
        ["b", "house"],
    ]


def test_choose_does_not_depend_on_the_order_of_the_icons():
    bodies = {"house": SQUARE, "house-fill": SQUARE, "house-bold": SQUARE}
    backwards = dict(reversed(bodies.items()))
    pd.testing.assert_frame_equal(
        icons.choose({"a": icon_set(bodies)}), icons.choose({"a": icon_set(backwards)})
    )


def test_draw_gives_colour_and_coverage():
    sets = {"a": icon_set({"square": SQUARE, "circle": CIRCLE})}
    square, circle = icons.draw(sets, icons.choose(sets))
    assert square.shape == (64, 64, 4)
    assert square[..., 3].mean() == pytest.approx(255 / 4, abs=0.5)  # a quarter of the box
    assert (square[16:48, 16:48] == [0, 0, 0, 255]).all()  # without a colour of its own: black
    assert (circle[32, 32] == [255, 0, 0, 255]).all()


def test_on_white_is_the_drawing_on_paper():
    drawings = np.array([[[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 51]]]], np.uint8)
    assert icons.on_white(drawings).tolist() == [[[[255] * 3, [0] * 3, [255, 204, 204]]]]


def test_build_leaves_out_blank_drawings_and_those_like_an_emoji():
    sets = {"a": icon_set({"square": SQUARE, "circle": CIRCLE, "nothing": "<g/>"})}
    drawings = icons.draw(sets, icons.choose(sets))
    emoji_image = icons.on_white(drawings[1:2]).astype(int) - 3  # the circle, slightly darker
    chosen, kept = icons.build(sets, emoji_image.clip(0).astype(np.uint8))
    assert chosen["name"].tolist() == ["square"]
    assert (kept[0] == drawings[0]).all()
