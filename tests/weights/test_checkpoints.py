import json
import os
import re
import resource
import signal
import struct
import subprocess
import sys

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from checkouts import wait_for
from modelsoups.base.files import sha256
from modelsoups.weights.checkpoints import (
    Checkpoint,
    InMemory,
    check_alike,
    find_tied,
    read_rows,
    read_weights,
    write_weights,
)


def test_more_files_than_the_usual_limit_are_open_at_once(tmp_path):
    write_weights(tmp_path / "w.safetensors", {"a": torch.ones(1)})
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    there = len(os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (there + 5, before[1]))
    try:
        opened = [Checkpoint(tmp_path / "w.safetensors") for _ in range(20)]
        assert len({each.load()["a"].item() for each in opened}) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


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


def test_a_file_has_the_bytes_that_the_safetensors_package_writes(tmp_path):
    generator = torch.Generator().manual_seed(0)
    dtypes = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
    dtypes += [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
    weights = {
        f"{name}.{dtype}": torch.randn(5, 3, generator=generator).mul(9).to(dtype)
        for dtype in dtypes
        for name in ("layers.10", "layers.9", "größe", 'a"b\\c\n\x01\x7f')
    }
    weights |= {
        "scalar": torch.tensor(2.5),
        "none": torch.empty(0, 4),
        "none.int": torch.empty(0).int(),
    }
    for length in range(8):  # the header is filled up to a multiple of eight bytes
        named = weights | {"x" * length: torch.ones(1)}
        write_weights(tmp_path / "ours", named)
        save_file(named, tmp_path / "theirs", metadata={"format": "pt"})
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    write_weights(tmp_path / "ours", {})
    save_file({}, tmp_path / "theirs", metadata={"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_equal_weights_and_metadata_give_equal_bytes(tmp_path):
    metadata = {key: key for key in "abcdefgh"}
    hashes = set()
    for _ in range(5):
        write_weights(tmp_path / "w", {"a": torch.ones(2)}, metadata)
        hashes.add(sha256(tmp_path / "w"))
    assert len(hashes) == 1
    with safe_open(tmp_path / "w", "pt") as file:
        assert file.metadata() == {"format": "pt", **{key: f'"{key}"' for key in "abcdefgh"}}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_mode_of_a_file_of_weights_follows_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_weights(tmp_path / "w", {"a": torch.ones(2)})
        write_weights(tmp_path / "w", {"a": torch.ones(3)})  # replaced
    finally:
        os.umask(before)
    assert (tmp_path / "w").stat().st_mode & 0o777 == mode


def test_a_process_killed_while_it_writes_weights_leaves_drafts_alone(tmp_path):
    path = tmp_path / "w.safetensors"
    program = (
        "import torch; from modelsoups.weights.checkpoints import write_weights\n"
        f"while True: write_weights({str(path)!r}, {{'a': torch.ones(10_000_000)}})"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_for(lambda: any(each.name != path.name for each in tmp_path.iterdir()), "a draft")
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    left = [each.name for each in tmp_path.iterdir() if each.name != path.name]
    assert all(re.fullmatch(r"\.w\.safetensors\..*\.draft", name) for name in left), left


def test_a_dtype_that_no_file_holds_is_named_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"w: expected tensors of .*, found a \(torch.complex64\)"):
        write_weights(tmp_path / "w", {"a": torch.ones(1).to(torch.complex64), "b": torch.ones(1)})
    assert not list(tmp_path.iterdir())


def test_views_of_one_tensor_are_written_by_value(tmp_path):
    both = torch.arange(6.0)
    write_weights(tmp_path / "w", {"a": both[:4], "b": both[2:], "c": both.view(2, 3).T})
    found = load_file(tmp_path / "w")
    assert found["a"].tolist() == [0, 1, 2, 3]
    assert found["b"].tolist() == [2, 3, 4, 5]
    assert found["c"].tolist() == [[0, 3], [1, 4], [2, 5]]


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


def tied_file(path, metadata):
    """A file with the tensors `embedding` and `norm`, and these metadata."""
    tensors = {"embedding": torch.arange(6.0).view(2, 3), "norm": torch.ones(3)}
    save_file(tensors, path, metadata=metadata)


def test_files_that_name_ties_in_the_earlier_way_are_read_as_before(tmp_path):
    path = tmp_path / "w.safetensors"
    tied_file(path, {"format": "pt", "tied": json.dumps({"head": "embedding"})})
    found = read_weights(path)
    assert [*found] == ["embedding", "norm", "head"]
    assert found["head"] is found["embedding"]


@pytest.mark.parametrize(
    "text",
    ["yes", "true", "[]", '["embedding"]', '{"head": "wte"}', '{"norm": "embedding"}', '{"a": 1}'],
)
def test_metadata_of_others_that_are_named_tied_are_not_taken_for_ours(tmp_path, text):
    path = tmp_path / "w.safetensors"
    tied_file(path, {"format": "pt", "tied": text})
    assert {key: t.numel() for key, t in read_weights(path).items()} == {"embedding": 6, "norm": 3}


@pytest.mark.parametrize("text", ["yes", '{"head": "wte"}', '{"norm": "embedding"}'])
def test_ties_of_our_own_that_do_not_fit_the_tensors_are_refused(tmp_path, text):
    path = tmp_path / "w.safetensors"
    tied_file(path, {"modelsoups.tied": text})
    with pytest.raises(
        ValueError, match="its metadata modelsoups.tied = .* do not fit its tensors"
    ):
        read_weights(path)


def test_ties_written_now_have_a_name_of_their_own(tmp_path):
    shared = torch.ones(2)
    write_weights(tmp_path / "w.safetensors", {"a": shared, "b": shared})
    metadata = Checkpoint(tmp_path / "w.safetensors").metadata
    assert metadata == {"format": "pt", "modelsoups.tied": '{"b": "a"}'}


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
    part = Checkpoint(tmp_path / "w.safetensors").read("b", 4, 3)
    assert part.tolist() == [4, 5, 6]


def test_rows_of_files_and_of_memory_come_in_the_blocks_dtype(tmp_path):
    save_file({"b": torch.arange(10.0)}, tmp_path / "float32")
    save_file({"b": -torch.arange(10.0).bfloat16()}, tmp_path / "bfloat16")
    sources = [
        Checkpoint(tmp_path / "float32"),
        InMemory("ours", {"b": torch.arange(10.0) / 2}),
        Checkpoint(tmp_path / "bfloat16"),
    ]
    for dtype in (torch.float32, torch.float64):
        block = torch.full((4, 3), -1, dtype=dtype)
        read_rows(sources, "b", 4, block[:3])
        assert block.tolist() == [[4, 5, 6], [2, 2.5, 3], [-4, -5, -6], [-1, -1, -1]]


def test_a_cut_file_is_refused_with_both_sizes(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    size = path.stat().st_size
    with pytest.raises(
        ValueError,
        match=rf"w\.safetensors: not a whole .* it is cut \({size:,} bytes, its header says "
        rf"{size + 100:,}\); copy or download it again",
    ):
        Checkpoint(path)


def test_a_file_cut_within_its_header_is_refused_with_both_sizes(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(100)}, path)
    length = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(
        ValueError, match=rf"it is cut \(30 bytes, its header says {length}\); copy"
    ):
        Checkpoint(path)


def test_a_file_with_bytes_behind_its_tensors_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(100)}, path)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ValueError, match=f"it has {size + 4} bytes, its header says {size}$"):
        Checkpoint(path)


