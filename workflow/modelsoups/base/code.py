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
    modules = {
        path.relative_to(package).with_suffix("").parts: path
        for path in package.rglob("*.py")
        if path.stem != "__init__"
    }
    found: set[Path] = set()
    waiting = [Path(start) for start in starts]
    while waiting:
        path = waiting.pop()
        if path in found or path.stem in skip:
            continue
        if path.is_relative_to(package):
            found.add(path)
        for name in _names(path.absolute(), path.stat().st_mtime_ns, package.name):
            # A name may lead on into its module, to a function.
            parts = (name[:length] for length in range(1, len(name) + 1))
            waiting += [modules[part] for part in parts if part in modules]
    return sorted(map(str, found))


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
def _names(path: Path, changed: int, package: str) -> frozenset[tuple[str, ...]]:
    """The parts of every dotted name under the package in a file, without the package's own.

    A file is read once, however many scripts lead to it; `changed` is when it was last written.
    """
    text = path.read_text(encoding="utf-8")
    names = [name.split(".") for name in re.findall(rf"\b{package}((?:\.\w+)+)", text)]
    imports = rf"\bfrom +{package}((?:\.\w+)*) +import +(\([^)]*\)|[^\n#]*)"
    for room, imported in re.findall(imports, text):
        names += [[*room.split("."), name] for name in re.findall(r"\w+", imported)]
    return frozenset(tuple(name[1:]) for name in names)
