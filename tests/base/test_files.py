import hashlib

import pytest

from modelsoups.base.files import publish, read_json, sha256, versions, write_json


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


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"soup")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"soup").hexdigest()


def test_json_comes_back_as_it_went(tmp_path):
    content = {"name": "größer", "values": [1, 2.5, None]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content


def test_versions_name_python_and_torch():
    assert {"python", "torch", "timm"} <= versions().keys()
