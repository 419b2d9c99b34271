"""The same training, computed faster: bfloat16, and convolutions with frozen batch statistics.

With frozen statistics a BatchNorm is an affine map of each channel, so it can be applied to the
weights of the convolution before it instead of to that one's much larger output, in training too.
On a CPU such a convolution also brings its own gradient, because some of oneDNN's are slow:
those of pointwise convolutions (1.3 times a matrix product), the weight gradient of depthwise
ones with 5x5 kernels or 2x2 maps (10 to 40 times that of a 3x3 kernel on a larger map) and, in
bfloat16, the input gradient of depthwise ones with a stride (40 to 100 times a forward pass).
Results equal the plain ones up to rounding. `benchmarks/training_speed.py` measures the gain.
"""

import modelsoups.models.without_compiler  # noqa: F401  # isort: skip

from collections import Counter
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d, Conv2dSame, get_same_padding
from torch import Tensor, fx, nn

# (top, left), then (bottom, right): TensorFlow's "SAME" pads even maps unevenly under stride 2.
Padding = tuple[tuple[int, int], tuple[int, int]]

# Largest number of (input, output) position pairs whose products the depthwise weight gradient
# holds for each channel, that of a 16x16 map to 8x8. Above it, oneDNN's own gradient is used.
MAX_POSITION_PAIRS = 2**14


def fold_frozen_norms(model: nn.Module) -> int:
    """Make each convolution apply the frozen BatchNorm after it, in place; return how many do.

    Parameters, buffers, their names and gradients stay those of the plain model, so that an
    optimiser, a checkpoint or a soup sees no difference. Only a BatchNorm in eval mode is folded,
    as found at each call; one in training mode is computed as ever, and only the gradient of the
    convolution before it is the fast one. A ReLU6 in place keeps for its gradient what it returns
    instead of a copy of what it got. Models without a convolution followed by a BatchNorm, such as
    ViTs, stay as they are. Fastest with channels-last maps. Forward hooks on a folded
    convolution or BatchNorm see folded values.
    """
    pairs = _conv_norm_pairs(model)
    for conv, norm in pairs:
        # In a tuple: not a submodule, so no new names in the state dict.
        conv.__dict__["folded_norm"] = (norm,)
        conv.__class__ = _FOLDED[type(conv)]
        norm.__class__ = _FOLDED[type(norm)]
    for module in model.modules():
        if type(module) is nn.ReLU6:
            module.__class__ = _ReLU6
    return len(pairs)


class _FoldedConv2d(nn.Conv2d):
    """A convolution that applies the BatchNorm in `folded_norm` too, where that one is frozen."""

    folded_norm: tuple[nn.BatchNorm2d]

    def _pads(self, x: Tensor) -> Padding:
        assert not isinstance(self.padding, str)
        height, width = self.padding
        return (height, width), (height, width)

    def forward(self, x: Tensor) -> Tensor:
        (norm,) = self.folded_norm
        weight, bias = self.weight, self.bias
        if not norm.training:
            assert norm.running_mean is not None and norm.running_var is not None
            scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # (channels,)
            mean = norm.running_mean if bias is None else norm.running_mean - bias
            weight, bias = weight * scale.view(-1, 1, 1, 1), norm.bias - mean * scale
        before, after = self._pads(x)
        unpadded = before == after == (0, 0)
        pointwise = self.kernel_size == self.stride == (1, 1) and self.groups == 1 and unpadded
        depthwise = self.groups == self.in_channels == self.out_channels and self.dilation == (1, 1)
        if x.device.type == "cpu" and (depthwise or pointwise):
            if torch.is_autocast_enabled("cpu"):
                dtype = torch.get_autocast_dtype("cpu")
                x, weight = x.to(dtype), weight.to(dtype)
                bias = None if bias is None else bias.to(dtype)
            # Without a backward to come, plainly: a custom Function knows no forward mode.
            convolve: Any = _Conv2d.apply if torch.is_grad_enabled() else _Conv2d.forward
            return convolve(x, weight, bias, self.stride, (before, after), self.groups)
        if before != after:
            x, before = F.pad(x, (before[1], after[1], before[0], after[0])), (0, 0)
        return F.conv2d(x, weight, bias, self.stride, before, self.dilation, self.groups)


