import argparse
import pickle
import threading
import time
import zipfile
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from modelsoups.base.files import sha256
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.weights import foreign
from modelsoups.weights.checkpoints import write_weights
from modelsoups.weights.foreign import (
    check_fit,
    checkpoint_table,
    convert_released,
    fetch,
    read_checkpoint,
)

CLIP = BackboneSpec(library="open_clip", model="ViT-B-32-quickgelu", weights="random")
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
WIDTH, NUM_HEADS, NUM_BLOCKS, NUM_CLASSES = 768, 12, 12, 5


def released_state() -> dict[str, torch.Tensor]:
    """A random state dict with the names and shapes of the released files (fewer classes)."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape, scale=0.03, shift=0.0):
        return shift + scale * torch.randn(*shape, generator=generator)

    def norm(name):
        return {f"{name}.weight": random(WIDTH, shift=1.0), f"{name}.bias": random(WIDTH)}

    state = {
        "model.positional_embedding": random(77, 512),
        "model.text_projection": random(512, 512),
        "model.logit_scale": torch.tensor(4.6052),
        "model.visual.class_embedding": random(WIDTH),
        "model.visual.positional_embedding": random(50, WIDTH),
        "model.visual.proj": random(WIDTH, 512),
        "model.visual.conv1.weight": random(WIDTH, 3, 32, 32),
        **norm("model.visual.ln_pre"),
    }
    for number in range(NUM_BLOCKS):
        block = f"model.visual.transformer.resblocks.{number}"
        for name, rows, columns in [
            ("attn.in_proj_", 3 * WIDTH, WIDTH),
            ("attn.out_proj.", WIDTH, WIDTH),
            ("mlp.c_fc.", 4 * WIDTH, WIDTH),
            ("mlp.c_proj.", WIDTH, 4 * WIDTH),
        ]:
            state[f"{block}.{name}weight"] = random(rows, columns)
            state[f"{block}.{name}bias"] = random(rows)
        state |= norm(f"{block}.ln_1") | norm(f"{block}.ln_2")
    return {
        **state,
        **norm("model.visual.ln_post"),
        "model.token_embedding.weight": random(100, 512),
        "model.ln_final.weight": random(512),
        "model.ln_final.bias": random(512),
        "classification_head.weight": random(NUM_CLASSES, 512, scale=4),
        "classification_head.bias": random(NUM_CLASSES),
    }


def original_logits(state: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """What OpenAI's VisionTransformer and the authors' head compute, written out.

    Patches and a class token, positions, pre-norm blocks with QuickGELU, the class token's
    projection, normalised, and the head.
    """
    tower = {
        name.removeprefix("model.visual."): tensor
        for name, tensor in state.items()
        if name.startswith("model.visual.")
    }

    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), tower[f"{name}.weight"], tower[f"{name}.bias"])

    def linear(x, name):
        return F.linear(x, tower[f"{name}weight"], tower[f"{name}bias"])

    x = F.conv2d((images / 255 - MEAN) / STD, tower["conv1.weight"], stride=32)
    x = x.flatten(2).transpose(1, 2)  # (b, 49, width)
    token = tower["class_embedding"].expand(len(x), 1, WIDTH)
    x = torch.cat([token, x], dim=1) + tower["positional_embedding"]
    x = norm(x, "ln_pre")
    for number in range(NUM_BLOCKS):
        block = f"transformer.resblocks.{number}"
        q, k, v = (
            part.unflatten(-1, (NUM_HEADS, -1)).transpose(1, 2)
            for part in linear(norm(x, f"{block}.ln_1"), f"{block}.attn.in_proj_").chunk(3, dim=-1)
        )
        attention = (q @ k.mT / (WIDTH // NUM_HEADS) ** 0.5).softmax(dim=-1) @ v
        x = x + linear(attention.transpose(1, 2).flatten(2), f"{block}.attn.out_proj.")
        hidden = linear(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc.")
        x = x + linear(hidden * torch.sigmoid(1.702 * hidden), f"{block}.mlp.c_proj.")
    features = F.normalize(norm(x[:, 0], "ln_post") @ tower["proj"], dim=-1)
    return F.linear(
        features, state["classification_head.weight"], state["classification_head.bias"]
    )


@pytest.fixture(scope="module")
def state():
    return released_state()


@pytest.mark.slow
def test_converted_weights_give_the_original_logits(state, tmp_path):
    torch.save(state, tmp_path / "model_0.pt")
    model = build_classifier(CLIP, NUM_CLASSES).eval()
    model.load_state_dict(read_checkpoint(tmp_path / "model_0.pt"))
    images = torch.randint(0, 256, (2, 3, 224, 224), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = original_logits(state, images)
        assert expected.std() > 0.1
        torch.testing.assert_close(model(images), expected, atol=1e-4, rtol=1e-4)


def own_memory() -> int:
    """Bytes of memory that are this process's alone: mapped files do not count."""
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in x]
    return int(line.split()[1]) * 1024


