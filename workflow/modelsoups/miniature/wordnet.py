"""Tasks of text classification from WordNet 3.0, the miniature's counterparts of GLUE's four.

The source is Debian's package wordnet-base. Every draw is by a hash of what is drawn and a name, so
that it depends on nothing else. No synset is in two parts of a task; of pairs, no group of synsets
that could stand for one another.
"""

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from modelsoups.base.files import publish
from modelsoups.base.files import sha256 as sha256_of

FOLDER = "/usr/share/wordnet"  # of the package wordnet-base
WORDS = (4, 24)  # least and most words of a gloss or sentence
PARTS = {"train": 0.45, "held-out": 0.18, "test": 0.37}  # shares of a task's groups
SIZES = {"train": 2500, "held-out": 1000, "test": 2000}  # about, of each task
# Number of a lexicographer's file -> class, and what lexnames(5WN) says is in it. Files with fewer
# than 750 glosses that fit are left out, and the verbs of weather.
NOUNS = {
    4: ("act", "acts or actions"),
    5: ("animal", "animals"),
    6: ("artifact", "man-made objects"),
    7: ("attribute", "attributes of people and objects"),
    8: ("body", "body parts"),
    9: ("cognition", "cognitive processes and contents"),
    10: ("communication", "communicative processes and contents"),
    11: ("event", "natural events"),
    13: ("food", "foods and drinks"),
    14: ("group", "groupings of people or objects"),
    15: ("location", "spatial position"),
    17: ("object", "natural objects"),
    18: ("person", "people"),
    20: ("plant", "plants"),
    21: ("possession", "possession and transfer of possession"),
    23: ("quantity", "quantities and units of measure"),
    26: ("state", "stable states of affairs"),
    27: ("substance", "substances"),
    28: ("time", "time and temporal relations"),
}
VERBS = {
    29: ("body", "grooming, dressing and bodily care"),
    30: ("change", "size, temperature change, intensifying"),
    31: ("cognition", "thinking, judging, analyzing, doubting"),
    32: ("communication", "telling, asking, ordering, singing"),
    33: ("competition", "fighting, athletic activities"),
    34: ("consumption", "eating and drinking"),
    35: ("contact", "touching, hitting, tying, digging"),
    36: ("creation", "sewing, baking, painting, performing"),
    37: ("emotion", "feeling"),
    38: ("motion", "walking, flying, swimming"),
    39: ("perception", "seeing, hearing, feeling"),
    40: ("possession", "buying, selling, owning"),
    41: ("social", "political and social activities and events"),
    42: ("stative", "being, having, spatial relations"),
}
CLASSES: dict[str, list[tuple[str, str]]] = {  # task -> id and name of each class, in label order
    "noun-supersense": list(NOUNS.values()),
    "verb-supersense": list(VERBS.values()),
    "acceptability": [("0", "words in the wrong order or form"), ("1", "a correct phrase")],
    "hypernym": [("0", "different kinds of things"), ("1", "a kind of the other")],
    "example": [("0", "different meanings"), ("1", "the same meaning")],
}
HYPERNYM, INSTANCE = "@", "@i"
DROPPED = {"of", "to", "in", "by", "for", "with", "from", "on", "is"}
AGREEING = {"is": "are", "are": "is", "was": "were", "were": "was", "has": "have", "have": "has"}
AGREEING |= {"a": "an", "an": "a", "this": "these", "these": "this"}


@dataclass(frozen=True)
class Synset:
    """A line of one of WordNet's data files."""

    offset: str
    file: int  # number of the lexicographer's file: its class
    word: str  # the first
    hypernyms: tuple[str, ...]
    is_name: bool  # an instance: a named entity
    gloss: str  # without examples
    examples: tuple[str, ...]


def read_synsets(path: Path) -> dict[str, Synset]:
    """Offset -> synset, of a file data.noun or data.verb (wndb(5))."""
    found = {}
    for line in path.read_text("latin-1").splitlines():
        if line.startswith("  "):  # the licence
            continue
        data, _, text = line.partition(" | ")
        fields = data.split(" ")
        at = 4 + 2 * int(fields[3], 16)  # number of pointers, after the words
        pointers = [fields[at + 1 + 4 * n : at + 3 + 4 * n] for n in range(int(fields[at]))]
        found[fields[0]] = Synset(
            offset=fields[0],
            file=int(fields[1]),
            word=fields[4].replace("_", " "),
            hypernyms=tuple(target for symbol, target in pointers if symbol == HYPERNYM),
            is_name=any(symbol == INSTANCE for symbol, _ in pointers),
            gloss=text.partition('"')[0].strip().rstrip(" ;:"),
            examples=tuple(re.findall(r'"([^"]+)"', text)),
        )
    return found


