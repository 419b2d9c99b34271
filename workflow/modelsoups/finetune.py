"""Fine-tune a classifier end to end: one run of a sweep (paper Sec. 2, Appendix J.2.1)."""

import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timm.data import Mixup
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from modelsoups.augment import build_augmentation
from modelsoups.backbones import Classifier
from modelsoups.files import publish
from modelsoups.search import RunSpec
from modelsoups.views import EncodedImages

logger = logging.getLogger(__name__)


def lr_factor(step: int, warmup_steps: int, num_steps: int) -> float:
    """Learning rate of a step as a fraction of its peak: linear warm-up, then cosine to zero."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * progress))


def freeze_norm_statistics(model: nn.Module) -> None:
    """Keep BatchNorm's running statistics as they are; its gains and biases stay trainable.

    Statistics of small batches at low resolution wreck a model at evaluation, and statistics
    that no run changes are the same in every ingredient of a soup.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


class AugmentedImages(Dataset):
    """Augmented training images (3, size, size) uint8 with labels, from a view's arrays."""

    def __init__(
        self, images: np.ndarray | EncodedImages, labels: np.ndarray, augmentation: Callable
    ):
        self.images, self.labels, self.augmentation = images, labels, augmentation

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        return self.augmentation(Image.fromarray(self.images[number])), int(self.labels[number])


def seed_epoch(seed: int, epoch: int) -> None:
    """Make all randomness of an epoch (order, augmentation, mixup) a function of seed and epoch.

    So an interrupted run can start again at any epoch and go on exactly as it would have.
    """
    number = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def finetune(
    model: Classifier,
    images: np.ndarray | EncodedImages,
    labels: np.ndarray,
    spec: RunSpec,
    device: torch.device,
    resume: Path,
    inputs: Mapping[str, str],
    name: str = "run",
    num_workers: int = 0,
) -> list[dict[str, float]]:
    """Fine-tune all parameters of `model` in place with AdamW.

    Args:
        model: the start, with the initialisation's weights.
        images: (n, size, size, 3) uint8, or encoded images of any size.
        labels: (n,) int64.
        resume: file for the state after the last finished epoch; a run that finds one of the
            same spec and inputs goes on from it and ends with the same weights.
        inputs: name -> SHA-256 of what the run starts from, to tell its state from another's.
        num_workers: processes that augment; 0 does it in this one.
    Returns:
        the curve: for each epoch `loss` (mean over its images), `lr` at its end and
        `images_per_second`.
    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    augmentation = build_augmentation(
        spec.augmentation, spec.min_crop, images.shape[1], model.mean_color
    )
    loader = DataLoader(
        AugmentedImages(images, labels, augmentation),
        spec.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=num_workers,
        pin_memory=device.type == "cuda",
    )
    mixup = (
        Mixup(spec.mixup, label_smoothing=0.0, num_classes=model.head.out_features)
        if spec.mixup
        else None
    )
    num_steps = spec.epochs * len(loader)
    model.to(device)
    on_gpu = device.type == "cuda"
    forward = torch.compile(model) if on_gpu else model
    optimizer = torch.optim.AdamW(
        model.parameters(), spec.lr, weight_decay=spec.weight_decay, fused=True
    )
    identity = {"spec": asdict(spec), "inputs": dict(inputs)}
    curve = load_state(resume, identity, model, optimizer)
    step = len(curve) * len(loader)

    for epoch in range(len(curve), spec.epochs):
        seed_epoch(spec.seed, epoch)
        model.train()
        freeze_norm_statistics(model)
        total_loss, started = torch.zeros((), device=device), time.perf_counter()
        title = f"{name} epoch {epoch + 1}/{spec.epochs}"
        for batch, targets in tqdm(loader, desc=title, unit="batch", leave=False, disable=None):
            batch = batch.to(device, non_blocking=True).float()
            targets = targets.to(device, non_blocking=True)
            if mixup:
                batch, targets = mixup(batch, targets)
            with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
                logits = forward(batch)
            loss = cross_entropy(logits, targets, label_smoothing=spec.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), spec.clip_norm)
            for group in optimizer.param_groups:
                group["lr"] = spec.lr * lr_factor(step, spec.warmup_steps, num_steps)
            optimizer.step()
            step += 1
            total_loss += loss.detach()
        mean_loss = total_loss.item() / len(loader)
        if not math.isfinite(mean_loss):
            raise FloatingPointError(
                f"{name}: the loss is {mean_loss} in epoch {epoch + 1} of {spec.epochs} (lr "
                f"{spec.lr:.2g}); a smaller lr or a longer warm-up may help. The last finite "
                f"state is kept in {resume}."
            )
        speed = len(loader) * spec.batch_size / (time.perf_counter() - started)
        curve.append({"loss": mean_loss, "lr": group["lr"], "images_per_second": speed})
        logger.info("%s: loss %.4f, %.0f images/s", title, mean_loss, speed)
        save_state(resume, identity, model, optimizer, curve)
    return curve


def save_state(path: Path, identity: dict, model, optimizer, curve) -> None:
    """Write what a run needs to go on after its last finished epoch, atomically."""
    state = {
        "identity": identity,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "curve": curve,
    }
    with publish(path) as draft:
        torch.save(state, draft)


def load_state(path: Path, identity: dict, model, optimizer) -> list[dict[str, float]]:
    """Restore the state of the same run and return its curve; without one, change nothing: []."""
    if not path.exists():
        return []
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["identity"] != identity:
        logger.warning("%s belongs to another run (spec or inputs differ); starting anew", path)
        return []
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    logger.info("going on from %s after epoch %d", path, len(state["curve"]))
    return state["curve"]
