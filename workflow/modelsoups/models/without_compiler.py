"""Import timm and torchvision without torch's compiler, about a third of a short job's start.

Modules that import either import this one first. Both want the compiler's names at import and its
work much later, if ever; these names stand for it until then. The garbage collector, which would
find nothing, is off meanwhile.
"""

import gc
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch._compile import _disable_dynamo

COMPILER = "torch._dynamo.utils"


def stand_for_compiler() -> ModuleType:
    """A module in the compiler's place, which is imported when a function of it is called."""
    module = ModuleType(COMPILER)

    def real(name: str) -> Any:
        if name.startswith("__"):  # `inspect` asks every module for its file
            raise AttributeError(name)
        if sys.modules.get(COMPILER) is module:
            del sys.modules[COMPILER]
        return getattr(importlib.import_module(COMPILER), name)

    def is_compile_supported(device_type: str) -> bool:  # of torchvision.ops.roi_align
        return bool(real("is_compile_supported")(device_type))

    module.__dict__.update(is_compile_supported=is_compile_supported, __getattr__=real)
    return module


def disable_later(fn: Any = None, recursive: bool = True, **_: Any) -> Callable[..., Any]:
    """`torch.compiler.disable`, which asks the compiler when the function is first called."""
    decorated: Callable[..., Any] = _disable_dynamo(fn, recursive)
    return decorated


def import_without_compiler(*names: str) -> None:
    """Import modules, the compiler only if it is there already, or if they run it at import."""
    if COMPILER in sys.modules:
        return
    disable, collects = torch.compiler.disable, gc.isenabled()
    stand_in = sys.modules[COMPILER] = stand_for_compiler()
    torch.compiler.disable = disable_later
    gc.disable()
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        if collects:
            gc.enable()
        torch.compiler.disable = disable
        if sys.modules.get(COMPILER) is stand_in:
            del sys.modules[COMPILER]


import_without_compiler("torchvision", "timm")
