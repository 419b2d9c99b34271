"""JPEGs decoded for training: torchvision's decoder (`decoder: torchvision`) against Pillow's.

Two photographs that come with scikit-learn, resized as `training_input: resized` does it (shortest
side 256, quality 90): decoded; also cropped to 224 pixels as workers do beside `augment_on_device`;
also augmented by the medium policy. One after another in one thread; decoders alternate, medians
are compared, and their pixels. Run `python benchmarks/decoding.py`: a minute.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from common import THREADS, machine
from PIL import Image
from sklearn.datasets import load_sample_images

from modelsoups.data.reading import DECODERS
from modelsoups.data.specs import ResizeSpec
from modelsoups.data.views import EncodedImages, resize_images
from modelsoups.training.augmentation import build_augmentation
from modelsoups.training.drawn import cut_out, recorder

SIZE = 224


def write_photos(folder: Path) -> pd.DataFrame:
    """The index of the resized photographs, in one Arrow file."""
    files = []
    for number, pixels in enumerate(load_sample_images().images):
        files.append(folder / f"{number}.png")
        Image.fromarray(pixels).save(files[-1])
    index = pd.DataFrame({"file": [str(file) for file in files], "row": -1})
    return resize_images(ResizeSpec(shortest=256, quality=90), index, folder / "images.arrow")


POLICY = build_augmentation("medium", 0.08, SIZE, (0.5, 0.5, 0.5))
RECORD = recorder([POLICY])
THEN: dict[str, Callable[[np.ndarray], object]] = {
    "decoded": lambda pixels: None,
    "and cropped": lambda pixels: cut_out(pixels, RECORD(POLICY, *pixels.shape[:2]), SIZE),
    "and augmented": lambda pixels: POLICY(Image.fromarray(pixels)),
}


def images_per_second(images: EncodedImages, passes: int, then: Callable) -> float:
    """Images that are read in a second, with what is then done to each."""
    start = time.perf_counter()
    for number in list(range(len(images))) * passes:
        then(images[number])
    return passes * len(images) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        index = write_photos(Path(folder))
        readers = {name: EncodedImages(index, SIZE, name) for name in DECODERS}
        same = all(
            np.array_equal(readers["pillow"][n], readers["torchvision"][n])
            for n in range(len(index))
        )
        print(f"{len(index)} photographs, pixels {'equal' if same else 'DIFFERENT'}")
        for what, then in THEN.items():
            speeds: dict[str, list[float]] = {name: [] for name in readers}
            for _ in range(args.repeats):
                for name, images in readers.items():
                    speeds[name].append(images_per_second(images, args.passes, then))
            medians = {name: statistics.median(found) for name, found in speeds.items()}
            texts = ", ".join(f"{name} {speed:,.0f}" for name, speed in medians.items())
            ratio = medians["torchvision"] / medians["pillow"]
            print(f"{what}: images/s {texts}: {ratio:.2f} times")


if __name__ == "__main__":
    main()
