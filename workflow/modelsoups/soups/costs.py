"""What cooking a soup took: time, memory and images through the model, measured while it cooks.

In a file of its own beside the record: a record is the same each time, what it took is not.
"""

import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from modelsoups.base.files import read_json
from modelsoups.soups.pool import HeldOut, Soup


def measure(
    cook: Callable[[], Soup], held_out: HeldOut, resumed: bool
) -> tuple[Soup, dict[str, Any]]:
    """A soup, and what it took.

    Args: resumed: whether an interrupted call had done a part, which is then not counted.
    Returns:
        the soup; and seconds of the recipe alone, without start, hashes of its inputs and the
        writing of its weights; images that went through the model, with and without gradients
        alike; passes over the held-out set, which is images by its size; peak_memory_mb of the
        process, which has torch, one model and the pages of the held-out set that it read, with
        memory_before_mb at the start; device, and device_memory_mb of torch's on a GPU (else None);
        threads; resumed.
    """
    device = held_out.evaluator.device
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    images, before, start = held_out.num_images, peak_memory(), time.perf_counter()
    soup = cook()
    seconds = time.perf_counter() - start
    images = held_out.num_images - images
    return soup, {
        "seconds": seconds,
        "images": images,
        "passes": images / len(held_out),
        "peak_memory_mb": peak_memory(),
        "memory_before_mb": before,
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "device_memory_mb": torch.cuda.max_memory_allocated(device) / 1e6 if on_gpu else None,
        "threads": torch.get_num_threads(),
        "resumed": resumed,
    }


def peak_memory() -> float:
    """The most main memory that this process has had so far, in megabytes."""
    status = Path("/proc/self/status")  # Linux; its getrusage counts the process that started this
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 1e6 if sys.platform == "darwin" else size * 1024 / 1e6


def collect_costs(costs: Mapping[str, Path], records: Mapping[str, Path]) -> pd.DataFrame:
    """What each soup took, and how many models it was made of.

    Args: costs, records: soup -> its file.
    Returns: one row a soup: model, num_candidates, num_ingredients, and what `measure` gives.
    """
    rows = []
    for model, path in costs.items():
        record = read_json(records[model])
        rows.append(
            {
                "model": model,
                "num_candidates": len(record["inputs"]),
                "num_ingredients": len(record["ingredients"]),
                **read_json(path),
            }
        )
    return pd.DataFrame(rows)
