import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from modelsoups.weights.checkpoints import (
    Checkpoint,
    InMemory,
    check_alike,
    find_tied,
    read_weights,
    write_weights,
)


def test_weights_of_every_dtype_and_shape_survive_a_file(tmp_path):
    weights = {
        "matrix": torch.randn(3, 5),
        "half": torch.randn(7).half(),
        "brain": torch.randn(2, 1, 2).bfloat16(),
        "counter": torch.tensor(41),
        "mask": torch.tensor([True, False, True]),
        "empty": torch.empty(0, 4),
        "double": torch.randn(2).double(),
    }
    write_weights(tmp_path / "weights.safetensors", weights)
    found = read_weights(tmp_path / "weights.safetensors")
    assert {key: (t.dtype, t.shape) for key, t in found.items()} == {
        key: (t.dtype, t.shape) for key, t in weights.items()
    }
    assert all(found[key].equal(weights[key]) for key in weights)


def test_channels_last_weights_are_written_by_value(tmp_path):
    kernel = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    write_weights(tmp_path / "weights.safetensors", {"kernel": kernel})
    assert load_file(tmp_path / "weights.safetensors")["kernel"].equal(kernel)


def test_tied_tensors_are_stored_once_and_come_back_tied(tmp_path):
    embedding = torch.randn(100, 10)
    weights = {"embedding": embedding, "norm": torch.ones(10), "head": embedding}
    write_weights(tmp_path / "weights.safetensors", weights)
    assert (tmp_path / "weights.safetensors").stat().st_size < 1.5 * embedding.nbytes
    found = read_weights(tmp_path / "weights.safetensors")
    assert found["head"] is found["embedding"]
    assert found["head"].equal(embedding)


def test_a_transposed_view_is_not_tied():
    square = torch.randn(3, 3)
    assert find_tied(InMemory("", {"a": square, "b": square.T}).entries) == {}
    assert find_tied(InMemory("", {"a": square, "b": square}).entries) == {"b": "a"}


def test_metadata_are_json_in_the_header(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, {"w": torch.zeros(1)}, {"ingredients": ["000", "017"]})
    assert json.loads(Checkpoint(path).metadata["ingredients"]) == ["000", "017"]


def test_a_part_of_a_tensor_is_read_without_the_rest(tmp_path):
    save_file({"a": torch.ones(3), "b": torch.arange(10.0)}, tmp_path / "w.safetensors")
    buffer = torch.full((5,), -1.0)
    part = Checkpoint(tmp_path / "w.safetensors").read("b", 4, 7, buffer)
    assert part.tolist() == [4, 5, 6]
    assert buffer.tolist() == [4, 5, 6, -1, -1]


def test_a_cut_file_is_refused_with_both_sizes(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    size = path.stat().st_size
    with pytest.raises(
        ValueError, match=rf"w\.safetensors: not a whole .*{size:,} bytes.* {size + 100:,}"
    ):
        Checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a torch file", b"\xff" * 64])
def test_another_kind_of_file_is_refused(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        Checkpoint(tmp_path / "w.safetensors")


def test_an_unknown_dtype_is_named(tmp_path):
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"ab")
    with pytest.raises(ValueError, match="a has dtype F8_E4M3, not one of"):
        Checkpoint(path)


def test_every_offending_key_of_every_file_is_named_before_data_are_read(tmp_path):
    def shape_only(**shapes):
        return {key: torch.full(shape, torch.nan) for key, shape in shapes.items()}

    save_file(shape_only(a=(2,), b=(3,), c=(4,)), tmp_path / "0.safetensors")
    save_file(shape_only(a=(2,), b=(5,), d=(1,)), tmp_path / "1.safetensors")
    save_file(shape_only(a=(2,), b=(3,), c=(4,)), tmp_path / "2.safetensors")
    save_file({"a": torch.ones(2), "b": torch.ones(3), "c": torch.ones(4).long()}, tmp_path / "3")
    paths = [tmp_path / name for name in ("0.safetensors", "1.safetensors", "2.safetensors", "3")]
    with pytest.raises(ValueError) as error:
        check_alike([Checkpoint(path) for path in paths])
    lines = str(error.value).splitlines()
    assert "2 of 4 weights do not fit those of" in lines[0]
    assert lines[1:] == [
        f"  {paths[1]}: b has shape (5,), expected (3,); c is missing; d is not expected",
        f"  {paths[3]}: c is torch.int64, expected torch.float32",
    ]


def test_weights_tied_in_one_file_only_are_refused():
    shared = torch.ones(2)
    tied = InMemory("tied", {"a": shared, "b": shared})
    free = InMemory("free", {"a": torch.ones(2), "b": torch.ones(2)})
    with pytest.raises(ValueError, match="free: b is tied to nothing, expected a"):
        check_alike([tied, free])


def test_a_key_of_several_floating_dtypes_gets_the_widest_with_a_warning(caplog):
    sources = [
        InMemory(str(dtype), {"a": torch.ones(2, dtype=dtype), "b": torch.ones(2)})
        for dtype in (torch.float16, torch.bfloat16, torch.float16)
    ]
    assert check_alike(sources)["a"].dtype == torch.float32
    assert "a: several floating dtypes; the widest is kept" in caplog.text
