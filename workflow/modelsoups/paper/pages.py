"""Pages of the report: tables as Markdown, and the same as HTML."""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelsoups.base.files import publish

if TYPE_CHECKING:
    import pandas as pd

STYLE = (
    "body{font:15px/1.45 sans-serif;margin:2em;max-width:110em}h1{font-size:1.2em}"
    "table{border-collapse:collapse}th{text-align:left;border-bottom:2px solid #444}"
    "td,th{padding:.3em .7em;vertical-align:top;border-bottom:1px solid #ddd}"
    "td+td{font-variant-numeric:tabular-nums}"
)


def join_markdown(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of its cells, the second line being the alignment."""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_html(markdown: str, title: str) -> str:
    """A page with a Markdown table as `join_markdown` makes it, and any lines of text after it."""
    return page(title, part_html(markdown))


def page(title: str, body: str) -> str:
    """A page of HTML."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>\n{body}</html>\n"
    )


def part_html(markdown: str) -> str:
    """A Markdown table as `join_markdown` makes it, and any lines of text after it, as HTML."""
    rows: list[str] = []
    text: list[str] = []
    for line in markdown.splitlines():
        if not line.startswith("|"):
            text.append(f"<p>{html.escape(line)}</p>" if line else "")
        elif not line.startswith("| ---"):
            tag = "td" if rows else "th"
            cells = (html.escape(cell) for cell in line[2:-2].split(" | "))
            rows.append("<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>")
    body = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", "\n".join(rows))
    return f"<table>\n{body}\n</table>\n{''.join(text)}"


def write_page(path: str | Path, markdown: str, title: str) -> None:
    """Write Markdown as an HTML page."""
    with publish(path) as draft:
        draft.write_text(to_html(markdown, title), encoding="utf-8")


def write_table(
    table: "pd.DataFrame",
    printed: str,
    title: str,
    *,
    csv: str | Path,
    markdown: str | Path,
    page: str | Path,
) -> None:
    """Write a table as CSV; and its print, which is Markdown, as it is and as an HTML page."""
    with publish(csv) as draft:
        table.to_csv(draft, index=False)
    with publish(markdown) as draft:
        draft.write_text(printed, encoding="utf-8")
    write_page(page, printed, title)
