"""Models made elsewhere are looked at before anything is computed."""

from pathlib import Path

import pytest
import timm
import torch

import own_models
from modelsoups.models.check import check_function, check_own


def save(tmp_path):
    """Two checkpoints of timm's script, and a state dict that they were fine-tuned from."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    runs = {name: str(own_models.save_timm_train(tmp_path / name, 1)) for name in ("a", "b")}
    start = timm.create_model("test_efficientnet", num_classes=3).state_dict()
    torch.save(start, tmp_path / "start.pt")
    return {"initialization": str(tmp_path / "start.pt"), **runs}


def test_what_models_are_is_found_out_from_one_that_was_trained(tmp_path):
    """What they were fine-tuned from does not say it."""
    found = check_own(save(tmp_path), {"library": "timm"}, own_models.CLASSES)
    assert found.startswith("3 models, test_efficientnet of timm, fit together; assumed")
    assert "timm's train.py and its arguments" in found


def test_all_models_that_cannot_be_read_are_named(tmp_path):
    files = save(tmp_path)
    Path(files["a"]).write_bytes(Path(files["a"]).read_bytes()[:3000])
    Path(files["b"]).unlink()
    with pytest.raises(ValueError, match=r"(?s)2 of 3 models cannot be read:.* a: .*cut.* b: .*No"):
        check_own(files, {"library": "timm"}, own_models.CLASSES)


def test_function_of_ones_own_that_is_not_there_is_named():
    assert check_function("own_models:build_net") == "it is there"
    with pytest.raises(ValueError, match="own_models:brier: expected `package.module:function`"):
        check_function("own_models:brier")
