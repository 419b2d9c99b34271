"""One start and its good runs, trained once for all tests of the diagnosis."""

import pytest
import torch

from wrong_pools import Kitchen


@pytest.fixture(scope="session")
def kitchen() -> Kitchen:
    torch.set_num_threads(1)
    return Kitchen()
