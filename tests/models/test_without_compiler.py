"""Jobs start without torch's compiler, and whoever needs it later has it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"


def run(code: str) -> str:
    """What a process of its own prints: here the compiler is there already."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def imports_of(script: str) -> str:
    """The imports of a script, without the rest of it."""
    tree = ast.parse((SCRIPTS / f"{script}.py").read_text())
    return "\n".join(
        ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
    )


def test_jobs_start_without_the_compiler():
    """Each in a fork of a process that has torch alone."""
    imports = {
        script: imports_of(script)
        for script in ("choose_ensemble", "evaluate_model", "cook_soup", "grow_soups")
    }
    code = f"""
import os, sys, torch
for script, imports in {imports}.items():
    if (fork := os.fork()) == 0:
        exec(imports)
        print(script, "timm" in sys.modules, "torch._dynamo" in sys.modules, flush=True)
        os._exit(0)
    assert os.waitpid(fork, 0)[1] == 0
"""
    assert [line.split() for line in run(code).splitlines()] == [
        ["choose_ensemble", "False", "False"],
        *([script, "True", "False"] for script in list(imports)[1:]),
    ]


def test_the_compiler_is_as_ever_afterwards():
    code = """
import gc, sys, torch
disable = torch.compiler.disable
import modelsoups.models.without_compiler as without_compiler
assert gc.isenabled()
assert torch.compiler.disable is disable and without_compiler.COMPILER not in sys.modules
from torchvision.ops import roi_align
from timm.models.naflexvit import NaFlexRopeIterator
assert without_compiler.COMPILER not in sys.modules
supported = roi_align.__globals__["is_compile_supported"]
assert supported is not None and supported("cpu") is True
from torch._dynamo import utils
assert utils.__file__ and supported("meta") == utils.is_compile_supported("meta")
apart = without_compiler.disable_later(lambda x: x + 1)
model = torch.compile(lambda x: apart(2 * x) * 3, backend="eager")
print(model(torch.ones(2)).tolist())
"""
    assert run(code) == "[9.0, 9.0]"


def test_what_the_stand_in_does_not_have_is_the_compilers():
    code = """
import sys, modelsoups.models.without_compiler as without_compiler
sys.modules[without_compiler.COMPILER] = stand_in = without_compiler.stand_for_compiler()
from torch._dynamo.utils import istype
assert sys.modules[without_compiler.COMPILER] is not stand_in
print(istype(1, int), hasattr(stand_in, "__nonesuch__"))
"""
    assert run(code) == "True False"
