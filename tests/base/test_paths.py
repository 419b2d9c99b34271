import pytest

from modelsoups.base.paths import require, require_space, resolve


def test_variables_and_home_are_resolved(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA", str(tmp_path))
    monkeypatch.setenv("HOME", "/home/somebody")
    assert resolve("$DATA/a") == resolve("${DATA}/a") == tmp_path / "a"
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


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A working folder, and the workflow's own with a resource and a name that looks a pattern."""
    work, own = tmp_path / "work", tmp_path / "own[1]"
    (own / "resources/emoji").mkdir(parents=True)
    (own / "resources/emoji/noto.parquet").write_bytes(b"shipped")
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("MODELSOUPS_HOME", str(own))
    return work, own


def test_what_ships_with_the_workflow_is_found_from_another_working_folder(folders, monkeypatch):
    _, own = folders
    file = "resources/emoji/noto.parquet"
    assert resolve(file) == require(file, "emoji") == own / file
    assert resolve("resources/emoji/*.parquet") == own / "resources/emoji/*.parquet"
    monkeypatch.setenv("FOLDER", "resources")
    assert resolve("$FOLDER/emoji") == own / "resources/emoji"


def test_a_copy_from_a_storage_comes_before_what_lies_in_a_folder(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELSOUPS_STAGED", str(tmp_path / "staged"))
    path = "resources/emoji/noto.parquet"
    assert resolve(path) == folders[1] / path  # it was not asked for there
    (tmp_path / "staged/resources/emoji").mkdir(parents=True)
    (tmp_path / "staged" / path).touch()
    assert resolve(path) == tmp_path / "staged" / path
    assert resolve("resources/emoji/*.parquet") == tmp_path / "staged/resources/emoji/*.parquet"
    assert resolve(tmp_path / "elsewhere") == tmp_path / "elsewhere"


def test_the_working_folder_comes_before_the_workflows_own(folders):
    work, _ = folders
    (work / "resources/emoji").mkdir(parents=True)
    assert str(resolve("resources/emoji")) == "resources/emoji"
    (work / "resources/emoji/mine.parquet").write_bytes(b"mine")
    assert str(resolve("resources/*/*.parquet")) == "resources/*/*.parquet"


def test_a_path_that_is_nowhere_stays_in_the_working_folder(folders, monkeypatch):
    assert str(resolve("results/new.pt")) == "results/new.pt"
    monkeypatch.delenv("MODELSOUPS_HOME")
    assert str(resolve("resources/emoji")) == "resources/emoji"
    with pytest.raises(ValueError, match="^resources/emoji: expected emoji, found nothing there"):
        require("resources/emoji", "emoji")
