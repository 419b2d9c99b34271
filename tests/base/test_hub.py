import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from hub_server import COMMIT, hub
from modelsoups.base.files import sha256
from modelsoups.base.hub import HubFile, fetch, kept_at, why_no_push, with_paths
from modelsoups.models.backbones import BackboneSpec
from modelsoups.paper.card import study_card
from paper.test_card import RECORD, ROLES, scores

WANTED = HubFile(repo="someone/soup", revision="main", file="sub/model.safetensors")


def cache(home: Path, content: bytes, revision: str = "main") -> Path:
    """The hub's cache as huggingface_hub lays it out, with one file of a repository in it."""
    repo = home / "hub/models--someone--soup"
    blob = repo / "blobs" / ("b" * 64)
    snapshot = repo / "snapshots" / COMMIT / WANTED.file
    for path in (blob, snapshot, repo / "refs" / revision):
        path.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    snapshot.symlink_to(os.path.relpath(blob, snapshot.parent))
    (repo / "refs" / revision).write_text(COMMIT)
    return repo


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """huggingface_hub without a network, and an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def test_addresses_are_kept_at_paths_of_their_own():
    assert kept_at("hf://a/b/c.pt") == "hub/a/b/main/c.pt"
    assert kept_at("hf://a/b@v1.0/d/c.pt") == "hub/a/b/v1.0/d/c.pt"
    assert kept_at("hf://a/b@refs%2Fpr%2F1/c.pt") == "hub/a/b/refs%2Fpr%2F1/c.pt"


@pytest.mark.parametrize("address", ["hf://a/b", "hf://a", "hf://a/b@v1", "hf://datasets/a/b"])
def test_address_without_a_file_or_of_no_model_is_refused(address):
    with pytest.raises(ValueError, match="expected hf://owner/name/file"):
        kept_at(address)


def test_paths_take_the_place_of_addresses_anywhere_in_a_config():
    config = {"backbones": {"x": {"weights": "hf://a/b/c.pt"}}, "files": ["hf://a/b@1/d{0..3}.pt"]}
    assert with_paths({**config, "n": 1}) == {
        "backbones": {"x": {"weights": "hub/a/b/main/c.pt"}},
        "files": ["hub/a/b/1/d{0..3}.pt"],
        "n": 1,
    }


def test_file_comes_from_the_cache_without_a_network(offline):
    cache(offline, b"weights")
    assert fetch(WANTED, offline / "here/model.safetensors") == COMMIT
    copy = offline / "here/model.safetensors"
    assert copy.read_bytes() == b"weights"
    assert not copy.is_symlink()  # a cache that is emptied takes nothing away


def test_revision_with_a_slash_is_asked_for_as_such(offline):
    cache(offline, b"weights", "refs/pr/1")
    wanted = HubFile(repo=WANTED.repo, revision="refs%2Fpr%2F1", file=WANTED.file)
    assert fetch(wanted, offline / "model.safetensors") == COMMIT


def test_file_that_is_nowhere_says_what_to_do(offline):
    cache(offline, b"weights")
    wanted = HubFile(repo="someone/soup", revision="main", file="other.pt")
    with pytest.raises(ValueError, match=r"hf://someone/soup@main/other.pt .*HF_HUB_OFFLINE=1"):
        fetch(wanted, offline / "other.pt")
    assert not (offline / "other.pt").exists()


def test_token_is_looked_for_where_the_hubs_client_does(tmp_path, monkeypatch):
    for name in ("HF_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert f"none in HF_TOKEN or {tmp_path}/token. Log in (`hf auth login`)" in why_no_push()
    (tmp_path / "token").write_text("hf_secret")
    assert why_no_push() is None
    monkeypatch.setenv("HF_HOME", "/nowhere")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert why_no_push() is None


PUSH = """
import sys
from pathlib import Path
from modelsoups.base.hub import HubFile, fetch, push
folder = Path(sys.argv[1])
names = ("README.md", "model.safetensors", "results/table3.csv")
print(push("someone/soup", {name: folder / name for name in names}, private=True))
wanted = HubFile(repo="someone/soup", revision="main", file="model.safetensors")
print(fetch(wanted, folder / "back.safetensors"))
"""


def run_push(folder, **environment):
    """Push a folder and read its weights back, in a process that has these variables."""
    settings = {"HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1", **environment}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-c", PUSH, str(folder)],
        env={**kept, **settings},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def folder(tmp_path):
    """What is pushed of a study."""
    backbone = BackboneSpec(library="timm", model="test_efficientnet", weights="random")
    record = {**RECORD, "sweep": "tiny", "inputs": {"a": "aa", "b": "bb", "c": "cc"}}
    text = study_card(backbone, {"size": 32}, record, scores(), ROLES, "a study")
    (tmp_path / "README.md").write_text(text, "utf-8")
    (tmp_path / "model.safetensors").write_bytes(os.urandom(1000))
    (tmp_path / "results").mkdir()
    (tmp_path / "results/table3.csv").write_text("model,accuracy\n")
    return tmp_path


def test_pushed_soup_is_read_back(folder):
    with hub() as server:
        done = run_push(folder, HF_ENDPOINT=server.address, HF_TOKEN=server.token)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"{server.address}/someone/soup/commit/{COMMIT}", COMMIT]
    assert server.private == {"someone/soup": True}
    assert len(server.messages) == 1  # one commit
    pushed = server.files["someone/soup"]
    assert {*pushed} == {"README.md", "model.safetensors", "results/table3.csv"}
    assert all(content == (folder / name).read_bytes() for name, content in pushed.items())
    assert sha256(folder / "back.safetensors") == sha256(folder / "model.safetensors")
    data = ModelCard(pushed["README.md"].decode()).data
    assert data.library_name == "modelsoups"
    assert [(each.dataset_name, each.metric_value) for each in data.eval_results] == [
        ("held-out", 0.9),
        ("test", 0.75),
    ]


def test_push_without_a_token_asks_nothing_of_the_hub(folder):
    with hub() as server:
        done = run_push(folder, HF_ENDPOINT=server.address)
    assert done.returncode != 0
    assert "ValueError: pushing to the hub takes a token of yours that may write" in done.stderr
    assert not server.files


def test_card_without_scores_is_not_pushed(folder):
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    with hub() as server:
        done = run_push(folder, HF_ENDPOINT=server.address, HF_TOKEN=server.token)
    assert "expected a model card with scores, found none" in done.stderr
    assert not server.files