def test_importing_takes_no_memory_beyond_the_file(state, tmp_path):
    torch.save(state, tmp_path / "model_0.pt")
    size = (tmp_path / "model_0.pt").stat().st_size
    with torch.device("meta"):  # open_clip, imported now, takes memory of its own
        expected = build_classifier(CLIP, NUM_CLASSES).state_dict()
    before = own_memory()
    weights = read_checkpoint(tmp_path / "model_0.pt")
    check_fit(weights, expected, "model_0.pt")
    write_weights(tmp_path / "weights.safetensors", weights)
    assert size > 300e6
    assert own_memory() - before < 0.1 * size


def test_half_precision_tensors_become_float32(state):
    half = {name: tensor.half() for name, tensor in state.items()}
    assert {tensor.dtype for tensor in convert_released(half, "x").values()} == {torch.float32}


def test_state_of_another_layout_is_refused(state):
    with pytest.raises(ValueError, match=r"x.pt: .*missing \['head.bias', 'head.weight'\]"):
        convert_released({k: v for k, v in state.items() if "head" not in k}, "x.pt")
    with pytest.raises(ValueError, match=r"unknown \['model.adapter'\]"):
        convert_released(state | {"model.adapter": torch.zeros(1)}, "x.pt")


def test_truncated_file_is_named(tmp_path):
    path = tmp_path / "model_3.pt"
    torch.save({"classification_head.weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="model_3.pt: the file is cut; copy or download it again"):
        read_checkpoint(path)


@pytest.mark.parametrize("length", [12, 100, 2000])
def test_truncated_file_of_torchs_earlier_format_is_named(tmp_path, length):
    path = tmp_path / "model_3.pt"
    torch.save({"a": torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="model_3.pt: the file is cut; copy or download it again"):
        read_checkpoint(path)


OTHER_FILES = {
    "an empty file": b"",
    "null bytes": b"\0" * 1000,
    "an HTML page": b"<!DOCTYPE html><html>Sign in</html>",
    "a text file that begins 'just some": b"just some notes, longer than what a pickle begins with",
    "a text file that begins 't'": b"t",
    "a text file that begins 'U is": b"U is an opcode of pickles",
    "the Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
    "a file that begins with the bytes 00 01": bytes(range(256)),
    "a folder": None,
}


@pytest.mark.parametrize("found", OTHER_FILES)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_what_is_no_checkpoint_at_all_is_named_with_what_it_is(tmp_path, suffix, found):
    path, content = tmp_path / f"model.{suffix}", OTHER_FILES[found]
    path.mkdir() if content is None else path.write_bytes(content)
    kind = {"pt": "file of torch.save", "safetensors": "safetensors file"}[suffix]
    with pytest.raises(
        ValueError, match=f"model.{suffix}: expected a {kind}, found {found}"
    ) as error:
        read_checkpoint(path)
    assert "download it again" not in str(error.value)


def write_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no weights")


def write_script(path):
    network = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    network.save(str(path))


def write_damaged(path):
    torch.save({"a": torch.ones(1000)}, path)
    content = path.read_bytes()
    path.write_bytes(content[:500] + content[700:])


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda path: torch.save(torch.nn.Linear(2, 2), path),
            "found torch.nn.modules.linear.Linear",
        ),
        (
            lambda path: torch.save({"w": torch.ones(1), "args": argparse.Namespace(a=1)}, path),
            r"found 'args': Namespace \(1 in all\); save the part that holds",
        ),
        (
            lambda path: path.write_bytes(pickle.dumps({"a": 1}, 2)),
            "found a pickle that is damaged",
        ),
        (
            lambda path: path.write_bytes(pickle.dumps({"a": 1}, 5)),
            "found a pickle that is damaged",
        ),
        (
            lambda path: torch.save({"a": torch.ones(1)}, path, pickle_protocol=4),
            "found a pickle of protocol 4 or later.* without `pickle_protocol`",
        ),
        (write_zip, "found a zip archive that is damaged or that torch.save did not write"),
        (write_damaged, "found a zip archive that is damaged or that torch.save did not write"),
        (write_script, "found a TorchScript program; save `torch.jit.load"),
        (lambda path: torch.save([torch.ones(1)], path), "found an object of type list"),
        (
            lambda path: torch.save({"state_dict": {"w": torch.ones(1)}, "epoch": 3}, path),
            r"found 'state_dict': dict, 'epoch': int \(2 in all\); save the part that holds",
        ),
        (lambda path: torch.save({0: torch.ones(1)}, path), "found 0: Tensor"),
        (lambda path: save_file({"a": torch.ones(1)}, path), r"a safetensors file; name it \*"),
    ],
)
def test_files_of_other_contents_are_refused_with_what_was_found(tmp_path, write, message):
    path = tmp_path / "model.pt"
    write(path)
    with pytest.raises(ValueError, match=f"model.pt: expected a .*{message}") as error:
        read_checkpoint(path)
    assert "weights_only" not in str(error.value)  # torch's advice is to run the file's code
    assert "download it again" not in str(error.value)


