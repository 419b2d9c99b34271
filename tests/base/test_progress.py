import json
import logging

import numpy as np
import pytest

from modelsoups.base.progress import Rows, Trace


def test_trace_comes_back_for_what_it_was_made_for_alone(tmp_path, caplog):
    path = tmp_path / "progress.json"
    Trace(path, {"seed": 1}).save([1, 2])
    assert Trace(path, {"seed": 1}).load() == [1, 2]
    with caplog.at_level(logging.INFO):
        assert Trace(path, {"seed": 2}).load() is None
    assert "progress.json is of another spec or other inputs; starting afresh" in caplog.text
    Trace(path, {"seed": 1}).remove()
    assert Trace(path, {"seed": 1}).load() is None


@pytest.mark.parametrize("content", ["", '{"made_for": {"se', "[1]", "{}", "\0\0\0\0"])
def test_a_trace_that_cannot_be_read_starts_afresh(tmp_path, caplog, content):
    path = tmp_path / "progress.json"
    path.write_text(content)
    trace = Trace(path, {"seed": 1})
    assert trace.load() is None
    assert "progress.json cannot be read" in caplog.text
    trace.save("new")
    assert trace.load() == "new"


def test_without_a_path_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trace, rows = Trace(None, 1), Rows(None, 1)
    trace.save([1])
    rows.add("a", [{"x": 1}])
    assert trace.load() is None
    assert rows.done == {"a": [{"x": 1}]}
    trace.remove()
    rows.remove()
    assert not list(tmp_path.iterdir())


def test_rows_added_before_an_interruption_are_done_after_it(tmp_path):
    path = tmp_path / "new" / "rows.jsonl"
    first = Rows(path, {"seed": 1})
    assert first.done == {}
    first.add("000", [{"value": 0.1 + 0.2, "name": "größer"}, {"value": float("inf"), "name": "b"}])
    first.add("001", [])
    again = Rows(path, {"seed": 1})
    assert again.done == first.done
    assert list(again.done) == ["000", "001"]
    again.add("002", [{"value": 3}])
    assert list(Rows(path, {"seed": 1}).done) == ["000", "001", "002"]
    again.remove()
    assert Rows(path, {"seed": 1}).done == {}


def test_rows_are_the_same_whether_or_not_they_were_read_from_the_file(tmp_path):
    rows = Rows(tmp_path / "rows.jsonl", None)
    row = {"n": np.int64(3), "value": np.float32(0.1), "runs": ("000", "001"), "ok": np.bool_(True)}
    rows.add("a", [row])
    read = Rows(tmp_path / "rows.jsonl", None)
    assert json.dumps(rows.done) == json.dumps(read.done)
    assert rows.done["a"][0]["value"] == np.float32(0.1)
    assert rows.done["a"][0]["runs"] == ["000", "001"]


def test_a_torn_last_line_is_made_again_and_the_lines_before_stay(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = Rows(path, "spec")
    rows.add("a", [{"x": 1}])
    before = path.stat().st_size
    rows.add("b", [{"x": "größer"}])
    whole = path.read_bytes()
    for length in range(before + 1, len(whole)):  # the last one lacks the end of the line alone
        path.write_bytes(whole[:length])
        again = Rows(path, "spec")
        assert list(again.done) == ["a"]
        again.add("b", [{"x": 2}])
        assert Rows(path, "spec").done == {"a": [{"x": 1}], "b": [{"x": 2}]}


def test_lines_after_one_that_a_crash_left_empty_are_made_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = Rows(path, "spec")
    rows.add("a", [{"x": 1}])
    with open(path, "ab") as file:
        file.write(b"\0\0\0\0\n" + b'{"key": "c", "rows": []}\n')
    assert list(Rows(path, "spec").done) == ["a"]


@pytest.mark.parametrize("other", ["spec", {"seed": 2}, None])
def test_rows_made_for_something_else_are_replaced(tmp_path, other):
    path = tmp_path / "rows.jsonl"
    Rows(path, {"seed": 1}).add("a", [{"x": 1}])
    rows = Rows(path, other)
    assert rows.done == {}
    rows.add("b", [{"x": 2}])
    assert list(Rows(path, other).done) == ["b"]
    assert Rows(path, {"seed": 1}).done == {}


def test_a_cut_first_line_starts_afresh(tmp_path):
    path = tmp_path / "rows.jsonl"
    Rows(path, {"seed": 1}).add("a", [])
    path.write_bytes(path.read_bytes()[:10])
    Rows(path, {"seed": 1}).add("b", [])
    assert list(Rows(path, {"seed": 1}).done) == ["b"]
