"""What a verdict is, and the words that judges share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modelsoups.diagnosis.facts import Facts, ModelFacts

Explained = Mapping[str, str]  # model that a judge has named -> the verdict's kind
HARMLESS = ("duplicates", "precision")  # kinds whose models are as good as others in a soup


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A reason why a soup is no better, or that there is none."""

    kind: str  # its name in `verdicts`
    models: Sequence[str]  # that it is about; empty: the pool
    what: str  # is wrong
    evidence: str
    advice: str

    def __str__(self) -> str:
        return f"{self.what} {self.evidence} {self.advice}"


Judge = Callable[[Facts, Explained], Verdict | None]


def names_of(models: Sequence[str]) -> str:
    """Names in print: at most eight of them."""
    more = f" and {len(models) - 8} more" if len(models) > 8 else ""
    return ", ".join(models[:8]) + more


def verb(models: Sequence[str], one: str, several: str) -> str:
    return one if len(models) == 1 else several


def open_models(facts: Facts, explained: Explained) -> dict[str, ModelFacts]:
    """The models that no judge has named yet, without the reference."""
    return {
        name: model
        for name, model in facts.models.items()
        if name not in explained and name != facts.reference
    }


def who(facts: Facts, models: Sequence[str]) -> list[str]:
    """These models or, if they are all but one that others were compared with, all."""
    return list(facts.models) if 1 < len(models) == len(facts.models) - 1 else list(models)


def is_clean(explained: Explained) -> bool:
    """Whether no judge has found a model that harms the soup of all."""
    return all(kind in HARMLESS for kind in explained.values())
