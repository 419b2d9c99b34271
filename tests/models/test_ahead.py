import threading
from itertools import count, islice

import pytest
import torch

from modelsoups.models.ahead import ahead, ahead_on


@pytest.mark.parametrize("depth", [1, 3])
def test_results_come_in_the_order_of_their_items(depth):
    assert list(ahead(lambda x: x * x, range(20), depth)) == [x * x for x in range(20)]
    assert list(ahead(lambda x: x, [], depth)) == []


def test_so_many_are_made_while_one_is_in_use():
    made = [threading.Event() for _ in range(10)]
    stream = ahead(lambda i: made[i].set(), range(10), depth=2)
    next(stream)
    assert made[1].wait(10)
    assert made[2].wait(10)
    assert not made[3].wait(0.1)
    stream.close()
    assert not made[4].is_set()


def test_endlessly_many_items_are_taken_one_after_another():
    assert list(islice(ahead(str, count(), depth=2), 3)) == ["0", "1", "2"]


def test_an_error_comes_where_its_result_would():
    stream = ahead(lambda x: 1 // x, [1, 0, 1])
    assert next(stream) == 1
    with pytest.raises(ZeroDivisionError):
        next(stream)


def test_on_a_cpu_tensors_are_those_read():
    tensors = [torch.ones(i) for i in range(4)]
    found = list(ahead_on(torch.device("cpu"), tensors.__getitem__, range(4), depth=2))
    assert all(a is b for a, b in zip(found, tensors, strict=True))
