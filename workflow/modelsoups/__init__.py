"""Make and study model soups: the package under the workflow (Wortsman et al., 2022).

`average`, `greedy`, `learned` and `diagnose` make and examine soups of state dicts or files from
Python (`modelsoups.api`); they are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelsoups.api import average, diagnose, greedy, learned

__version__ = "0.1.0"
__all__ = ["average", "diagnose", "greedy", "learned"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from modelsoups import api

    return getattr(api, name)
