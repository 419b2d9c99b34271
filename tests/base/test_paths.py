import pytest

from modelsoups.base.paths import require, require_space, resolve


def test_variables_and_home_are_resolved(monkeypatch, tmp_path):
    monkeypatch.setenv("PLACE", str(tmp_path))
    monkeypatch.setenv("HOME", "/home/somebody")
    assert resolve("$PLACE/a") == resolve("${PLACE}/a") == tmp_path / "a"
    assert str(resolve("~/a")) == "/home/somebody/a"


def test_what_is_not_there_is_an_error_that_says_what_was_expected(tmp_path):
    assert require(tmp_path, "a folder") == tmp_path
    with pytest.raises(ValueError, match="nothing: expected a folder, found nothing there"):
        require(tmp_path / "nothing", "a folder")


def test_too_little_room_is_an_error_before_anything_is_written(tmp_path):
    require_space(tmp_path / "to/be/images.npy", 1)
    with pytest.raises(
        ValueError, match=r"images.npy: needs 1,073,741,824.0 GiB, but the disk has"
    ):
        require_space(tmp_path / "images.npy", 2**60)
