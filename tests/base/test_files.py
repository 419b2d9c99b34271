import errno
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile

import pytest

from modelsoups.base import files
from modelsoups.base.files import (
    cached_sha256,
    publish,
    read_json,
    sha256,
    versions,
    what_is,
    write_json,
)


def test_published_file_appears_whole_and_nothing_else(tmp_path):
    with publish(tmp_path / "new" / "a.txt") as draft:
        draft.write_text("whole")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"


def test_error_while_writing_keeps_the_old_file_and_leaves_no_draft(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), publish(path) as draft:
        draft.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def calls(monkeypatch):
    """What is synced and renamed, in order."""
    seen = []
    sync, replace = os.fsync, os.replace

    def record_sync(descriptor):
        seen.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def record_replace(source, target):
        seen.append(("rename", str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_replace)
    return seen


def test_bytes_are_on_the_disk_before_the_name_and_the_name_before_publish_returns(tmp_path, calls):
    with publish(tmp_path / "a.txt") as draft:
        draft.write_text("whole")
    assert calls == [
        ("sync", str(draft)),
        ("rename", str(tmp_path / "a.txt")),
        ("sync", str(tmp_path)),
    ]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    sync = files._sync

    def refuse_folders(path):
        if path.is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(path)

    monkeypatch.setattr(files, "_sync", refuse_folders)
    write_json(tmp_path / "a.json", {})
    assert read_json(tmp_path / "a.json") == {}


def test_two_writers_of_one_file_have_drafts_of_their_own(tmp_path):
    with publish(tmp_path / "a") as one, publish(tmp_path / "a") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a").read_text() == "one"
    pattern = rf"\.a\.{re.escape(os.uname().nodename)}-{os.getpid()}-[0-9a-f]{{8}}\.draft"
    assert re.fullmatch(pattern, one.name)


def test_a_killed_writer_leaves_a_hidden_draft_and_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")
    program = (
        "import os, signal, sys; from modelsoups.base.files import publish\n"
        f"with publish({str(tmp_path / 'a')!r}) as draft:\n"
        "    draft.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    assert (tmp_path / "a").read_text() == "old"
    (left,) = [path.name for path in tmp_path.iterdir() if path.name != "a"]
    assert re.fullmatch(r"\.a\..*\.draft", left)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_mode_of_a_file_follows_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == mode


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"soup")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"soup").hexdigest()


@pytest.fixture
def hashed(monkeypatch):
    """Each hash that is computed, not read."""
    seen = []
    digest = hashlib.file_digest

    def record(*args):
        seen.append(digest(*args))
        return seen[-1]

    monkeypatch.setattr(hashlib, "file_digest", record)
    return seen


def test_a_kept_hash_is_not_computed_again(tmp_path, hashed):
    path = tmp_path / "weights"
    path.write_bytes(b"soup")
    expected = hashlib.sha256(b"soup").hexdigest()
    assert [cached_sha256(path) for _ in range(3)] == [expected] * 3
    assert len(hashed) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == [".weights.sha256", "weights"]


@pytest.mark.parametrize("change", ["size", "time", "both"])
def test_a_kept_hash_of_another_content_is_computed_again(tmp_path, change):
    path = tmp_path / "weights"
    path.write_bytes(b"soup")
    cached_sha256(path)
    before = path.stat().st_mtime_ns
    path.write_bytes({"size": b"soups", "time": b"pots", "both": b""}[change])
    later = before if change == "size" else before + 1
    os.utime(path, ns=(later, later))
    assert cached_sha256(path) == sha256(path)
    assert cached_sha256(path) == sha256(path)


@pytest.mark.parametrize("kept", ["", "[]", "{}", "null", '{"size": 4', "\0\0"])
def test_a_kept_hash_that_cannot_be_read_is_computed_again(tmp_path, kept):
    path = tmp_path / "weights"
    path.write_bytes(b"soup")
    (tmp_path / ".weights.sha256").write_text(kept)
    assert cached_sha256(path) == sha256(path)
    assert json.loads((tmp_path / ".weights.sha256").read_text())["sha256"] == sha256(path)


def test_where_a_hash_cannot_be_kept_it_is_still_given(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.write_bytes(b"soup")

    def refuse(path, content):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(files, "write_json", refuse)
    assert cached_sha256(path) == sha256(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_plain_hash_leaves_nothing_behind(tmp_path):
    (tmp_path / "a").write_bytes(b"soup")
    sha256(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


KINDS = {
    "an empty file": b"",
    "null bytes": b"\0" * 100,
    "a text file that begins 'hello, a note\\n": b"hello, a note\nthat is longer than is shown",
    "a text file that begins 'größe'": "größe".encode(),
    "a text file that begins 'aööö": f"a{'ö' * 3000}".encode(),  # what is read ends in a letter
    "a text file that begins '{": b'{"name": {"a": 1}}',
    "an HTML page": b"\n<!DOCTYPE html><title>Log in",
    "a pickle": b"\x80\x02}q\0.",
    "the Git LFS pointer to a file": b"version https://git-lfs.github.com/spec/v1",
    "a safetensors file": b"\x08\0\0\0\0\0\0\0{}      ",
    "a file that begins with the bytes 01 02 03": b"\x01\x02\x03",
    "a file that begins with the bytes ff fe fd": b"\xff\xfe\xfd",
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_file_is_can_be_told(tmp_path, kind):
    (tmp_path / "a").write_bytes(KINDS[kind])
    assert what_is(tmp_path / "a").startswith(kind)


def test_a_folder_and_an_archive_are_told_from_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("b", "c")
    assert what_is(tmp_path) == "a folder"
    assert what_is(tmp_path / "a") == "a zip archive"


def test_file_that_is_no_json_is_named(tmp_path):
    for content in (b"", b'{"a": 1', b"\xff"):
        (tmp_path / "config.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"config.json: expected JSON \("):
            read_json(tmp_path / "config.json")


def test_json_comes_back_as_it_went(tmp_path):
    content = {"name": "größer", "values": [1, 2.5, None]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content


def test_json_is_utf8_whatever_the_locale(tmp_path):
    path = tmp_path / "a.json"
    program = (
        "import locale; from modelsoups.base.files import read_json, write_json\n"
        "assert locale.getpreferredencoding(False) != 'UTF-8'\n"
        f"write_json({str(path)!r}, {{'name': 'gr\\xf6\\xdfer'}})\n"
        f"assert read_json({str(path)!r}) == {{'name': 'gr\\xf6\\xdfer'}}"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert json.loads(path.read_bytes().decode("utf-8")) == {"name": "größer"}


def test_versions_name_python_and_torch():
    assert {"python", "torch", "timm"} <= versions().keys()
