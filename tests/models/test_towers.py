import pytest
import torch
from torch import nn

from modelsoups.models.towers import (
    find_weights,
    load_in_order,
    read_state_dict,
)


def test_missing_weights_file_is_named():
    with pytest.raises(ValueError, match="no weights file nowhere.pth"):
        find_weights("nowhere.pth")


@pytest.mark.parametrize("content", [b"weights", b""], ids=["text", "empty"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_file_that_holds_no_weights_is_refused_by_name(tmp_path, content, suffix):
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"w.{suffix}"):
        read_state_dict(path)


def test_weights_of_another_architecture_are_refused():
    model = nn.Linear(2, 3)
    with pytest.raises(ValueError, match="w.pth: expected 2 tensors, found 1"):
        load_in_order(model, {"kernel": torch.zeros(3, 2)}, "w.pth")
    other = {"kernel": torch.zeros(2, 2), "offset": torch.zeros(3)}
    with pytest.raises(ValueError, match=r"do not fit: weight \(2, 2\) instead of \(3, 2\)"):
        load_in_order(model, other, "w.pth")