def fits(text: str) -> bool:
    """Whether a text is neither too short nor too long, and whole."""
    balanced = text.count("(") == text.count(")")
    return text.isascii() and balanced and WORDS[0] <= len(text.split()) <= WORDS[1]


def number_of(*names: str) -> float:
    """A number in [0, 1) that depends on these names alone."""
    return int(sha256("/".join(names).encode()).hexdigest()[:13], 16) / 16**13


def part_of(task: str, group: str) -> str:
    """The part of a task that a group of synsets belongs to."""
    number = number_of(task, "part", group)
    for part, share in PARTS.items():
        number -= share
        if number < 0:
            return part
    return "test"


def drawn(task: str, rows: Iterable[dict[str, str]]) -> pd.DataFrame:
    """So many rows of each part, of each label alike as far as there are enough.

    Texts that are there twice are left out.

    Args: rows: `group`, `label`, the sentences, and others.
    """
    table = pd.DataFrame(rows)
    sentences = [name for name in table if name.startswith("sentence")]
    table = table.drop_duplicates(sentences, keep=False)
    table["split"] = [part_of(task, group) for group in table.group]
    keys = [number_of(task, "draw", *row) for row in table[sentences].itertuples(index=False)]
    table = table.assign(key=keys).sort_values("key")
    labels = table.label.nunique()
    parts = [
        table[table.split == part].groupby("label").head(-(-size // labels))
        for part, size in SIZES.items()
    ]
    return pd.concat(parts).drop(columns=["key", "group"]).reset_index(drop=True)


def supersense(
    task: str, synsets: dict[str, Synset], files: Mapping[int, tuple[str, str]]
) -> pd.DataFrame:
    """The file that a gloss is from; without the names, which are a shift set."""
    return drawn(
        task,
        (
            {"sentence": s.gloss, "label": files[s.file][0], "group": s.offset, "word": s.word}
            for s in synsets.values()
            if s.file in files and not s.is_name and fits(s.gloss)
        ),
    )


def shifts(task: str, synsets: dict[str, Synset], used: set[str]) -> Iterator[pd.DataFrame]:
    """Noun supersense on named entities' glosses, and on example sentences of synsets not used."""
    rows: dict[str, list[dict[str, str]]] = {"names": [], "examples": []}
    for synset in synsets.values():
        if synset.file not in NOUNS or synset.gloss in used:
            continue
        common = {"label": NOUNS[synset.file][0], "word": synset.word}
        if synset.is_name and fits(synset.gloss):
            rows["names"].append({"sentence": synset.gloss, **common})
        rows["examples"] += [
            {"sentence": text, **common} for text in synset.examples[:1] if fits(text)
        ]
    for part, most in (("names", 150), ("examples", 60)):
        table = pd.DataFrame(rows[part]).drop_duplicates("sentence", keep=False)
        keys = [number_of(task, part, text) for text in table.sentence]
        yield (
            table.assign(split=part, key=keys)
            .sort_values("key")
            .groupby("label")
            .head(most)
            .drop(columns="key")
        )


def acceptability(synsets: dict[str, Synset]) -> pd.DataFrame:
    """Glosses, half of them with words swapped, one left out, or agreement broken."""

    def rows() -> Iterator[dict[str, str]]:
        for synset in synsets.values():
            if not fits(synset.gloss) or "(" in synset.gloss or synset.is_name:
                continue
            common = {"group": synset.offset, "word": synset.word}
            if number_of("acceptability", "label", synset.offset) < 0.5:
                yield {**common, "sentence": synset.gloss, "label": "1", "broken": ""}
            elif broken := break_up(synset.gloss, random.Random(synset.offset)):
                how, text = broken
                yield {**common, "sentence": text, "label": "0", "broken": how}

    return drawn("acceptability", rows())


def break_up(text: str, rng: random.Random) -> tuple[str, str] | None:
    """How a text is made unacceptable, at random among what can be done to it, and the outcome."""
    words = text.split()
    pairs = [(at, words[at], words[at + 1]) for at in range(len(words) - 1)]
    swapped = [
        [*words[:at], second, first, *words[at + 2 :]]
        for at, first, second in pairs
        if first.isalpha() and second.isalpha() and first != second
    ]
    dropped = [[*words[:at], *words[at + 1 :]] for at, word, _ in pairs if word in DROPPED]
    agreement = [
        [*words[:at], AGREEING[word], *words[at + 1 :]]
        for at, word in enumerate(words)
        if word in AGREEING
    ]
    ways = {"swapped": swapped, "dropped": dropped, "agreement": agreement}
    possible = [how for how, outcomes in ways.items() if outcomes]
    if not possible:
        return None
    how = rng.choice(possible)
    return how, " ".join(rng.choice(ways[how]))


def hypernym_pairs(synsets: dict[str, Synset]) -> pd.DataFrame:
    """A gloss, and that of its hypernym (label 1) or of a sibling of the hypernym (0).

    The group of a pair is the parent of hypernym and sibling.
    """
    children = list_children(synsets)

    def rows() -> Iterator[dict[str, str]]:
        for synset in synsets.values():
            parents = [synsets[each] for each in synset.hypernyms if each in synsets]
            if not parents or not parents[0].hypernyms or not fits(synset.gloss):
                continue
            above, group = parents[0], parents[0].hypernyms[0]
            others = [each for each in children.get(group, []) if each not in synset.hypernyms]
            yield from paired("hypernym", synset, synset.gloss, above, others, synsets, group)

    return drawn("hypernym", rows())


def example_pairs(synsets: dict[str, Synset]) -> pd.DataFrame:
    """An example sentence, and the gloss of its synset (label 1) or of a sister synset (0).

    The group of a pair is the parent of both synsets.
    """
    children = list_children(synsets)

    def rows() -> Iterator[dict[str, str]]:
        for synset in synsets.values():
            if not synset.hypernyms or not synset.examples or not fits(synset.examples[0]):
                continue
            group = synset.hypernyms[0]
            others = [each for each in children.get(group, []) if each != synset.offset]
            text = synset.examples[0]
            yield from paired("example", synset, text, synset, others, synsets, group)

    return drawn("example", rows())


def list_children(synsets: dict[str, Synset]) -> dict[str, list[str]]:
    """Offset -> the synsets whose first hypernym it is."""
    pairs = sorted((s.hypernyms[0], s.offset) for s in synsets.values() if s.hypernyms)
    return {
        above: [offset for _, offset in found] for above, found in groupby(pairs, lambda p: p[0])
    }


def paired(
    task: str,
    synset: Synset,
    text: str,
    own: Synset,
    others: Sequence[str],
    synsets: dict[str, Synset],
    group: str,
) -> Iterator[dict[str, str]]:
    """A text with the gloss that belongs to it or, half of the time, with one of others."""
    label = number_of(task, "label", synset.offset) < 0.5
    if not label:
        glosses = [synsets[each] for each in others if fits(synsets[each].gloss)]
        if not glosses:
            return
        own = min(glosses, key=lambda each: number_of(task, "other", synset.offset, each.offset))
    if fits(own.gloss) and own.gloss != text:
        yield {
            **{"sentence1": text, "sentence2": own.gloss, "label": str(int(label))},
            **{"group": group, "word": synset.word},
        }


def build(folder: Path) -> dict[str, pd.DataFrame]:
    """Task -> its table: sentences, label, split, word.

    Args: folder: with data.noun and data.verb.
    """
    nouns, verbs = (read_synsets(folder / f"data.{part}") for part in ("noun", "verb"))
    noun = supersense("noun-supersense", nouns, NOUNS)
    shifted = shifts("noun-supersense", nouns, set(noun.sentence))
    return {
        "noun-supersense": pd.concat([noun, *shifted], ignore_index=True),
        "verb-supersense": supersense("verb-supersense", verbs, VERBS),
        "acceptability": acceptability(nouns),
        "hypernym": hypernym_pairs(nouns),
        "example": example_pairs(verbs),
    }


def list_classes(task: str) -> pd.DataFrame:
    """The classes of a task in label order: `id` as in its table, and a `name` for prompts."""
    return pd.DataFrame(CLASSES[task], columns=["id", "name"])


def check_sources(sources: pd.DataFrame, folder: Path) -> None:
    """Raise a ValueError unless the files in a folder are those of `sources` (file, sha256)."""
    for row in sources.itertuples():
        path = folder / str(row.file)
        found = sha256_of(path) if path.exists() else "no such file"
        if found != row.sha256:
            raise ValueError(
                f"{path}: expected SHA-256 {row.sha256}, found {found}; install Debian's package "
                "wordnet-base 1:3.0, or set WORDNET to the folder with its files"
            )


def write_task(table: pd.DataFrame, path: Path) -> None:
    """Write a task as Parquet, compressed as well as may be: it ships."""
    with publish(path) as draft:
        pq.write_table(
            pa.Table.from_pandas(table, preserve_index=False),
            draft,
            compression="zstd",
            compression_level=19,
        )
