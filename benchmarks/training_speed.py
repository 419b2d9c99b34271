"""Images per second of the plain model and of `modelsoups.models.folding`, training and inference.

The plain model computes in float32; ours in float32 and in bfloat16, which fine-tuning takes where
it is faster. They alternate in one process with one thread, and medians are compared, so that other
load on the machine falls on all. Beside each stands what share it is of the speed of a large matrix
product on the same core, in FLOP/s: the limit. Then one job with two threads against two with one
thread each. Run `python benchmarks/training_speed.py`: some minutes on two cores. After
`export ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2` a newer CPU does as one with AVX2 alone.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import timm
import torch
import torch.nn.functional as F
from common import forward_flop
from torch import Tensor, nn

from modelsoups.models.devices import Precision, autocast, choose_precision
from modelsoups.models.folding import fold_frozen_norms

# Without these, glibc returns large activations to the kernel, and each step pays for new pages.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def make_steps(
    model_name: str, folded: bool, precision: Precision, images: Tensor
) -> dict[str, Callable[[], object]]:
    """One training step and one inference batch, ready to be called."""
    torch.manual_seed(0)
    model = timm.create_model(model_name, num_classes=54)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    if folded:
        fold_frozen_norms(model)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=folded)
    labels = torch.arange(len(images)) % 54

    def train() -> None:
        optimizer.zero_grad()
        with autocast(images.device, precision):
            logits = model(images)
        F.cross_entropy(logits.float(), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    @torch.inference_mode()
    def infer() -> None:
        with autocast(images.device, precision):
            model(images)

    return {"training": train, "inference": infer}


def seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def product_speed(precision: Precision, side: int = 2048, repeats: int = 5) -> float:
    """FLOP/s of the product of two square matrices, median."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    first, second = torch.randn(2, side, side).to(dtype)
    times = [seconds(lambda: first @ second) for _ in range(repeats + 1)][1:]
    return 2 * side**3 / statistics.median(times)


def compare(args: argparse.Namespace, images: Tensor) -> None:
    """Print the median images/s of each, the median ratio to the plain step beside it, and the
    share of the limit."""
    forward = forward_flop(timm.create_model(args.model, num_classes=54), images[:1])
    flop = {"training": 3 * forward, "inference": forward}
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    limits: dict[str, float] = {name: product_speed(name) for name in precisions}
    print(
        f"an image takes {flop['training'] / 1e9:.3f} GFLOP in training; matrix products: "
        + ", ".join(f"{limit / 1e9:.0f} GFLOP/s in {name}" for name, limit in limits.items())
    )
    models = {
        "plain float32": make_steps(args.model, False, "float32", images),
        "fast float32": make_steps(args.model, True, "float32", images),
        "fast bfloat16": make_steps(args.model, True, "bfloat16", images),
    }
    for what in ("training", "inference"):
        steps = [each[what] for each in models.values()]
        for step in steps * 2:
            step()
        times = [[seconds(step) for step in steps] for _ in range(args.repeats)]
        for name, column in zip(models, zip(*times, strict=True), strict=True):
            speed = len(images) / statistics.median(column)
            ratio = statistics.median(t[0] / own for t, own in zip(times, column, strict=True))
            share = speed * flop[what] / limits[name.split()[-1]]
            print(
                f"{what:9s}  {name}  {speed:6.1f} images/s  ratio {ratio:.2f}  "
                f"{100 * share:.0f} % of the limit"
            )


def train_for(args: argparse.Namespace, images: Tensor) -> None:
    """Print images/s of one job (median over its steps)."""
    step = make_steps(args.model, True, choose_precision(images.device, "auto"), images)["training"]
    times = [seconds(step) for _ in range(args.repeats + 3)][3:]
    print(len(images) / statistics.median(times))


def throughput(args: argparse.Namespace, jobs: int, threads: int) -> float:
    """Images/s of `jobs` processes side by side, with `threads` each."""
    command = [sys.executable, __file__, "--job", "--threads", str(threads)]
    command += ["--model", args.model, "--pixels", str(args.pixels), "--batch", str(args.batch)]
    command += ["--repeats", str(args.repeats)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(jobs)]
    return sum(float(process.communicate()[0]) for process in processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--job", action="store_true", help="one job of the thread comparison")
    args = parser.parse_args()
    if not ALLOCATOR.items() <= os.environ.items():  # glibc reads them when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ALLOCATOR)

    torch.set_num_threads(args.threads)
    images = torch.randn(args.batch, 3, args.pixels, args.pixels)
    images = images.contiguous(memory_format=torch.channels_last)
    if args.job:
        train_for(args, images)
        return
    print(
        f"{args.model}, {args.pixels} px, batch {args.batch}; fine-tuning takes "
        f"{choose_precision(images.device, 'auto')} here; torch {torch.__version__},"
        f" timm {timm.__version__}, {platform.machine()} {torch.backends.cpu.get_cpu_capability()},"
        f" {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    compare(args, images)
    pairs = [(throughput(args, 1, 2), throughput(args, 2, 1)) for _ in range(3)]
    one, two = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(
        f"one job of two threads {one:.1f} images/s, two of one thread {two:.1f}, ratio {ratio:.2f}"
    )


if __name__ == "__main__":
    main()
