import pytest
import torch
import torch.nn.functional as F

from modelsoups.models.backbones import BackboneSpec, build_classifier
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


def test_converted_weights_give_the_original_logits(state, tmp_path):
    torch.save(state, tmp_path / "model_0.pt")
    model = build_classifier(CLIP, NUM_CLASSES).eval()
    model.load_state_dict(read_checkpoint(tmp_path / "model_0.pt"))
    images = torch.randint(0, 256, (2, 3, 224, 224), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = original_logits(state, images)
        assert expected.std() > 0.1
        torch.testing.assert_close(model(images), expected, atol=1e-4, rtol=1e-4)


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
    with pytest.raises(ValueError, match="model_3.pt: expected a whole file .*download it again"):
        read_checkpoint(path)


class Code:
    def __reduce__(self):
        return print, ("code of the file was run",)


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    torch.save({"classification_head.weight": Code()}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="tensors and nothing else"):
        read_checkpoint(tmp_path / "model.pt")
    assert "code of the file" not in capsys.readouterr().out


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


def test_missing_file_is_downloaded_to_its_place(tmp_path, monkeypatch):
    monkeypatch.setenv("RELEASED", str(tmp_path / "released"))
    (tmp_path / "server").mkdir()
    (tmp_path / "server/model_0.pt").write_bytes(b"weights")
    fetch("$RELEASED/model_0.pt", (tmp_path / "server/model_0.pt").as_uri())
    assert (tmp_path / "released/model_0.pt").read_bytes() == b"weights"


def test_unreachable_address_says_to_bring_the_file(tmp_path):
    with pytest.raises(ValueError, match="cannot be reached .*download it elsewhere"):
        fetch(str(tmp_path / "model_0.pt"), (tmp_path / "nothing.pt").as_uri())
    assert not list(tmp_path.iterdir())


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
