"""Files of the Hugging Face hub: what a config calls them, how they come here, how they get there.

Imported while Snakemake parses: huggingface_hub is imported where it is used.
"""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from modelsoups.base.files import publish

SCHEME = "hf://"
FOLDER = "hub"  # in the working folder, where files that a config names are kept
# An address: owner/name, @revision if it is not main, and a file; `/` in a revision is %2F.
ADDRESS = re.compile(r"hf://([\w.-]+)/([\w.-]+)(?:@([^/@]+))?/([^@]+)")
NO_MODELS = ("datasets", "spaces", "buckets")  # owners of that name are other kinds of repository


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of a model repository, at a branch, a tag or a commit."""

    repo: str  # owner/name
    revision: str
    file: str


def kept_at(address: str) -> str:
    """Path at which the file of an address `hf://owner/name[@revision]/file` is kept.

    Raises:
        ValueError: it is no such address.
    """
    found = ADDRESS.fullmatch(address)
    if not found or found[1] in NO_MODELS:
        raise ValueError(
            f"{address}: expected hf://owner/name/file, or hf://owner/name@revision/file"
        )
    owner, name, revision, file = found.groups()
    return f"{FOLDER}/{owner}/{name}/{revision or 'main'}/{file}"


def with_paths(config: Any) -> Any:
    """The config with the path of its file in place of each address of the hub."""
    if isinstance(config, Mapping):
        return {key: with_paths(value) for key, value in config.items()}
    if isinstance(config, list):
        return [with_paths(value) for value in config]
    is_address = isinstance(config, str) and config.startswith(SCHEME)
    return kept_at(config) if is_address else config


def fetch(wanted: HubFile, target: str | Path) -> str:
    """Copy a file from the hub, or from its cache, to `target`; the commit that it is of.

    Raises:
        ValueError: the hub does not give it, and the cache has it not.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    revision = unquote(wanted.revision)
    try:
        cached = hf_hub_download(wanted.repo, wanted.file, revision=revision)
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise ValueError(
            f"hf://{wanted.repo}@{wanted.revision}/{wanted.file} could not be had from the hub, "
            f"and is not in its cache ({error}); is it called so, and may you read it (`hf auth "
            "login`, or HF_TOKEN)? Where there is no network, load it elsewhere with HF_HOME on a "
            "disk that this machine sees, then set HF_HUB_OFFLINE=1"
        ) from error
    with publish(target) as draft:
        shutil.copyfile(cached, draft)
    parts = Path(cached).parts
    return parts[parts.index("snapshots") + 1]


def why_no_push() -> str | None:
    """Why nothing can be pushed from here: there is no token; None if there is one."""
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    path = Path(os.environ.get("HF_TOKEN_PATH", f"{home}/token")).expanduser()
    if os.environ.get("HF_TOKEN") or path.exists():
        return None
    return (
        f"pushing to the hub takes a token of yours that may write; there is none in HF_TOKEN or "
        f"{path}. Log in (`hf auth login`), or set HF_TOKEN"
    )


def push(repo: str, files: Mapping[str, Path], private: bool) -> str:
    """Put files into a model repository in one commit, which is made if need be; its address.

    Args:
        repo: owner/name. files: path in the repository -> path here; one is README.md, the card.
        private: whether a repository that is made is.
    Raises:
        ValueError: there is no token, or the card is none that the hub can read.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, get_token

    if get_token() is None:
        raise ValueError(why_no_push() or "the token is empty; log in with `hf auth login`")
    if not ModelCard.load(files["README.md"]).data.eval_results:
        raise ValueError(f"{files['README.md']}: expected a model card with scores, found none")
    api = HfApi()
    api.create_repo(repo, private=private, exist_ok=True)
    commit = api.create_commit(
        repo,
        [CommitOperationAdd(name, str(path)) for name, path in files.items()],
        commit_message="A soup by modelsoups",
    )
    return commit.commit_url
