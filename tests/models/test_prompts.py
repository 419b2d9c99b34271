import os
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
from timm.data import ImageNetInfo

from modelsoups.data.datasets import read_classes
from modelsoups.models.prompts import fill, read_templates

RESOURCES = Path(__file__).parents[2] / "resources"


def write(tmp_path, text):
    path = tmp_path / "prompts.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_line_is_a_template(tmp_path):
    templates = read_templates(write(tmp_path, "a photo of a {}.\n\nthe {}\n"))
    assert fill(templates, "C{}#") == ["a photo of a C{}#.", "the C{}#"]


def test_templates_are_read_as_utf8_in_any_locale(tmp_path):
    path = write(tmp_path, "une photo d’été de {}\n")
    code = (
        "import sys; from modelsoups.models.prompts import read_templates; "
        "sys.stdout.buffer.write(read_templates(sys.argv[1])[0].encode())"
    )
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = subprocess.run([sys.executable, "-c", code, str(path)], env=env, capture_output=True)
    assert found.stdout.decode() == "une photo d’été de {}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a photo", "prompts.txt: expected one {} .* found 'a photo'"),
        ("{} and {}", "found '{} and {}'"),
        ("a {}\nthe {}\na {}\n", "'a {}' is there twice"),
        ("\n", "no templates"),
    ],
)
def test_bad_templates_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_templates(write(tmp_path, text))


def test_imagenets_names_and_templates_are_open_clips():
    classes = read_classes(RESOURCES / "imagenet/classes.csv")
    assert classes.id.tolist() == ImageNetInfo("imagenet-1k").label_names()
    assert classes.name.tolist() == list(open_clip.IMAGENET_CLASSNAMES)
    templates = read_templates(RESOURCES / "imagenet/prompts.txt")
    assert len(templates) == 80
    for ours, theirs in zip(templates, open_clip.OPENAI_IMAGENET_TEMPLATES, strict=True):
        assert fill([ours], "dog") == [theirs("dog")]


def test_emoji_classes_have_names_of_their_own_and_several_templates():
    assert read_classes(RESOURCES / "emoji/classes.csv").name.is_unique
    assert len(read_templates(RESOURCES / "emoji/prompts.txt")) > 3
