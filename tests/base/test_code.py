import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelsoups.base.code import code_of, digest_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `pot` with rooms a and b, and the working folder around it."""
    monkeypatch.chdir(tmp_path)
    files = {
        "a/__init__.py": "import pot.b.never",
        "a/one.py": "from pot.b.two import f\nfrom pot.a import four as also\n",
        "a/four.py": "from pot.b.two import f",
        "b/__init__.py": "",
        "b/two.py": "import numpy\n",
        "b/never.py": "",
        "b/registry.py": 'COOKS = {"five": "pot.b.five:cook", "six": "pot.b.six:cook"}',
        "b/five.py": "import pot.b.registry\nfrom pot.a.one import (\n    g,\n)\n",
        "b/six.py": "import pot.b.five",
        "top.py": "import pot.a",
    }
    for name, text in files.items():
        path = Path("code/pot") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Path("code/pot")


def test_modules_named_in_a_script_are_followed_and_sorted(package):
    script = Path("script.py")
    script.write_text("from pot.a.one import g\n")
    assert code_of(script, package=package) == [
        "code/pot/a/four.py",
        "code/pot/a/one.py",
        "code/pot/b/two.py",
    ]


def test_modules_imported_from_their_room_are_found(package):
    script = Path("script.py")
    script.write_text(
        "from pot.b import (\n    never,\n    two as second,\n)\nfrom pot import top\n"
    )
    assert code_of(script, package=package) == [
        "code/pot/b/never.py",
        "code/pot/b/two.py",
        "code/pot/top.py",
    ]


def test_a_registry_is_neither_followed_nor_listed_and_a_module_may_be_a_start(package):
    script = Path("script.py")
    script.write_text("from pot.b.registry import COOKS\n")
    assert code_of(script, package=package) == []
    assert code_of(script, package / "b/five.py", package=package) == [
        "code/pot/a/four.py",
        "code/pot/a/one.py",
        "code/pot/b/five.py",
        "code/pot/b/two.py",
    ]
    assert "code/pot/b/six.py" in code_of(script, package=package, skip=())


def test_other_packages_and_longer_names_are_not_taken_for_ours(package):
    script = Path("script.py")
    script.write_text("import numpy.a.one\nimport teapot.a.one\nimport pots.a.one, a.one\n")
    assert code_of(script, package=package) == []
    script = Path("names_a_function.py")
    script.write_text('"""As `pot.b.two.f` does."""\n')
    assert code_of(script, package=package) == ["code/pot/b/two.py"]


def test_paths_begin_as_the_package_is_given(package):
    script = Path("script.py")
    script.write_text("import pot.b.two")
    assert code_of(script, package=package.absolute()) == [str(package.absolute() / "b/two.py")]


@pytest.mark.slow
def test_every_module_that_importing_a_script_loads_is_listed():
    script = ROOT / "workflow/scripts/import_checkpoint.py"
    lines = [line for line in script.read_text(encoding="utf-8").splitlines() if "import" in line]
    imports = "\n".join(line for line in lines if line.startswith("from modelsoups"))
    program = f"{imports}\nimport sys; print(*(m for m in sys.modules if m.count('.') > 1))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = {
        f"workflow/{name.replace('.', '/')}.py"
        for name in done.stdout.split()
        if name.startswith("modelsoups.")
    }
    found = code_of(script, package=ROOT / "workflow/modelsoups")
    assert len(loaded) > 5
    assert loaded <= {str(Path(path).relative_to(ROOT)) for path in found}


def test_digest_follows_what_modules_say_and_not_where_or_when_they_lie(package, tmp_path):
    def digest(folder):
        return digest_of(code_of(folder / "a/four.py", package=folder), folder)

    before = digest(package)
    shutil.copytree(package, tmp_path / "elsewhere/pot")
    assert digest(tmp_path / "elsewhere/pot") == before
    (package / "b/two.py").write_text("import scipy\n")
    assert digest(package) != before
