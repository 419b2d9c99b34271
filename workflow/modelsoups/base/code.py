"""Which modules a script runs: what a rule names as its `code` input.

Snakemake runs a rule again when its script changes, but knows nothing of the modules the script
imports. They are found by their dotted names in the text, so that a rule's list cannot fall behind
what its script does, and parsing the Snakefile imports none of them.
"""

import re
from functools import cache
from hashlib import sha256
from pathlib import Path


def code_of(
    *starts: str | Path, package: str | Path, skip: tuple[str, ...] = ("registry",)
) -> list[str]:
    """Paths of the package's modules that the start files name, and those name in turn; sorted.

    A name is `package.room.module` anywhere in a file (an import, or an entry of a registry), or
    `from package.room import module`. The `__init__` files of rooms are left out.

    Args:
        starts: scripts, or modules; a module of the package is itself among the result.
        package: folder of the package; the paths returned begin with it as it is given here.
        skip: names of modules (last part) that are neither followed nor returned: a registry names
            all there is, of which a job runs one.
    """
    package = Path(package)
    folder = package.absolute()
    found: set[Path] = set()
    waiting = [Path(start).absolute() for start in starts]
    while waiting:
        path = waiting.pop()
        if path not in found and path.stem not in skip:
            found.add(path)
            waiting += _named(path, path.stat().st_mtime_ns, folder)
    ours = [path for path in map(str, found) if path.startswith(f"{folder}/")]
    return sorted(f"{package}{path.removeprefix(str(folder))}" for path in ours)


def digest_of(paths: list[str], package: str | Path) -> str:
    """A digest of what modules say and how they are called in the package, wherever that lies.

    For rules with a job for every model: as inputs, their modules would be most of a study's files.
    """
    digest = sha256()
    for path in paths:
        content = Path(path).read_bytes()
        digest.update(f"{Path(path).relative_to(package).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


@cache
def _modules(package: Path) -> dict[tuple[str, ...], Path]:
    """The parts of a module's dotted name, without the package's own -> its path."""
    return {
        path.relative_to(package).with_suffix("").parts: path
        for path in package.rglob("*.py")
        if path.stem != "__init__"
    }


@cache
def _named(path: Path, changed: int, package: Path) -> frozenset[Path]:
    """The package's modules that a file names.

    A file is read once, however many scripts lead to it; `changed` is when it was last written.
    """
    text = path.read_text(encoding="utf-8")
    names = [name.split(".") for name in re.findall(rf"\b{package.name}((?:\.\w+)+)", text)]
    imports = rf"\bfrom +{package.name}((?:\.\w+)*) +import +(\([^)]*\)|[^\n#]*)"
    for room, imported in re.findall(imports, text):
        names += [[*room.split("."), name] for name in re.findall(r"\w+", imported)]
    modules = _modules(package)
    # A name may lead on into its module, to a function.
    starts = {tuple(name[1:end]) for name in names for end in range(2, len(name) + 1)}
    return frozenset(modules[start] for start in starts & modules.keys())
