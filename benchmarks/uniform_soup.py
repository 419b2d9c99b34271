"""Averaging K checkpoints of 88 M parameters: ours against timm's script and a plain loop, and what
one model more takes beside reading its file once.

Peers: timm's `avg_checkpoints.py --no-sort` (its loop, with timm's own `load_state_dict`), and the
official repository's step 3 (`torch.load`, float32 running sum). Every one ends with the soup in a
file. `read` only reads the files, into a buffer that is used again. The K files are `--distinct`
different ones, each linked as often as needed, so that they stay in the page cache and the disk is
not what is measured.
Run `python benchmarks/uniform_soup.py`: some minutes, and 9 GB in a temporary folder.
"""

import argparse
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from common import Run, alternate, machine, median_ratio, median_seconds, run_alone
from timm.models import load_state_dict

from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import read_weights, write_weights


def ours(paths: list[Path], output: Path) -> None:
    """Stream into one average, write it as safetensors."""
    write_weights(output, average(paths))


def ours_all_cores(paths: list[Path], output: Path) -> None:
    """The same, tensors side by side on all cores, as from Python where nothing is said."""
    torch.set_num_threads(os.cpu_count() or 1)
    ours(paths, output)


def timm_script(paths: list[Path], output: Path) -> None:
    """The loop of timm's avg_checkpoints.py, and its hash of the output."""
    total: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}
    for path in paths:
        for key, value in load_state_dict(str(path), use_ema=True).items():
            if key not in total:
                total[key] = value.clone().to(dtype=torch.float64)
                counts[key] = 1
            else:
                total[key] += value.to(dtype=torch.float64)
                counts[key] += 1
    for key, value in total.items():
        value.div_(counts[key])
    limits = torch.finfo(torch.float32)
    final = {k: v.clamp(limits.min, limits.max).to(dtype=torch.float32) for k, v in total.items()}
    torch.save(final, output)
    hashlib.sha256(output.read_bytes()).hexdigest()


def torch_loop(paths: list[Path], output: Path) -> None:
    """Step 3 of the official main.py."""
    share = 1.0 / len(paths)
    soup: dict[str, torch.Tensor] = {}
    for path in paths:
        state = torch.load(path)
        if not soup:
            soup = {k: v * share for k, v in state.items()}
        else:
            soup = {k: v * share + soup[k] for k, v in state.items()}
    torch.save(soup, output)


def read(paths: list[Path], block: int = 2**20) -> None:
    """Every byte of the files once, into memory that is used again."""
    buffer = memoryview(bytearray(block))
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def make_checkpoints(folder: Path, distinct: int) -> int:
    """Write ViT-B/32 checkpoints in both formats; the bytes of one model."""
    model = timm.create_model("vit_base_patch32_clip_224")
    state = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
    for k in range(distinct):
        for tensor in state.values():
            tensor += 1e-4 * (k + 1)
        write_weights(folder / f"distinct-{k}.safetensors", state)
        torch.save(state, folder / f"distinct-{k}.pt")
    return sum(tensor.nbytes for tensor in state.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[12, 72])
    parser.add_argument("--distinct", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = make_checkpoints(folder, args.distinct)
        seconds: dict[str, dict[int, float]] = {"ours": {}, "cores": {}, "read": {}}
        for count in args.models:
            paths = {}
            for suffix in ("safetensors", "pt"):
                paths[suffix] = [folder / f"{count}-{k:03}.{suffix}" for k in range(count)]
                for k, path in enumerate(paths[suffix]):
                    os.link(folder / f"distinct-{k % args.distinct}.{suffix}", path)

            def ours_run(files=paths["safetensors"]) -> Run:
                return run_alone(ours, files, folder / "ours")

            def cores_run(files=paths["safetensors"]) -> Run:
                return run_alone(ours_all_cores, files, folder / "cores")

            def timm_run(files=paths["safetensors"]) -> Run:
                return run_alone(timm_script, files, folder / "timm")

            def loop_run(files=paths["pt"]) -> Run:
                return run_alone(torch_loop, files, folder / "loop")

            def read_run(files=paths["safetensors"]) -> Run:
                return run_alone(read, files)

            ours_run()  # reads the files into the page cache
            kinds: dict[str, Callable[[], Run]] = {
                "ours": ours_run,
                "cores": cores_run,
                "read": read_run,
                "timm": timm_run,
                "loop": loop_run,
            }
            runs = alternate(kinds, args.repeats)
            soup, other = read_weights(folder / "ours"), torch.load(folder / "timm")
            assert all(soup[key].equal(other[key]) for key in other)
            for peer in runs:
                peak = max(run.peak_mib for run in runs[peer]) * 2**20 / size
                print(
                    f"K = {count:2d}  {peer:5s} {median_seconds(runs[peer]):6.2f} s,"
                    f" {median_ratio(runs[peer], runs['ours']):5.2f} times ours,"
                    f" peak memory {peak:.2f} models"
                )
            for name, found in seconds.items():
                found[count] = median_seconds(runs[name])
        few, most = min(args.models), max(args.models)
        if few < most:
            more = {name: (each[most] - each[few]) / (most - few) for name, each in seconds.items()}
            for name, with_what in {"ours": "one thread", "cores": "all cores"}.items():
                print(
                    f"a model more, with {with_what}: {more[name]:.3f} s, "
                    f"{more[name] / more['read']:.2f} times reading its file once "
                    f"({more['read']:.3f} s)"
                )


if __name__ == "__main__":
    main()