OTHER_FILES = {
    "an empty file": b"",
    "a zip archive": b"PK\x03\x04 a torch file",
    "a file that begins with the bytes ff ff": b"\xff" * 64,
    "null bytes": b"\0" * 64,
    "an HTML page": b"<!doctype html><p>Log in",
    "a text file that begins": b'{"some": {"json": 1}}',
    "a folder": None,
}


@pytest.mark.parametrize("what", OTHER_FILES)
def test_another_kind_of_file_is_refused_with_what_it_is(tmp_path, what):
    path, content = tmp_path / "w.safetensors", OTHER_FILES[what]
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(
        ValueError, match=f"w.safetensors: expected a safetensors file, found {what}"
    ):
        Checkpoint(path)


def write_header(path, header, data=b""):
    """A safetensors file with this header (a dictionary, or JSON) and these bytes of tensors."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def floats(start, stop, count=None):
    """An entry of a header: a vector of float32 in these bytes."""
    shape = [(stop - start) // 4 if count is None else count]
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": floats(0, 8), "b": floats(4, 16)}, r"b \(data_offsets \[4, 16\]\) begins within a"),
        ({"a": floats(0, 16), "b": floats(0, 16)}, "b .* begins within a"),
        ({"a": floats(8, 16)}, "a .* leaves a gap after the header"),
        ({"a": floats(0, 4), "b": floats(8, 16)}, "b .* leaves a gap after a"),
        (
            {"a": floats(-4, 16)},
            r"a has shape \[5\] and data_offsets \[-4, 16\]; expected integers",
        ),
        ({"b": floats(0, 16), "a": floats(-8, 0)}, "a has .* expected integers from 0 on"),
        (
            {"a": floats(0, 16) | {"shape": [-2, -2]}},
            r"a has shape \[-2, -2\] .* expected integers",
        ),
        ({"a": floats(0, 16) | {"shape": [4.0]}}, "a has .* expected integers from 0 on"),
        ({"a": floats(0, 16, count=3)}, "a takes 16 bytes, which is not its shape"),
        ({"a": {"dtype": "F32", "shape": [4]}}, "a has no dtype, shape and data_offsets but {"),
        ({"a": {**floats(0, 16), "shape": 4}}, "a has no dtype, shape and data_offsets but"),
        ({"a": None}, "a has no dtype, shape and data_offsets but null"),
        ({"a": floats(0, 16), "__metadata__": ["x"]}, "its metadata are"),
        (b'{"a": 1, "a": 2}', "a stands there twice"),
        (b"{not json}", "Expecting property name"),
        (b'{"a":' + b"[" * 100_000 + b"}", "maximum recursion depth"),
    ],
)
def test_a_header_that_breaks_a_rule_of_the_format_is_refused_by_name(tmp_path, header, message):
    path = tmp_path / "w.safetensors"
    write_header(path, header, bytes(16))
    with pytest.raises(ValueError, match=f"w.safetensors: not a whole safetensors file: {message}"):
        Checkpoint(path)
    with pytest.raises(SafetensorError):  # as the format's own package does
        safe_open(path, "pt")


def test_tensors_may_lie_in_any_order_and_have_no_element(tmp_path):
    path = tmp_path / "w.safetensors"
    header = {"b": floats(8, 16), "none": floats(8, 8), "a": floats(0, 8), "last": floats(16, 16)}
    write_header(path, header, struct.pack("<4f", 1, 2, 3, 4))
    found = read_weights(path)
    assert {key: tensor.tolist() for key, tensor in found.items()} == {
        "b": [3, 4],
        "none": [],
        "a": [1, 2],
        "last": [],
    }


def test_an_unknown_dtype_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    write_header(path, {"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}, b"ab")
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