class Code:
    def __reduce__(self):
        return print, ("code of the file was run",)


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    torch.save({"classification_head.weight": Code()}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="tensors and nothing else"):
        read_checkpoint(tmp_path / "model.pt")
    assert "code of the file" not in capsys.readouterr().out


def test_files_of_torchs_earlier_format_are_read(tmp_path):
    weights = OrderedDict({"head.weight": torch.ones(3, 2), "head.bias": torch.arange(3.0)})
    torch.save(weights, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    found = read_checkpoint(tmp_path / "a.pt")
    assert found["head.bias"].tolist() == [0, 1, 2]


def test_own_weights_are_read_from_both_kinds_of_file(tmp_path):
    weights = {
        "backbone.w": torch.ones(2),
        "head.weight": torch.ones(3, 2),
        "head.bias": torch.ones(3),
    }
    write_weights(tmp_path / "a.safetensors", weights)
    torch.save(weights, tmp_path / "a.pt")
    for name in ("a.safetensors", "a.pt"):
        found = read_checkpoint(tmp_path / name)
        assert found.keys() == weights.keys()
        assert all(torch.equal(found[key], weights[key]) for key in weights)


def test_weights_of_another_model_are_refused_with_what_differs():
    expected = {"head.weight": torch.zeros(3, 2), "head.bias": torch.zeros(3)}
    weights = {"head.weight": torch.zeros(4, 2), "tail": torch.zeros(1)}
    message = (
        r"a.pt: .*head.bias is missing; head.weight has shape \(4, 2\), expected \(3, 2\); tail"
    )
    with pytest.raises(ValueError, match=message):
        check_fit(weights, expected, "a.pt")


def test_file_that_is_there_is_not_downloaded(tmp_path):
    (tmp_path / "model_0.pt").write_bytes(b"here")
    path = fetch(str(tmp_path / "model_0.pt"), "file:///nowhere/model_0.pt")
    assert path.read_bytes() == b"here"


def test_missing_file_is_downloaded_to_where_it_is_expected(tmp_path, monkeypatch):
    monkeypatch.setenv("RELEASED", str(tmp_path / "released"))
    (tmp_path / "server").mkdir()
    (tmp_path / "server/model_0.pt").write_bytes(b"weights")
    fetch("$RELEASED/model_0.pt", (tmp_path / "server/model_0.pt").as_uri())
    assert (tmp_path / "released/model_0.pt").read_bytes() == b"weights"


def test_unreachable_address_says_to_bring_the_file(tmp_path):
    with pytest.raises(ValueError, match="cannot be downloaded .*download it elsewhere"):
        fetch(str(tmp_path / "new/model_0.pt"), (tmp_path / "nothing.pt").as_uri())
    assert not list(tmp_path.iterdir())


@pytest.fixture
def server():
    """Address of a server, and the function that answers a request, to be set."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answers[self.path](self)

        def log_message(self, *args):
            pass

    answers = {}
    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=service.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{service.server_port}", answers
    service.shutdown()
    thread.join()
    service.server_close()


def answer(body, length=None, wait=0.0):
    """What sends these bytes, telling this length of them (None: none), then waits."""

    def send(handler):
        handler.send_response(200)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(body)
        time.sleep(wait)

    return send


def test_a_server_that_tells_no_length_is_downloaded_from(tmp_path, server):
    address, answers = server
    answers["/a.pt"] = answer(b"weights" * 10**6)
    path = fetch(str(tmp_path / "a.pt"), f"{address}/a.pt")
    assert path.read_bytes() == b"weights" * 10**6


def test_a_download_that_comes_short_is_refused_and_leaves_nothing(tmp_path, server):
    address, answers = server
    answers["/a.pt"] = answer(b"weights", length=100)
    with pytest.raises(ValueError, match="try again"):
        fetch(str(tmp_path / "a.pt"), f"{address}/a.pt")
    assert not list(tmp_path.iterdir())


def test_a_server_that_sends_nothing_more_is_given_up(tmp_path, server, monkeypatch):
    monkeypatch.setattr(foreign, "STALLED", 0.2)
    address, answers = server
    answers["/a.pt"] = answer(b"weights", length=100, wait=2)
    with pytest.raises(
        ValueError, match="a.pt: not there, and .* cannot be downloaded .*timed out"
    ):
        fetch(str(tmp_path / "a.pt"), f"{address}/a.pt")
    assert not list(tmp_path.iterdir())


def test_an_address_that_the_server_does_not_have_is_told(tmp_path, server):
    address, answers = server
    answers["/a.pt"] = lambda handler: handler.send_error(404)
    with pytest.raises(ValueError, match=r"cannot be downloaded \(HTTP Error 404: Not Found\)"):
        fetch(str(tmp_path / "a.pt"), f"{address}/a.pt")


def test_room_on_the_disk_is_asked_for_where_the_length_is_told(tmp_path, server):
    address, answers = server
    answers["/a.pt"] = answer(b"", length=2**60)
    with pytest.raises(ValueError, match=r"a.pt: needs 1,073,741,824.0 GiB, but the disk has"):
        fetch(str(tmp_path / "a.pt"), f"{address}/a.pt")


def test_a_download_of_another_content_is_refused_and_leaves_nothing(tmp_path, server):
    address, answers = server
    answers["/a.pt"] = answer(b"<html>Log in</html>")
    digest = "0" * 64
    with pytest.raises(
        ValueError, match=f"/a.pt: expected a file of SHA-256 {digest}, found one of"
    ):
        fetch(str(tmp_path / "a.pt"), f"{address}/a.pt", digest)
    assert not list(tmp_path.iterdir())
    path = tmp_path / "right"
    path.write_bytes(b"<html>Log in</html>")
    fetch(str(tmp_path / "a.pt"), f"{address}/a.pt", sha256(path).upper())
    assert (tmp_path / "a.pt").read_bytes() == path.read_bytes()


def test_a_file_that_is_there_is_checked_too(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(b"weights")
    assert fetch(str(path), None, sha256(path)) == path
    with pytest.raises(ValueError, match="a.pt: expected a file of SHA-256 0.*delete the file"):
        fetch(str(path), "file:///nowhere", "0" * 64)


def test_missing_file_without_address_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="model_0.pt: expected a checkpoint, found nothing there"):
        fetch(str(tmp_path / "model_0.pt"), None)


def test_same_weights_twice_are_told_of_and_kept(caplog):
    records = [
        {
            "model": name,
            "spec": {"file": f"{name}.pt", "url": None},
            "inputs": {"file": f"hash of {name}"},
            "weights_sha256": weights,
        }
        for name, weights in [("003", "x"), ("004", "y"), ("005", "y")]
    ]
    table = checkpoint_table(records)
    assert table.run.tolist() == ["003", "004", "005"]
    assert table.same_as.tolist() == ["", "", "004"]
    assert "005 has the same weights as 004; both are kept" in caplog.text