class _FoldedConv2dSame(_FoldedConv2d, Conv2dSame):
    """The same for timm's convolution with TensorFlow's "SAME" padding."""

    def _pads(self, x: Tensor) -> Padding:
        total = [
            get_same_padding(*sizes)
            for sizes in zip(x.shape[2:], self.kernel_size, self.stride, self.dilation, strict=True)
        ]
        before = (total[0] // 2, total[1] // 2)
        return before, (total[0] - before[0], total[1] - before[1])


class _FoldedBatchNorm2d(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else x


class _FoldedBatchNormAct2d(BatchNormAct2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else self.act(self.drop(x))


class _ReLU6(nn.ReLU6):
    def forward(self, input: Tensor) -> Tensor:
        if input.device.type == "cpu" and torch.is_grad_enabled() and self.inplace:
            return _Clamp.apply(input)
        return super().forward(input)


class _Clamp(torch.autograd.Function):
    """ReLU6 in place that keeps what it returns for its gradient, not a copy of what it got."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp_(0, 6)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.mark_dirty(*inputs)
        ctx.save_for_backward(output)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return torch.ops.aten.hardtanh_backward(grad, *ctx.saved_tensors, 0.0, 6.0)


_FOLDED: dict[type, type] = {
    nn.Conv2d: _FoldedConv2d,
    Conv2dSame: _FoldedConv2dSame,
    nn.BatchNorm2d: _FoldedBatchNorm2d,
    BatchNormAct2d: _FoldedBatchNormAct2d,
}


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in _FOLDED or super().is_leaf_module(m, module_qualified_name)


def _conv_norm_pairs(module: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions whose output goes to one BatchNorm and nowhere else, and that BatchNorm."""
    if not any(isinstance(m, nn.BatchNorm2d) for m in module.modules()):
        return []
    try:
        graph = _Tracer().trace(module)
    except Exception:  # where fx cannot follow a forward, anything may be raised; its parts can do
        return [pair for child in module.children() for pair in _conv_norm_pairs(child)]
    modules = dict(module.named_modules(remove_duplicate=False))
    calls = Counter(modules[str(n.target)] for n in graph.nodes if n.op == "call_module")
    pairs = []
    for node in graph.nodes:
        if node.op != "call_module" or len(node.users) != 1:
            continue
        (user,) = node.users
        conv, norm = modules[str(node.target)], modules.get(str(user.target))
        if (
            user.op == "call_module"
            and isinstance(conv, nn.Conv2d)
            and isinstance(norm, nn.BatchNorm2d)
            and type(conv) in _FOLDED  # exactly: a subclass may compute something else
            and type(norm) in _FOLDED
            and calls[conv] == calls[norm] == 1
            and conv.padding_mode == "zeros"
            and not isinstance(conv.padding, str)
            and norm.affine
            and norm.track_running_stats
        ):
            pairs.append((conv, norm))
    return pairs


class _Conv2d(torch.autograd.Function):
    """A depthwise, or unpadded pointwise, convolution with a fast gradient on CPUs."""

    @staticmethod
    def forward(
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        pads: Padding,
        groups: int,
    ) -> Tensor:
        weight, padding = _even_padding(weight, pads)
        return F.conv2d(x, weight, bias, stride, padding, 1, groups)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _, ctx.stride, ctx.pads, ctx.groups = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        if ctx.groups == x.shape[1]:  # of one channel to one too, whatever its kernel
            grad_x, grad_weight = _depthwise_gradients(x, weight, grad, ctx.stride, ctx.pads)
        else:
            grad_x, grad_weight = _pointwise_gradients(x, weight, grad)
        grad_bias = grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return grad_x, grad_weight, grad_bias, None, None, None


def _pointwise_gradients(x: Tensor, weight: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients for input and weight as matrix products, without copies of channels-last maps."""
    n, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels)  # (n h w, in)
    grad_rows = grad.permute(0, 2, 3, 1).reshape(-1, len(weight))  # (n h w, out)
    grad_x = (grad_rows @ weight.flatten(1)).view(n, height, width, channels).permute(0, 3, 1, 2)
    return grad_x, (grad_rows.t() @ rows).view_as(weight)


def _depthwise_gradients(
    x: Tensor, weight: Tensor, grad: Tensor, stride: tuple[int, int], pads: Padding
) -> tuple[Tensor, Tensor]:
    even_weight, padding = _even_padding(weight, pads)
    grad_x = _depthwise_input_gradient(x, even_weight, grad, stride, padding)
    height, width = x.shape[2:]
    slow = weight[0].numel() > 9 or min(height, width) < 3
    if slow and height * width * grad.shape[2] * grad.shape[3] <= MAX_POSITION_PAIRS:
        return grad_x, _depthwise_weight_gradient(x, weight, grad, stride, pads)
    (top, left), (bottom, right) = pads
    if pads[0] != pads[1]:  # oneDNN's is slow for the larger kernel of _even_padding
        x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
    return grad_x, _convolution_backward(grad, x, weight, stride, padding, 1)


def _depthwise_input_gradient(
    x: Tensor, weight: Tensor, grad: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """The convolution of the gradient, with zeros where a stride skipped positions."""
    kernel = weight.shape[2:]
    rest = [k - 1 - p for k, p in zip(kernel, padding, strict=True)]
    if min(rest) < 0:
        return _convolution_backward(grad, x, weight, stride, padding, 0)
    if stride != (1, 1):
        n, channels, height, width = grad.shape
        size = [i + k - 1 - 2 * r for i, k, r in zip(x.shape[2:], kernel, rest, strict=True)]
        spread = grad.new_zeros(n, *size, channels).permute(0, 3, 1, 2)
        spread[:, :, :: stride[0], :: stride[1]][:, :, :height, :width] = grad
        grad = spread
    return F.conv2d(grad, weight.flip(2, 3), None, 1, rest, 1, len(weight))


def _depthwise_weight_gradient(
    x: Tensor, weight: Tensor, grad: Tensor, stride: tuple[int, int], pads: Padding
) -> Tensor:
    """Products of all input and output positions, summed over images, then over a tap's pairs."""
    # (channels, input position, output position)
    pairs = torch.bmm(_by_channel(x).mT, _by_channel(grad))
    taps = _taps(
        tuple(x.shape[2:]), tuple(grad.shape[2:]), tuple(weight.shape[2:]), stride, pads[0], x.dtype
    )
    return (pairs.flatten(1) @ taps).view_as(weight)


def _by_channel(x: Tensor) -> Tensor:
    """(n, channels, h, w) to contiguous (channels, n, h w) by transposing one matrix."""
    n, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
    return rows.t().contiguous().view(channels, n, height * width)


@lru_cache(maxsize=64)
def _taps(
    in_size: tuple[int, ...],
    out_size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    before: tuple[int, int],
    dtype: torch.dtype,
) -> Tensor:
    """1 where an input and an output position meet at a tap: (in * out positions, taps)."""
    rows, columns = (
        torch.arange(i)[:, None, None] - torch.arange(o)[:, None] * s + b == torch.arange(k)
        for i, o, k, s, b in zip(in_size, out_size, kernel, stride, before, strict=True)
    )  # (in, out, kernel) each
    taps = rows[:, None, :, None, :, None] & columns[None, :, None, :, None, :]
    return taps.view(-1, kernel[0] * kernel[1]).to(dtype)


def _even_padding(weight: Tensor, pads: Padding) -> tuple[Tensor, tuple[int, int]]:
    """Weight and padding of the same convolution, padded alike on both sides.

    Zeros before the kernel's first taps take the place of a padded copy of the map.
    """
    (top, left), (bottom, right) = pads
    if bottom > top or right > left:
        weight = F.pad(weight, (right - left, 0, bottom - top, 0))
    return weight, (bottom, right)


def _convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    which: int,
) -> Tensor:
    """PyTorch's gradient of a depthwise convolution, for the input (0) or the weight (1)."""
    mask = (which == 0, which == 1, False)
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), mask
    )[which]
