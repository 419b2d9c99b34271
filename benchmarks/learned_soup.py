"""One step of a learned soup, one coefficient per tensor and model: ours against autograd.

Peer: the official learned_bylayer.py, re-stated. All models' parameters are kept with gradients,
every step sums them with their coefficients, and autograd goes back through that sum. Both mix
EfficientNet-Lite0 (3.4 M parameters, 64 px) on random images; their time and memory do not depend
on the values. `model` is forward and backward pass of one model with nothing mixed.
Run `python benchmarks/learned_soup.py`: some minutes.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import machine, run_alone
from greedy_soup import build
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from modelsoups.data.examples import Images
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.soups.learned import Learner
from modelsoups.soups.mixture import Mixture
from modelsoups.soups.pool import HeldOut
from modelsoups.soups.registry import LearnedSpec
from modelsoups.weights.checkpoints import read_weights, write_weights

NUM_CLASSES = 54


def images_and_labels(batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """One batch of noise."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch_size, 64, 64, 3), dtype=np.uint8)
    return images, random.integers(0, NUM_CLASSES, batch_size)


def times(step, count: int) -> list[float]:
    """Seconds of each of `count` steps, after one to warm up."""
    found = []
    for _ in range(count + 1):
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
    return found[1:]


def ours(paths: list[Path], batch_size: int, count: int, resident: bool) -> list[float]:
    """Seconds a step; ingredients held in memory, or read for every step."""
    images, labels = images_and_labels(batch_size)
    held_out = HeldOut(Evaluator(build(NUM_CLASSES)), Images(images), labels)
    held_out.pour(read_weights(paths[0]), "the first")
    spec = LearnedSpec(coefficients_per="tensor", resident_gib=100.0 if resident else 0.0)
    learner = Learner(Mixture(held_out.evaluator.model, paths, spec), spec, held_out)
    indices = np.arange(batch_size)
    return times(lambda: learner.step(indices), count)


def official(paths: list[Path], batch_size: int, count: int) -> list[float]:
    """Seconds a step, as learned_bylayer.py has it."""
    model = build(NUM_CLASSES)
    array, labels = images_and_labels(batch_size)
    images = torch.from_numpy(array).permute(0, 3, 1, 2)
    names = [name for name, _ in model.named_parameters()]
    pool = [read_weights(path) for path in paths]
    params = [tuple(weights[name].requires_grad_() for name in names) for weights in pool]
    raw = torch.ones(len(names), len(pool)).softmax(dim=1).requires_grad_()
    beta = torch.ones((), requires_grad=True)
    optimizer = torch.optim.AdamW([raw, beta], lr=0.05, weight_decay=0.0)

    def step() -> None:
        optimizer.zero_grad()
        alpha = raw.softmax(dim=1)
        mix = [
            sum(tensor * a for tensor, a in zip(tensors, alpha[j], strict=True))
            for j, tensors in enumerate(zip(*params, strict=True))
        ]
        logits = functional_call(model, dict(zip(names, mix, strict=True)), (images,))
        cross_entropy(beta * logits, torch.from_numpy(labels)).backward()
        optimizer.step()

    return times(step, count)


def model_alone(batch_size: int, count: int) -> list[float]:
    """Seconds of a forward and backward pass of one model."""
    model = build(NUM_CLASSES)
    array, labels = images_and_labels(batch_size)
    images = torch.from_numpy(array).permute(0, 3, 1, 2)

    def step() -> None:
        model.zero_grad()
        cross_entropy(model(images), torch.from_numpy(labels)).backward()

    return times(step, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[12, 72])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=7)
    args = parser.parse_args()
    print(machine())
    alone = statistics.median(run_alone(model_alone, args.batch_size, args.steps).result)
    print(f"model alone {alone:.3f} s a step of {args.batch_size} images")
    with tempfile.TemporaryDirectory() as folder:
        state = {key: tensor.clone() for key, tensor in build(NUM_CLASSES).state_dict().items()}
        paths = [Path(folder) / f"{k}.safetensors" for k in range(max(args.models))]
        for path in paths:
            for tensor in state.values():
                if tensor.is_floating_point():
                    tensor += 1e-4
            write_weights(path, state)
        for count in args.models:
            runs = {
                "official": run_alone(official, paths[:count], args.batch_size, args.steps),
                "resident": run_alone(ours, paths[:count], args.batch_size, args.steps, True),
                "streamed": run_alone(ours, paths[:count], args.batch_size, args.steps, False),
            }
            slow = statistics.median(runs["official"].result)
            for name, run in runs.items():
                step = statistics.median(run.result)
                print(
                    f"K = {count:2d}  {name:8s} {step:.3f} s a step, official {slow / step:5.2f} "
                    f"times this; beyond the model {max(step - alone, 0):.3f} s; "
                    f"peak memory {run.peak_mib:,.0f} MiB"
                )


if __name__ == "__main__":
    main()
