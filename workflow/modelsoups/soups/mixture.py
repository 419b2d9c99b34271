"""A model whose weights are a mix of many files, and the gradient of its coefficients (App. I).

*Digits.* What moves the coefficients is how these inner products differ, and ingredients are much
alike: in float32 the difference of two large sums would keep few digits, or none. So each
ingredient counts by its difference to the first one, and sums over a block are added in float64.

Ingredients are held on the device if they are small enough, else read anew for every step, ahead
of the computing.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import cycle, pairwise

import torch
from torch import Tensor, nn

from modelsoups.models.ahead import ahead_on
from modelsoups.soups.registry import LearnedSpec
from modelsoups.weights.average import common_integers
from modelsoups.weights.checkpoints import (
    Checkpoint,
    Model,
    Source,
    check_alike,
    find_tied,
    open_source,
    read_rows,
)
from modelsoups.weights.layers import GROUPINGS

Block = tuple[int, slice, Tensor]  # group, where it stands in the vector, and (K, width) float32
Part = tuple[str, int, int, int]  # key, where the tensor starts in the vector, elements from..to
Stretch = list[Part]  # that follow one another in every file
STATISTICS = "statistics"  # group of what is not learned
# Elements of all ingredients together in a block: those that are read for every step, on a CPU (in
# whose cache they stay) and on a GPU (which few large copies suit), and those that are held. Far
# below 2^31, where products on GPUs overflow.
STREAMED_BLOCK = {"cpu": 2**21, "cuda": 2**25}
RESIDENT_BLOCK = {"cpu": 2**24, "cuda": 2**26}
READ_AHEAD = {"cpu": 1, "cuda": 4}  # blocks, each by a thread of its own


class Mixture:
    """A model whose weights are a mix of K files, and the gradient of the coefficients.

    The model's parameters and normalisation statistics become views of one vector of P elements;
    gradients likewise. A convolution that is stored channels last stays so, which a compiled model
    insists on: it is copied to and from the vector. Statistics are mixed like their layer but
    receive no gradient, as in autograd; of affine coefficients they stay the plain mean, since
    negative ones could make a variance negative.
    """

    def __init__(
        self,
        model: nn.Module,
        ingredients: Sequence[Model],
        spec: LearnedSpec,
    ):
        """Check the headers of all files and put the model's tensors into the vector.

        `model` has the weights of one of the ingredients, in float32.
        """
        self._files = [
            open_source(each, f"ingredient {number}") for number, each in enumerate(ingredients)
        ]
        entries = check_alike(self._files)
        common_integers(self._files, entries)
        self.num_ingredients = len(ingredients)
        self._model = model
        self._affine = spec.constraint == "affine"
        naming = GROUPINGS[spec.coefficients_per]
        tied = find_tied(entries)
        self.group_of: dict[str, str] = {}  # of every floating tensor in the files
        tensors: dict[Tensor, str] = {}  # the model's own, each once -> key
        for key, tensor in model.state_dict(keep_vars=True).items():
            if key in entries and tensor.is_floating_point():
                first = tensors.setdefault(tensor, key)  # another key if the model ties them
                is_free = isinstance(tensor, nn.Parameter) or not self._affine
                group = naming(tied.get(first, first)) if is_free else STATISTICS
                self.group_of[key] = group
        self.groups = list(dict.fromkeys(self.group_of.values()))
        size = sum(tensor.numel() for tensor in tensors)
        device = next(iter(tensors)).device
        # Memory that is not written yet is not there yet: the model's own goes as this comes.
        self._mix, self._gradient = (
            torch.empty(size, device=device),
            torch.empty(size, device=device),
        )
        self._parts: list[tuple[str, int, int]] = []  # key, where it starts, number of elements
        self._apart: list[tuple[Tensor, slice]] = []  # that are no views of the vector
        start = 0
        for tensor, key in self._as_stored(tensors):
            span = slice(start, start + tensor.numel())
            gradient = self._gradient[span].view(tensor.shape)
            if tensor.is_contiguous():
                tensor.data = self._mix[span].view(tensor.shape)
            else:
                gradient = torch.zeros_like(tensor)
                self._apart.append((tensor, span))
            if isinstance(tensor, nn.Parameter):
                tensor.requires_grad_()  # a frozen one has its part in the coefficients, too
                tensor.grad = gradient
            self._parts.append((key, start, tensor.numel()))
            start = span.stop
        self._following = {  # keys of tensors that lie behind the one before them in every file
            key
            for (before, *_), (key, *_) in pairwise(self._parts)
            if all(_follows(file, before, key) for file in self._files)
        }
        self._resident: list[Block] | None = None
        self._mean = self._base = self._mix.new_empty(0)  # of turns
        self._held: list[Block] = []
        if spec.models_at_a_time:
            return
        if 4 * size * self.num_ingredients <= spec.resident_gib * 2**30:
            blocks = self._read_all(RESIDENT_BLOCK[device.type])
            self._resident = [(group, span, block.clone()) for group, span, block in blocks]

    def _as_stored(self, tensors: Mapping[Tensor, str]) -> list[tuple[Tensor, str]]:
        """Tensors and keys in the order of the first file, in which others follow them."""
        first = self._files[0]
        found = list(tensors.items())
        if isinstance(first, Checkpoint):
            found.sort(key=lambda each: first.entries[each[1]].storage)
        return found

    def forget_gradient(self) -> None:
        """Free the gradient: the soup takes its place in memory."""
        for parameter in self._model.parameters():
            parameter.grad = None
        self._gradient = self._gradient.new_empty(0)

    def coefficients(self, raw: Tensor) -> Tensor:
        """Coefficients (K, num_groups) float64 from what is learned (K, num_groups)."""
        raw = raw.double()
        if not self._affine:
            return raw.softmax(dim=0)
        fixed = torch.tensor([group == STATISTICS for group in self.groups], device=raw.device)
        return (1 + raw - raw.mean(dim=0)).where(~fixed, 1) / len(raw)

    @torch.no_grad()
    def mix(self, coefficients: Tensor) -> None:
        """Put the mix with these coefficients (K, num_groups) into the model; zero gradients."""
        self._gradient.zero_()
        # The blocks have the first ingredient, and the others less the first.
        factors = torch.cat([coefficients.sum(dim=0, keepdim=True), coefficients[1:]]).float()
        for group, span, block in self._blocks():
            torch.mv(block.T, factors[:, group], out=self._mix[span])
        self._copy_apart()

    @torch.no_grad()
    def gradient(self) -> Tensor:
        """Gradient of the coefficients (K, num_groups) float64, from the gradients in the model."""
        self._collect_apart()
        shape = (self.num_ingredients, len(self.groups))
        total = self._gradient.new_zeros(shape, dtype=torch.float64)
        for group, span, block in self._blocks():
            total[:, group] += block @ self._gradient[span]
        total[1:] += total[0]
        return total

    @torch.no_grad()
    def begin_epoch_of_turns(self, coefficients: Tensor) -> None:
        """Put the mix with these coefficients (K, num_groups) into the model; turns go on."""
        if not self._mean.numel():
            self.mix(torch.full_like(coefficients, 1 / self.num_ingredients))
            self._mean = self._mix.clone()
        self.mix(coefficients)

    @torch.no_grad()
    def begin_turn(self, members: range) -> None:
        """Hold these ingredients, less the mean of all, in place of those of the turn before."""
        self._held = []
        self._base = self._mix.clone()
        for group, span, block in self._read_blocks(RESIDENT_BLOCK[self._mix.device.type], members):
            if self.groups[group] != STATISTICS:
                self._held.append((group, span, block - self._mean[span]))

    @torch.no_grad()
    def mix_in_turn(self, moved: Tensor) -> None:
        """Put the mix into the model for which what is learned has moved so far, (members,
        num_groups), in this turn; zero gradients."""
        self._gradient.zero_()
        factors = (moved / self.num_ingredients).float()
        for group, span, block in self._held:
            torch.addmv(self._base[span], block.T, factors[:, group], out=self._mix[span])
        self._copy_apart()

    @torch.no_grad()
    def gradient_in_turn(self) -> Tensor:
        """Gradient of what is learned of the members (members, num_groups), from the model's."""
        self._collect_apart()
        num_members = len(self._held[0][2]) if self._held else 0
        total = self._gradient.new_zeros((num_members, len(self.groups)), dtype=torch.float64)
        for group, span, block in self._held:
            total[:, group] += block @ self._gradient[span]
        return (total / self.num_ingredients).float()

    def _copy_apart(self) -> None:
        """Tensors that are no views of the vector take what it has of theirs."""
        for tensor, span in self._apart:
            tensor.copy_(self._mix[span].view(tensor.shape))
            if tensor.grad is not None:
                tensor.grad.zero_()

    def _collect_apart(self) -> None:
        """The vector takes their gradients."""
        for tensor, span in self._apart:
            if tensor.grad is not None:
                self._gradient[span].view(tensor.shape).copy_(tensor.grad)

    def _blocks(self) -> Iterator[Block]:
        """Columns of a matrix (K, P): group, where they stand, and the block (K, width) float32.

        Its first row is the first ingredient, the others are the others less the first.
        """
        if self._resident is not None:
            yield from self._resident
            return
        yield from self._read_all(STREAMED_BLOCK[self._mix.device.type])

    def _read_all(self, size: int) -> Iterator[Block]:
        for stretch, block in self._read_stretches(size, range(self.num_ingredients)):
            block[1:] -= block[0]
            yield from self._split(stretch, block)

    def _read_blocks(self, size: int, members: range) -> Iterator[Block]:
        """Blocks of these ingredients, of at most `size` elements, on the model's device.

        Each is to be used before the next one is asked for: their memory is used again.
        """
        for stretch, block in self._read_stretches(size, members):
            yield from self._split(stretch, block)

    def _split(self, stretch: Stretch, block: Tensor) -> Iterator[Block]:
        """The blocks of the parts of a stretch."""
        widths = [end - begin for *_, begin, end in stretch]
        for (key, start, begin, end), part in zip(stretch, block.split(widths, dim=1), strict=True):
            yield self.groups.index(self.group_of[key]), slice(start + begin, start + end), part

    def _read_stretches(self, size: int, members: range) -> Iterator[tuple[Stretch, Tensor]]:
        """Stretches, and what these ingredients have of them; some are read ahead."""
        device = self._mix.device
        stretches = list(self._cut_stretches(size, len(members)))
        depth = READ_AHEAD[device.type]
        largest = len(members) * max(map(_width, stretches), default=0)
        on_gpu = device.type == "cuda"
        buffers = [torch.empty(largest, pin_memory=on_gpu) for _ in range(depth + 1)]
        orders = zip(stretches, cycle(buffers), strict=False)
        read = partial(self._read, [self._files[member] for member in members])
        with closing(ahead_on(device, read, orders, depth)) as blocks:
            yield from zip(stretches, blocks, strict=True)

    def _cut_stretches(self, size: int, count: int) -> Iterator[Stretch]:
        """The parts of `_cut`, those together that follow one another and have its size at most:
        small tensors are read with others."""
        stretch: Stretch = []
        width = 0
        for part in self._cut(size, count):
            key, _, begin, end = part
            fits = count * (width + end - begin) <= size  # two parts of a tensor never do
            if stretch and not (fits and key in self._following):
                yield stretch
                stretch, width = [], 0
            stretch.append(part)
            width += end - begin
        if stretch:
            yield stretch

    def _cut(self, size: int, count: int) -> Iterator[Part]:
        """Parts of tensors of which those of `count` ingredients together have at most `size`
        elements."""
        width = max(1, size // count)
        for key, start, length in self._parts:
            for begin in range(0, length, width):
                yield key, start, begin, min(begin + width, length)

    def _read(self, files: Sequence[Source], order: tuple[Stretch, Tensor]) -> Tensor:
        """A stretch of the tensors of files, (num_files, width) float32 in main memory: in the
        buffer that comes with it."""
        stretch, buffer = order
        block = buffer[: len(files) * _width(stretch)].view(len(files), -1)
        key, _, begin, _ = stretch[0]
        read_rows(files, key, begin, block)  # in float32 files beyond this tensor, into the next
        return block


def _width(stretch: Stretch) -> int:
    return sum(end - begin for *_, begin, end in stretch)


def _follows(file: Source, before: str, key: str) -> bool:
    """Whether a float32 tensor lies right behind another one in a file."""
    if not isinstance(file, Checkpoint):
        return False
    first, second = file.entries[before], file.entries[key]
    return (
        first.dtype == second.dtype == torch.float32
        and first.storage + first.numel * first.dtype.itemsize == second.storage
    )
