"""The folded model is the plain one: same names, logits, gradients and training, up to rounding."""

import copy

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelsoups.models import folding as fast


def to_channels_last(model: nn.Module) -> nn.Module:
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def make_model(act_layer: str | None = None) -> nn.Module:
    """A model with frozen statistics that are far from the identity."""
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0", num_classes=5, act_layer=act_layer).train()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eval()
            nn.init.normal_(norm.get_buffer("running_mean"), 0, 0.1)
            nn.init.uniform_(norm.get_buffer("running_var"), 0.7, 1.5)
            nn.init.uniform_(norm.weight, 0.8, 1.3)
            nn.init.normal_(norm.bias, 0, 0.1)
    return to_channels_last(model)


def make_images(num: int = 4, pixels: int = 64, dtype: torch.dtype = torch.float32) -> Tensor:
    images = torch.randn(num, 3, pixels, pixels, generator=torch.Generator().manual_seed(1))
    return images.to(dtype).contiguous(memory_format=torch.channels_last)


def logits_and_gradients(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    logits = model(images)
    F.cross_entropy(logits, torch.arange(len(images)) % 5).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.detach()} | gradients


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    """Largest difference in each tensor, relative to that tensor's largest value."""
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        error = (found[name] - tensor).abs().max() / tensor.abs().max()
        assert error < tolerance, f"{name}: relative error {error:.1e}"


@pytest.mark.parametrize("pixels", [64, 65, 96])
def test_logits_and_every_gradient_equal_the_plain_models(pixels: int) -> None:
    plain = make_model().double()
    folded = copy.deepcopy(plain)
    assert fast.fold_frozen_norms(folded) == 49  # each of the network's convolutions
    images = make_images(pixels=pixels, dtype=torch.float64)
    wanted = logits_and_gradients(plain, images)
    assert len(wanted) == 1 + len(list(plain.parameters()))
    assert_close(logits_and_gradients(folded, images), wanted, 1e-10)


@pytest.mark.parametrize("pixels", [64, 65])
def test_float32_rounds_no_worse_than_the_plain_model(pixels: int) -> None:
    plain = make_model(act_layer="silu")  # smooth: rounding moves no input across a ReLU6's kink
    folded = copy.deepcopy(plain)
    fast.fold_frozen_norms(folded)
    images = make_images(pixels=pixels)
    exact = logits_and_gradients(copy.deepcopy(plain).double(), images.double())
    found, wanted = logits_and_gradients(folded, images), logits_and_gradients(plain, images)
    for name, tensor in exact.items():
        error, plain_error = (((t[name] - tensor).norm() / tensor.norm()) for t in (found, wanted))
        assert error < 3 * plain_error + 1e-5, f"{name}: {error:.1e}, plain {plain_error:.1e}"


@pytest.mark.parametrize("kernel", [3, 5, (3, 5)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "size", [(2, 2), (3, 3), (4, 4), (5, 8), (7, 7), (8, 8), (16, 15)], ids=str
)
@pytest.mark.parametrize("same", [False, True])
def test_depthwise_gradients(
    kernel: int | tuple[int, int], stride: int, size: tuple[int, int], same: bool
) -> None:
    torch.manual_seed(0)
    conv: nn.Conv2d
    if same:
        conv = timm.layers.Conv2dSame(6, 6, kernel, stride, groups=6, bias=False)
    else:
        conv = nn.Conv2d(6, 6, kernel, stride, padding=1, groups=6)
    norm = nn.BatchNorm2d(6)
    nn.init.uniform_(norm.weight)
    plain = nn.Sequential(conv, norm).double().eval()
    folded = copy.deepcopy(plain)
    assert fast.fold_frozen_norms(folded) == 1
    x = torch.randn(3, 6, *size, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    if not same and min(size) + 2 < (kernel if isinstance(kernel, int) else max(kernel)):
        pytest.skip("kernel larger than the padded map")
    wanted, found = plain(x), folded(x)
    torch.testing.assert_close(found, wanted)
    grad = torch.randn_like(wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found, [x, *folded.parameters()], grad),
        torch.autograd.grad(wanted, [x, *plain.parameters()], grad),
    )


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
def test_convolution_of_one_channel_to_one(kernel: int, stride: int, padding: int) -> None:
    """It is depthwise and not grouped at once."""
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(1, 1, kernel, stride, padding), nn.BatchNorm2d(1)
    plain = nn.Sequential(conv, norm).double().eval()
    folded = copy.deepcopy(plain)
    assert fast.fold_frozen_norms(folded) == 1
    x = torch.randn(2, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    wanted, found = plain(x), folded(x)
    torch.testing.assert_close(found, wanted)
    grad = torch.randn_like(wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found, [x, *folded.parameters()], grad),
        torch.autograd.grad(wanted, [x, *plain.parameters()], grad),
    )


def test_depthwise_gradient_beyond_the_limit_of_position_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = make_model().double()
    folded = copy.deepcopy(plain)
    fast.fold_frozen_norms(folded)
    monkeypatch.setattr(fast, "MAX_POSITION_PAIRS", 0)
    images = make_images(dtype=torch.float64)
    wanted = logits_and_gradients(plain, images)
    assert_close(logits_and_gradients(folded, images), wanted, 1e-10)


def test_training_takes_the_same_course() -> None:
    plain = make_model().double()
    folded = copy.deepcopy(plain)
    fast.fold_frozen_norms(folded)
    images, labels = make_images(8, 32, torch.float64), torch.arange(8) % 5
    losses: list[list[float]] = []
    for model in (plain, folded):
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
        losses.append([])
        for _ in range(5):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0][-1] < losses[0][0]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_state_dict_keeps_names_and_values_and_loads_back() -> None:
    plain = make_model()
    folded = copy.deepcopy(plain)
    fast.fold_frozen_norms(folded)
    assert list(folded.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in folded.named_modules()] == [
        name for name, _ in plain.named_modules()
    ]
    other = make_model()
    nn.init.normal_(other.get_parameter("classifier.weight"))
    nn.init.uniform_(other.get_parameter("bn1.weight"))
    folded.load_state_dict(other.state_dict())
    images = make_images()
    torch.testing.assert_close(folded(images), other(images), rtol=1e-3, atol=1e-3)


