"""Files of sweeps whose models exist already."""

import pytest

from modelsoups.study.checkpoints import CheckpointSpec, expand_files, list_checkpoints


def test_checkpoints_are_numbered_by_their_file_and_one_is_the_initialization():
    sweep = {
        "files": "$HOME/model_{0..2}.pt",
        "url": "https://example.org/v1",
        "initialization": "$HOME/model_1.pt",
    }
    models = list_checkpoints(sweep)
    assert list(models) == ["000", "initialization", "002"]
    assert models["002"] == CheckpointSpec(
        file="$HOME/model_2.pt", url="https://example.org/v1/model_2.pt"
    )


def test_files_of_a_star_are_sorted_with_numbers_by_value(tmp_path, monkeypatch):
    monkeypatch.setenv("PLACE", str(tmp_path))
    for name in ("model_10.pt", "model_9.pt", "model_1.pt", "notes.txt"):
        (tmp_path / name).touch()
    names = [f"$PLACE/model_{number}.pt" for number in (1, 9, 10)]
    assert expand_files("$PLACE/model_*.pt") == names
    with pytest.raises(ValueError, match=r"nothing matches \$PLACE/\*.bin"):
        expand_files("$PLACE/*.bin")


def test_files_may_be_a_list():
    models = list_checkpoints({"files": ["b.pt", "a.safetensors"]})
    assert {name: spec.file for name, spec in models.items()} == {
        "000": "b.pt",
        "001": "a.safetensors",
    }
    assert models["000"].url is None


def test_initialization_must_be_one_of_the_files():
    with pytest.raises(ValueError, match="initialization: c.pt is none of the 2 files"):
        list_checkpoints({"files": ["a.pt", "b.pt"], "initialization": "c.pt"})


def test_zeros_of_a_range_are_kept():
    assert expand_files("run_{00..11}.pt")[:2] == ["run_00.pt", "run_01.pt"]
    assert expand_files("run_{00..11}.pt")[-1] == "run_11.pt"
    assert expand_files("run_{8..11}.pt") == ["run_8.pt", "run_9.pt", "run_10.pt", "run_11.pt"]


def test_range_that_runs_backwards_is_refused():
    with pytest.raises(ValueError, match="runs backwards"):
        expand_files("model_{3..1}.pt")


def test_star_may_stand_in_a_folders_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", str(tmp_path))
    for name in ("run10", "run9"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
    assert expand_files("$HERE/run*/model.safetensors") == [
        "$HERE/run9/model.safetensors",
        "$HERE/run10/model.safetensors",
    ]


def test_hash_of_a_file_is_known_by_its_name():
    sweep = {"files": ["runs/a.pt", "runs/b.pt"], "sha256": {"b.pt": "0" * 64}}
    models = list_checkpoints(sweep)
    assert (models["000"].sha256, models["001"].sha256) == (None, "0" * 64)
    with pytest.raises(ValueError, match=r"sha256: \['c.pt'\] are names of none of the 2 files"):
        list_checkpoints({**sweep, "sha256": {"c.pt": "0" * 64}})
