"""Functions of a user's own, named in a config as `package.module:function`."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def import_function(name: str) -> Callable[..., Any]:
    """The function that `package.module:function` names; modules in the working folder are found.

    Raises:
        ValueError: it is not there, or no function.
    """
    module, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{name}: expected `package.module:function`, seen from {Path.cwd()} or installed "
            f"({error})"
        ) from error
    if not callable(function):
        raise ValueError(f"{name}: expected a function, found {type(function).__name__}")
    return function


def file_of(name: str) -> str | None:
    """The file of such a function in the working folder: an edit makes anew what uses it."""
    path = Path(*name.partition(":")[0].split(".")).with_suffix(".py")
    return str(path) if path.exists() else None
