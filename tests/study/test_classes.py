import pytest

from modelsoups.study.classes import list_ids, read_ids


def test_ids_are_those_of_the_file_or_those_that_stand_there(tmp_path):
    (tmp_path / "classes.csv").write_text("id,name\nn01,cat\nn02,dog\n")
    assert list_ids("classes.csv", lambda path: f"{tmp_path}/{path}") == ["n01", "n02"]
    assert list_ids(["cat", "dog"]) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"classes.csv cannot be read \(No such file or directory\)"),
        ("", "classes.csv: expected a column id, .* found no rows"),
        ("name\ncat\n", r"classes.csv: expected a column id, .* found \['name'\]"),
    ],
)
def test_file_that_has_no_ids_is_told(tmp_path, text, message):
    path = tmp_path / "classes.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_ids(str(path))
