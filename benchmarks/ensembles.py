"""Ensembles from stored logits at the paper's size: 72 models x 26,000 images x 1,000 classes.

Peer, for one file: pandas, whose column of lists has to be stacked by a loop. The logits are a
signal that all models share and noise of their own; time and memory do not depend on the values,
except that greedy adds up as many models as it keeps.
Run `python benchmarks/ensembles.py`: some minutes, 4 GB of disk.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from common import Run, alternate, machine, median_ratio, median_seconds, run_alone

from modelsoups.evaluation.logits import read_logits, write_logits
from modelsoups.soups.ensembles import greedy, mean_logits
from modelsoups.soups.registry import GreedyEnsembleSpec


def make_files(folder: Path, num_models: int, num_images: int, num_classes: int) -> list[Path]:
    """Logits of every model, right for about 7 of 10 images, stored as float16."""
    random = np.random.default_rng(0)
    labels = random.integers(0, num_classes, num_images)
    signal = random.standard_normal((num_images, num_classes), np.float32)
    signal[np.arange(num_images), labels] += 4
    paths = [folder / f"{number:03}.parquet" for number in range(num_models)]
    for path in paths:
        noise = random.standard_normal(signal.shape, np.float32)
        write_logits(path, signal + noise, labels, {}, dtype="float16")
    return paths


def greedy_ensemble(paths: list[Path]) -> int:
    """Number of ingredients that the greedy ensemble keeps."""
    files = {path.stem: path for path in paths}
    decisions = greedy(GreedyEnsembleSpec(), files)
    return sum(decision["decision"] == "kept" for decision in decisions)


def mean_ensemble(paths: list[Path]) -> tuple[int, ...]:
    """Shape of the mean of all models' logits."""
    return mean_logits(paths)[0].shape


def read_ours(path: Path) -> float:
    """Sum of a file's logits."""
    return float(read_logits(path).logits.sum(dtype=np.float64))


def read_pandas(path: Path) -> float:
    """Sum of a file's logits."""
    return float(np.stack(pd.read_parquet(path)["logits"].to_list()).sum(dtype=np.float64))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=72)
    parser.add_argument("--images", type=int, default=26_000)
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        paths = make_files(Path(name), args.models, args.images, args.classes)

        def ours() -> Run:
            return run_alone(read_ours, paths[0])

        def pandas() -> Run:
            return run_alone(read_pandas, paths[0])

        def mean() -> Run:
            return run_alone(mean_ensemble, paths)

        def chosen() -> Run:
            return run_alone(greedy_ensemble, paths)

        runs = alternate(
            {"ours": ours, "pandas": pandas, "mean": mean, "greedy": chosen}, args.repeats
        )
    assert runs["ours"][0].result == runs["pandas"][0].result
    print(
        f"one file: ours {median_seconds(runs['ours']):.2f} s, "
        f"pandas {median_ratio(runs['pandas'], runs['ours']):.1f} times ours"
    )
    print(
        f"{args.models} models x {args.images:,} x {args.classes:,}: "
        f"mean {median_seconds(runs['mean']):.0f} s; greedy ensemble, which keeps "
        f"{runs['greedy'][0].result}, {median_seconds(runs['greedy']):.0f} s, "
        f"peak memory {max(run.peak_mib for run in runs['greedy']):,.0f} MiB"
    )


if __name__ == "__main__":
    main()
