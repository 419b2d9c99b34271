"""What a table or figure of the paper is: one declaration a module, entered in `paper.registry`.

A `Result` says where in the paper it stands, what its key of the config looks like, what it reads,
which analyses it asks for, how it is made, and what its caption says. Imported while Snakemake
parses: the standard library alone, here and at the top of every module that declares a result; what
computes and draws is imported in functions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modelsoups.paper.claims import Claim
from modelsoups.paper.methods import list_methods
from modelsoups.soups.registry import Method
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import pandas as pd

# Sections of the paper: categories of the report, which sorts them by name: in the paper's order.
SECTIONS = {
    "2": "Method",
    "3.2": "Intuition and motivation",
    "3.3": "Model soups",
    "4": "Analytically comparing soups to ensembles",
    "B": "Additional figures",
    "C": "BASIC",
    "D": "Robust fine-tuning",
    "E": "Cross-dataset soups",
    "F": "One-dimensional grids",
    "G": "Additional fine-tuning and pre-training datasets",
    "H": "Additional grid searches and initializations",
    "J": "Experimental details",
    "L": "Additional baselines",
    "R": "Recipes side by side",  # not of the paper
}

# Parts of schemas.
SWEEP: dict[str, Any] = {"type": "string", "description": "A sweep, or a pool"}
MATCH: dict[str, Any] = {"$ref": "#/$defs/match"}  # hyper-parameters and their values
MAX_IMAGES: dict[str, Any] = {
    "type": "integer",
    "minimum": 1,
    "description": "Images of each data set, the same ones throughout; all if left out",
}

Spec = Mapping[str, Any]  # of one file of a result: what the config says about it
Files = Mapping[str, Path | list[Path]]


@dataclass(frozen=True, kw_only=True)
class Need:
    """A table of a sweep or pool that a result reads."""

    sweep: str
    # scores, correct, predictions, costs, growth, cross, approximation, timing; mixes/<plan>,
    # seeds/<match>, label-sets/<name>; or logits, which stands for a list of files: the runs' on
    # the test set and the shift sets.
    table: str


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """An analysis that a result asks for: it makes a table of a sweep or pool."""

    sweep: str
    table: str  # as in `Need`
    plan: Mapping[str, Any]  # all that it takes from the config


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a result is made from."""

    files: Files  # name of a need -> its file, or files if it is a list
    spec: Spec
    study: str  # its name, for titles
    roles: Mapping[str, str]  # data set -> role
    methods: Mapping[str, Method]  # soup or ensemble -> its row, in the order of rows

    def paths(self, name: str) -> list[Path]:
        """The files of a need."""
        files = self.files[name]
        return files if isinstance(files, list) else [files]

    def path(self, name: str) -> Path:
        """The one file of a need."""
        (path,) = self.paths(name)
        return path

    def read(self, name: str) -> "pd.DataFrame":
        """The table of a need."""
        (table,) = self.read_all(name)
        return table

    def read_all(self, name: str) -> "list[pd.DataFrame]":
        """The tables of a need that is a list, in its order."""
        import pandas as pd

        return [pd.read_parquet(path) for path in self.paths(name)]


def give(inputs: Iterable[tuple[str, Any]], spec: Spec, about: Mapping[str, Any]) -> Given:
    """What a rule has as input, its code and style aside, and as params.

    Args:
        inputs: name and file, or files.
        about: the study's name, roles, and config of recipes and ensembles.
    """
    files = {
        name: Path(value) if isinstance(value, str) else [Path(path) for path in value]
        for name, value in inputs
        if name not in ("code", "style")
    }
    return Given(
        files=files,
        spec=spec,
        study=about["study"],
        roles=about["roles"],
        methods=list_methods(about["recipes"], about["ensembles"]),
    )


@dataclass(frozen=True, kw_only=True)
class Made:
    """A table or figure, and what it says on the paper's claims."""

    table: Any = None  # a tidy DataFrame; None where there are claims alone
    figure: Any = None  # matplotlib's Figure; None of a table
    markdown: str = ""  # a table in print
    claims: Sequence[Claim] = ()
    found: Sequence[str] = ()  # sentences that describe this study, without a test


def nothing(*_: Any) -> Iterable[Any]:
    """Of analyses or problems: none."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """A table or figure of the paper, or claims that need neither.

    Captions and titles may name fields of the spec in braces.
    """

    name: str  # of its files: figure3
    title: str  # as the paper has it: Figure 3
    section: str  # a key of SECTIONS
    kind: Literal["figure", "table", "claims"]
    about: str  # one line: what it shows
    key: str  # of the config; a study without it does not have the result
    schema: Mapping[str, Any]  # JSON schema of the key
    make: Callable[[Given], Made]
    # The key's value and the whole config -> name of what is to be made -> its spec. None: one, of
    # the result's own name, whose spec is the value.
    targets: Callable[[Any, Mapping[str, Any]], Mapping[str, Spec]] | None = None
    needs: Callable[[Spec], Mapping[str, Need | list[Need]]]
    analyses: Callable[[Spec], Iterable[Analysis]] = nothing
    names: Callable[[Spec], Iterable[tuple[str, str]]]  # what it names: sweep or recipe, its name
    # Why it could not be made in a study where all that is named is defined: sentences.
    problems: Callable[[Spec, Study], Iterable[str]] = nothing
    caption: str = ""  # what is shown
    paper: str = ""  # what the paper found

    @property
    def category(self) -> str:
        """Its place in the report."""
        return f"{self.section}. {SECTIONS[self.section]}"

    def title_of(self, spec: Spec) -> str:
        """The title of one of its targets."""
        return self.title.format(**spec)


def one_sweep(spec: Spec) -> list[tuple[str, str]]:
    """What a result names that is about one sweep."""
    return [("sweep", spec["sweep"])]


def table_need(*names: str) -> Callable[[Spec], dict[str, Need]]:
    """The needs of a result that reads these tables of its one sweep, under the tables' names."""
    return lambda spec: {name: Need(sweep=spec["sweep"], table=name) for name in names}


def mixes_of(kind: str) -> Callable[[Spec], list[Analysis]]:
    """The analyses of a result about mixes of one kind, of which its spec says all else."""

    def ask(spec: Spec) -> list[Analysis]:
        plan = {name: value for name, value in spec.items() if name != "sweep"}
        plan = {"kind": kind, "max_images": None, **plan}
        return [Analysis(sweep=spec["sweep"], table=f"mixes/{kind}", plan=plan)]

    return ask


def tables_of(sweeps: Iterable[str], *names: str) -> dict[str, Need | list[Need]]:
    """The needs of a result that reads these tables of several sweeps, sweep by sweep."""
    sweeps = list(sweeps)
    return {name: [Need(sweep=sweep, table=name) for sweep in sweeps] for name in names}
