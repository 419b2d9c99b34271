"""Tensors that are read, and copied to a GPU, while those before them are computed with."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
U = TypeVar("U")


def ahead(make: Callable[[T], U], items: Iterable[T], depth: int = 1) -> Generator[U]:
    """What `make` gives for each item, in their order.

    Up to `depth` results are made by as many threads while one is in use. Items are taken when
    their turn comes, so there may be endlessly many.
    """
    items = iter(items)
    with ThreadPoolExecutor(depth) as readers:
        waiting: deque[Future[U]] = deque()
        try:
            waiting.extend(readers.submit(make, item) for item in islice(items, depth))
            while waiting:
                made = waiting.popleft().result()
                waiting.extend(readers.submit(make, item) for item in islice(items, 1))
                yield made
        finally:
            for future in waiting:
                future.cancel()


def ahead_on(
    device: torch.device, read: Callable[[T], Tensor], items: Iterable[T], depth: int = 1
) -> Generator[Tensor]:
    """The tensor that `read` gives for each item, on the device, read and copied ahead.

    A GPU copies from pinned memory on a stream of its own, beside what it computes.
    """
    if device.type != "cuda":
        yield from ahead(read, items, depth)
        return
    stream = torch.cuda.Stream(device)

    def copy(item: T) -> Tensor:
        tensor = read(item)
        if tensor.is_cuda:
            return tensor
        tensor = tensor if tensor.is_pinned() else tensor.pin_memory()
        with torch.cuda.stream(stream):
            copied = tensor.to(device, non_blocking=True)
        stream.synchronize()  # this thread alone waits
        return copied

    for copied in ahead(copy, items, depth):
        # Its memory is not used again before what is computed with it now is done.
        copied.record_stream(torch.cuda.current_stream(device))
        yield copied
