"""Links of the pages to files outside of docs/, for the site: they lead to the repository."""

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def on_page_markdown(markdown: str, *, config: Any, **_: Any) -> str:
    """A page with such links turned to the repository, or into words where none is known."""
    address = config.repo_url and f"{config.repo_url.rstrip('/')}/blob/main/"
    return OUTSIDE.sub(rf"[\1]({address}\2)" if address else r"\1", markdown)
