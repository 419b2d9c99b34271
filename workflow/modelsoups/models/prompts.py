"""Class prompts: templates that turn a class name into texts, such as "a photo of a {}."."""

from collections.abc import Sequence
from pathlib import Path


def read_templates(path: str | Path) -> list[str]:
    """The templates of a text file, one a line; empty lines are skipped.

    Raises:
        ValueError: a line does not have one {}, a template is there twice, or there is none.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    templates = [line.strip() for line in lines if line.strip()]
    for number, template in enumerate(templates):
        if template.count("{}") != 1:
            raise ValueError(
                f"{path}: expected one {{}} for the class name in each template, found {template!r}"
            )
        if template in templates[:number]:
            raise ValueError(f"{path}: the template {template!r} is there twice; remove one")
    if not templates:
        raise ValueError(f"{path}: no templates; write one a line, the class name as {{}}")
    return templates


def fill(templates: Sequence[str], name: str) -> list[str]:
    """The prompts of the class with that name, one a template."""
    return [template.replace("{}", name) for template in templates]
