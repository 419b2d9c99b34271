"""Captions: what a table or figure shows, and what the paper and this study found in it."""

from pathlib import Path

from modelsoups.base.files import publish
from modelsoups.paper.declare import Given, Made, Result


def caption(result: Result, given: Given, made: Made) -> str:
    """A caption in reStructuredText, with the verdicts and descriptions of this study."""
    lines = [f"{result.caption.format(**given.spec)} Study: {given.study}."]
    if limit := given.spec.get("max_images"):
        lines[0] += f" Of data sets with more than {limit:,} images it is of a sample of so many."
    lines += [f"**The paper:** {result.paper}."] if result.paper else []
    lines += [
        f"**Here:** {each.claim}: {each.here}. **{each.verdict.capitalize()}.**"
        for each in made.claims
    ]
    lines += [f"**Here:** {text}" for text in made.found]
    return "\n\n".join(lines) + "\n"


def write_caption(path: str | Path, result: Result, given: Given, made: Made) -> None:
    """Write the caption of what was made."""
    with publish(path) as draft:
        draft.write_text(caption(result, given, made), encoding="utf-8")
