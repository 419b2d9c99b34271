"""Evaluating K models on one set of images: ours against decoding the images for every model.

Peer: the official evaluation. A DataLoader decodes JPEG files (500 x 375 pixels, as ImageNet's),
resizes and crops them, anew for each model. Ours decodes once into a memory-mapped array that every
model reads; that time is counted. The model is EfficientNet-Lite0 at 64 px.
Run `python benchmarks/evaluation.py`: some minutes.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import machine, run_alone
from greedy_soup import BATCH_SIZE, build
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from modelsoups.data.examples import Images
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.weights.checkpoints import read_weights, write_weights

NUM_CLASSES = 54


class Jpegs(Dataset):
    """Images (3, 64, 64) uint8, decoded when asked for."""

    def __init__(self, folder: Path):
        self.paths = sorted(folder.glob("*.jpg"))
        steps = [transforms.Resize(64), transforms.CenterCrop(64), transforms.PILToTensor()]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def loader(folder: Path) -> DataLoader:
    """Batches of decoded images, one worker a core."""
    return DataLoader(Jpegs(folder), BATCH_SIZE, num_workers=torch.get_num_threads())


def per_model(folder: Path, paths: list[Path]) -> tuple[np.ndarray, float]:
    """Predictions (K, n) with images decoded for each model; seconds of decoding once."""
    model = build(NUM_CLASSES)
    predictions = []
    with torch.inference_mode():
        for path in paths:
            model.load_state_dict(read_weights(path))
            batches = [model(batch).argmax(dim=1) for batch in loader(folder)]
            predictions.append(torch.cat(batches))
    return torch.stack(predictions).numpy(), 0.0


def shared(folder: Path, paths: list[Path]) -> tuple[np.ndarray, float]:
    """Predictions (K, n) with images decoded once; seconds of that."""
    start = time.perf_counter()
    images = torch.cat(list(loader(folder))).permute(0, 2, 3, 1).contiguous()
    np.save(folder / "images.npy", images.numpy())
    decoding = time.perf_counter() - start
    array = np.load(folder / "images.npy", mmap_mode="r")
    evaluator = Evaluator(build(NUM_CLASSES), batch_size=BATCH_SIZE)
    predictions = []
    for path in paths:
        evaluator.pour(read_weights(path))
        predictions.append(evaluator.outputs(Images(array)).argmax(axis=1))
    return np.stack(predictions), decoding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=12)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print(machine())
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(args.images):  # smooth noise, about as large in bytes as a photograph
            coarse = random.integers(0, 256, (94, 125, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((500, 375)).save(folder / f"{i}.jpg", quality=90)
        size = sum(path.stat().st_size for path in folder.glob("*.jpg")) / args.images / 1000
        state = {key: tensor.clone() for key, tensor in build(NUM_CLASSES).state_dict().items()}
        paths = [folder / f"{k}.safetensors" for k in range(args.models)]
        for path in paths:
            state["head.bias"].normal_(std=0.01)
            write_weights(path, state)
        ratios, slow, fast, decoding = [], [], [], []
        for _ in range(args.repeats):
            theirs = run_alone(per_model, folder, paths)
            mine = run_alone(shared, folder, paths)
            assert np.array_equal(theirs.result[0], mine.result[0])
            ratios.append(theirs.seconds / mine.seconds)
            slow.append(theirs.seconds)
            fast.append(mine.seconds)
            decoding.append(mine.result[1])
    print(
        f"{args.models} models, {args.images} images of {size:.0f} kB: decoded for each model "
        f"{np.median(slow):.2f} s, shared {np.median(fast):.2f} s of which decoding "
        f"{np.median(decoding):.2f} s; ratio {np.median(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