def test_a_copy_uses_its_own_weights() -> None:
    model = make_model().eval()
    fast.fold_frozen_norms(model)
    images = make_images()
    before = model(images)
    changed = copy.deepcopy(model)
    nn.init.zeros_(changed.get_parameter("bn1.weight"))
    assert torch.equal(model(images), before)
    assert not torch.allclose(changed(images), before)


def test_norm_in_training_mode_uses_and_updates_batch_statistics() -> None:
    plain = make_model().train().double()
    folded = copy.deepcopy(plain)
    fast.fold_frozen_norms(folded)
    images = make_images(dtype=torch.float64)
    wanted = logits_and_gradients(
        plain, images
    )  # some of them zero: the next norm takes a bias out
    torch.testing.assert_close(logits_and_gradients(folded, images), wanted, rtol=1e-9, atol=1e-12)
    buffers = dict(plain.named_buffers())
    torch.testing.assert_close(dict(folded.named_buffers()), buffers, rtol=1e-12, atol=1e-12)


def test_gradients_in_bfloat16_round_no_worse_than_the_plain_models() -> None:
    plain = make_model(act_layer="silu")
    folded = copy.deepcopy(plain)
    fast.fold_frozen_norms(folded)
    images = make_images()
    exact = logits_and_gradients(copy.deepcopy(plain).double(), images.double())
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = logits_and_gradients(folded, images), logits_and_gradients(plain, images)
    assert all(t.dtype == torch.float32 for name, t in found.items() if name != "logits")
    for name, tensor in exact.items():
        error, plain_error = (((t[name] - tensor).norm() / tensor.norm()) for t in (found, wanted))
        assert error < 3 * plain_error + 1e-3, f"{name}: {error:.1e}, plain {plain_error:.1e}"


def test_relu6_in_place_has_the_plain_ones_gradient_and_keeps_no_copy() -> None:
    x = torch.tensor([-1.0, 0.0, 0.5, 6.0, 7.0], requires_grad=True)
    model = nn.Sequential(nn.ReLU6(inplace=True))
    fast.fold_frozen_norms(model)
    y = x * 1
    out = model(y)
    out.sum().backward()
    assert out.data_ptr() == y.data_ptr()
    assert out.tolist() == [0.0, 0.0, 0.5, 6.0, 6.0]
    assert x.grad is not None and x.grad.tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]


def test_inference_mode_and_autocast() -> None:
    plain = make_model().eval()
    folded = copy.deepcopy(plain)
    fast.fold_frozen_norms(folded)
    images = make_images()
    with torch.inference_mode():
        wanted = plain(images)
        torch.testing.assert_close(folded(images), wanted, rtol=1e-3, atol=1e-3)
        with torch.autocast("cpu", torch.bfloat16):
            error = (folded(images) - wanted).norm() / wanted.norm()
    assert error < 0.05  # bfloat16 keeps 8 bits through 49 layers


def test_vision_transformer_stays_as_it_is() -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=5)
    classes = [type(module) for module in model.modules()]
    assert fast.fold_frozen_norms(model) == 0
    assert [type(module) for module in model.modules()] == classes


class Branched(nn.Module):
    """The first convolution's output is also used beside its norm; only the second is folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = x + self.norm1(x)
        return self.norm2(self.conv2(x))


class Untraceable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Branched()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.sum() > 0 else -self.inner(x)


@pytest.mark.parametrize("kind", [Branched, Untraceable])
def test_only_convolutions_used_by_their_norm_alone_are_folded(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    plain = kind().eval()
    for norm in plain.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 2, 3)
    folded = copy.deepcopy(plain)
    assert fast.fold_frozen_norms(folded) == 1
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(folded(x), plain(x))


def test_modules_that_are_called_twice_are_not_folded() -> None:
    conv, norm, last = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    assert fast.fold_frozen_norms(nn.Sequential(conv, norm, norm).eval()) == 0
    assert fast.fold_frozen_norms(nn.Sequential(conv, norm, conv, last).eval()) == 0


def test_folding_twice_changes_nothing_more() -> None:
    model = make_model()
    assert fast.fold_frozen_norms(model) == 49
    assert fast.fold_frozen_norms(model) == 0
