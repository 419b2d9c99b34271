"""Files of torch.save, read without running anything that they say.

torch's own restricted unpickler reads them. What training scripts store beside the weights (their
arguments, schedulers, callbacks) may be of classes that it does not know: an object that is only
*described*, by its class and attributes, becomes an inert `Unknown`. What has to be *called* to be
read is refused, with its name: calling is how a file runs code.
"""

import argparse
import pathlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
from numpy._core import multiarray
from torch.serialization import safe_globals

from modelsoups.base.files import what_is

MAX_UNKNOWN = 200  # classes of one file
KINDS = ("a zip archive", "a pickle")  # as `what_is` calls what torch.save writes


class Unknown:
    """An object of a class that is not looked up: attributes without a meaning."""

    def __init__(self, *arguments: Any):
        raise ValueError(f"has to be called: {type(self).__qualname__}")

    def __setstate__(self, state: Any) -> None:
        self.state = state


# What is called and may be: containers of values.
KNOWN = [
    argparse.Namespace,
    (pathlib.PurePosixPath, "pathlib.PosixPath"),
    (pathlib.PurePosixPath, "pathlib._local.PosixPath"),
    (set, "builtins.set"),
    # Numbers and arrays of numpy, as metrics often are.
    np.dtype,
    *{type(np.dtype(each)) for each in "?" + np.typecodes["AllInteger"] + np.typecodes["AllFloat"]},
    np.ndarray,
    *(
        (getattr(multiarray, name), f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")  # before numpy 2, and since
        for name in ("scalar", "_reconstruct")
    ),
]


def read_torch(path: str | Path) -> Any:
    """What a file of torch.save holds; tensors may lie in the file still, mapped into memory.

    Raises:
        ValueError: another kind of file, a cut one, or one that would have to run code.
    """
    kind = what_is(path)
    if kind not in KINDS:
        safe = kind == "a safetensors file"
        cure = "name it *.safetensors" if safe else "put the checkpoint itself there"
        raise ValueError(f"{path}: expected a file of torch.save, found {kind}; {cure}")
    zipped = kind == "a zip archive"  # as torch.save writes since 1.6; can be mapped into memory
    if zipped and not is_zipfile(path):
        raise ValueError(f"{path}: the file is cut; copy or download it again")
    unknown: dict[str, type] = {}
    for _ in range(MAX_UNKNOWN):
        allowed = [*KNOWN, *((each, name) for name, each in unknown.items())]
        try:
            with safe_globals(allowed):  # type: ignore[arg-type]
                return torch.load(str(path), map_location="cpu", weights_only=True, mmap=zipped)
        except Exception as error:  # bytes that are no weights can fail an unpickler in any way
            found = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
            name = _full_name(found[1]) if found else ""
            if not name or name in unknown:
                raise ValueError(f"{path}: {why_not_loaded(error, kind)}") from error
            unknown[name] = type(name, (Unknown,), {})
    raise ValueError(f"{path}: more than {MAX_UNKNOWN} classes; save `model.state_dict()` alone")


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """The state dict that is all of a file of torch.save.

    Raises:
        ValueError: as `read_torch`, or the file holds something other than tensors.
    """
    state = read_torch(path)
    if isinstance(state, Unknown):
        raise ValueError(f"{path}: {_WANTED}, found {type(state).__name__}; {_CURE}")
    if not isinstance(state, Mapping):
        raise ValueError(
            f"{path}: expected a state dict (names with a tensor each), found an object of type "
            f"{type(state).__name__}; save `model.state_dict()`"
        )
    if others := not_tensors(state):
        raise ValueError(
            f"{path}: expected a state dict (names with a tensor each), found {others}; save the "
            "part that holds the weights in a file of its own"
        )
    return dict(state)


def not_tensors(state: Mapping[Any, Any]) -> str:
    """What in a mapping is no tensor with a name, in words; nothing if it is a state dict."""
    others = {
        key: type(value).__name__
        for key, value in state.items()
        if not isinstance(key, str) or not isinstance(value, torch.Tensor)
    }
    shown = ", ".join(f"{key!r}: {name}" for key, name in [*others.items()][:5])
    return f"{shown} ({len(others)} in all)" if others else ""


_WANTED = "expected a file of torch.save with tensors and nothing else"
_CURE = "save `model.state_dict()` alone"


def why_not_loaded(error: Exception, kind: str) -> str:
    """What an error of torch.load says of the file, and what to do; its advice is to run code."""
    text = str(error)
    if isinstance(error, EOFError) or "unexpected EOF" in text:
        return "the file is cut; copy or download it again"
    if "TorchScript" in text:
        return f"{_WANTED}, found a TorchScript program; save `torch.jit.load(file).state_dict()`"
    if found := re.search(r"has to be called: (\S+)", text):
        return f"{_WANTED}, found a call of {found[1]}, which is not made; {_CURE}"
    if found := re.search(r"GLOBAL (\S+)", text):
        return f"{_WANTED}, found {found[1]}; {_CURE}"
    if "operand 149" in text and kind == "a zip archive":  # how pickles begin from protocol 4 on
        return (
            f"{_WANTED}, found a pickle of protocol 4 or later, which torch does not read without "
            "running code; save it again without `pickle_protocol`"
        )
    return f"{_WANTED}, found {kind} that is damaged or that torch.save did not write"


def _full_name(name: str) -> str:
    """The name as the unpickler looks it up: of what is built in it tells the last part alone."""
    return name if "." in name else f"builtins.{name}"
