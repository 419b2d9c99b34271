"""Fine-tune a classifier end to end: one run of a sweep (paper Sec. 2, Appendix J.2.1).

All randomness is a function of the run's seed and of an epoch, an image or a step. So a run that
is stopped anywhere goes on exactly as it would have, and its result depends on the number of
processes and of parts of a batch by rounding alone.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from timm.data import Mixup
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from modelsoups.base.files import publish
from modelsoups.data.views import EncodedImages
from modelsoups.models.backbones import Classifier
from modelsoups.models.folding import autocast
from modelsoups.study.search import RunSpec
from modelsoups.training.augmentation import build_augmentation
from modelsoups.training.processes import Place, Terminated, ignore_sigterm, noting_sigterm

logger = logging.getLogger(__name__)

Key = tuple[int, int]  # epoch and number of an image: decides how it is augmented
ORDER, IMAGE, STEP = range(3)  # what a seed is for


@dataclass(frozen=True, kw_only=True)
class ComputeSpec:
    """How a run is computed: its speed, memory and safety. Its result differs by rounding alone."""

    accumulate: int = 1  # parts of a batch (of each process) that are computed one after another
    num_workers: int = 0  # processes that augment; 0: this one does
    save_minutes: float = 10.0  # the state is saved after so many minutes, 0: never
    save_epochs: int = 1  # and after so many epochs, 0: never

    def __post_init__(self):
        if self.accumulate < 1 or min(self.num_workers, self.save_minutes, self.save_epochs) < 0:
            raise ValueError(
                "compute: expected accumulate >= 1, num_workers >= 0, save_minutes >= 0, "
                f"save_epochs >= 0, got {asdict(self)}"
            )


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


def seed_all(*numbers: int) -> None:
    """Make what follows a function of these numbers, whatever library draws from."""
    number = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


class AugmentedImages(Dataset):
    """Augmented training images (3, size, size) uint8 with labels, from a view's arrays."""

    def __init__(
        self,
        images: np.ndarray | EncodedImages,
        labels: np.ndarray,
        augmentation: Callable,
        seed: int,
    ):
        self.images, self.labels, self.augmentation = images, labels, augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> tuple[torch.Tensor, int]:
        epoch, number = key
        seed_all(self.seed, IMAGE, epoch, number)
        return self.augmentation(Image.fromarray(self.images[number])), int(self.labels[number])


def batches_of_epoch(num_images: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """Numbers of the images of each step, (num_steps, batch_size); images left over are dropped.

    Raises:
        ValueError: there are fewer images than a batch has.
    """
    if num_images < batch_size:
        raise ValueError(
            f"expected at least a batch of {batch_size} training images, found {num_images}; "
            "lower batch_size"
        )
    order = np.random.default_rng([seed, ORDER, epoch]).permutation(num_images)
    num_steps = num_images // batch_size
    return order[: num_steps * batch_size].reshape(num_steps, batch_size)


def split_batch(batch: np.ndarray, num_parts: int) -> np.ndarray:
    """A batch in equal parts, (num_parts, batch_size / num_parts).

    Mixup mixes the first image of a batch with its last, the second with the last but one, and so
    on. Each part gets both images of such pairs, in the places where mixup of the part alone
    mixes the same two.

    Raises:
        ValueError: the parts would not be of one even size.
    """
    if len(batch) % (2 * num_parts):
        raise ValueError(
            f"batch_size {len(batch)} does not split into {num_parts} parts (processes times "
            "accumulate) of one even size; change accumulate, gpus or batch_size"
        )
    half = len(batch) // 2
    firsts = batch[:half].reshape(num_parts, -1)
    seconds = batch[: half - 1 : -1].reshape(num_parts, -1)  # the last image of the batch first
    return np.concatenate([firsts, seconds[:, ::-1]], axis=1)


@dataclass
class Progress:
    """How far a run is; with the model and the optimiser all that it needs to go on."""

    epoch: int = 0
    step: int = 0  # of this epoch
    loss: float = 0.0  # sum over the steps of this epoch
    curve: list[dict[str, float]] = field(default_factory=list)  # of the epochs before


def finetune(
    model: Classifier,
    images: np.ndarray | EncodedImages,
    labels: np.ndarray,
    spec: RunSpec,
    device: torch.device,
    resume: Path,
    inputs: Mapping[str, str],
    name: str = "run",
    compute: ComputeSpec = ComputeSpec(),
    place: Place = Place(),  # noqa: B008
) -> list[dict[str, float]]:
    """Fine-tune all parameters of `model` in place with AdamW.

    Args:
        model: the start, with the initialisation's weights.
        images: (n, size, size, 3) uint8, or encoded images of any size.
        labels: (n,) int64.
        resume: file for the state of an unfinished run; a run that finds one of the same spec and
            inputs goes on from it and ends with the same weights.
        inputs: name -> SHA-256 of what the run starts from, to tell its state from another's.
        place: of this process, if several share the run; each calls this function.
    Returns:
        the curve: for each epoch `loss` (mean over its images), `lr` at its end and
        `images_per_second` (since the run last started).
    Raises:
        FloatingPointError: the loss or the weights are no longer finite.
        Terminated: SIGTERM came; the state is saved.
        ValueError: a batch has more images than there are or does not split as asked for.
    """
    augmentation = build_augmentation(
        spec.augmentation, spec.min_crop, images.shape[1], model.mean_color
    )
    dataset = AugmentedImages(images, labels, augmentation, spec.seed)
    mixup = (
        Mixup(spec.mixup, label_smoothing=0.0, num_classes=model.head.out_features)
        if spec.mixup
        else None
    )
    model.to(device)
    model.train()
    freeze_norm_statistics(model)
    on_gpu = device.type == "cuda"
    parallel = (
        DistributedDataParallel(model, broadcast_buffers=False) if place.num_processes > 1 else None
    )
    forward = torch.compile(parallel or model) if on_gpu else parallel or model
    optimizer = torch.optim.AdamW(
        model.parameters(), spec.lr, weight_decay=spec.weight_decay, fused=True
    )
    identity = {"spec": asdict(spec), "inputs": dict(inputs)}
    progress = load_state(resume, identity, model, optimizer)
    last_saved = time.monotonic()

    def diverged(what: str) -> FloatingPointError:
        return FloatingPointError(
            f"{name}: {what} in epoch {progress.epoch + 1} of {spec.epochs} (lr {spec.lr:.2g}); a "
            f"smaller lr or a longer warm-up may help. What was last saved is kept in {resume}."
        )

    def save() -> None:
        nonlocal last_saved
        if place.is_first:
            save_state(resume, identity, model, optimizer, progress)
        last_saved = time.monotonic()

    with noting_sigterm() as sigterm:
        while progress.epoch < spec.epochs:
            epoch, first_step = progress.epoch, progress.step
            batches = batches_of_epoch(len(images), spec.batch_size, spec.seed, epoch)
            loader = DataLoader(
                dataset,
                batch_sampler=parts_of(batches[first_step:], epoch, compute, place),
                num_workers=compute.num_workers,
                worker_init_fn=ignore_sigterm,
                pin_memory=on_gpu,
            )
            num_steps = spec.epochs * len(batches)
            loss_sum = torch.full((), progress.loss, device=device)
            title = f"{name} epoch {epoch + 1}/{spec.epochs}"
            started = time.perf_counter()
            total = (len(batches) - first_step) * compute.accumulate
            quiet = None if place.is_first else True
            bar = tqdm(loader, title, total, unit="batch", leave=False, disable=quiet)
            for number, (batch, targets) in enumerate(bar):
                step, part = divmod(number, compute.accumulate)
                step += first_step
                is_last_part = part == compute.accumulate - 1
                batch = batch.to(device, non_blocking=True).float()
                targets = targets.to(device, non_blocking=True)
                seed_all(spec.seed, STEP, epoch, step)
                if mixup:
                    batch, targets = mixup(batch, targets)
                with parallel.no_sync() if parallel and not is_last_part else nullcontext():
                    with autocast(device):
                        logits = forward(batch)
                    loss = cross_entropy(
                        logits.float(), targets, label_smoothing=spec.label_smoothing
                    )
                    loss = loss / compute.accumulate
                    loss.backward()
                loss_sum += loss.detach()
                if not is_last_part:
                    continue
                nn.utils.clip_grad_norm_(model.parameters(), spec.clip_norm)
                lr = spec.lr * lr_factor(epoch * len(batches) + step, spec.warmup_steps, num_steps)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                optimizer.step()
                optimizer.zero_grad()

                minutes = (time.monotonic() - last_saved) / 60
                is_due = 0 < compute.save_minutes <= minutes
                stop, is_due = place.any(bool(sigterm), is_due)
                is_end = step == len(batches) - 1
                if not (stop or is_due or is_end):
                    continue
                progress.step, progress.loss = step + 1, place.mean(loss_sum).item()
                if not math.isfinite(progress.loss):
                    raise diverged(f"the loss is {progress.loss}")
                if is_end:
                    num_images = (step + 1 - first_step) * spec.batch_size
                    speed = num_images / (time.perf_counter() - started)
                    mean_loss = progress.loss / len(batches)
                    logger.info("%s: loss %.4f, %.0f images/s", title, mean_loss, speed)
                    row = {"loss": mean_loss, "lr": lr, "images_per_second": speed}
                    progress = Progress(epoch + 1, curve=[*progress.curve, row])
                    is_due |= compute.save_epochs > 0 and (epoch + 1) % compute.save_epochs == 0
                if stop or is_due:
                    save()
                if stop:
                    raise Terminated(
                        f"{name}: SIGTERM came; saved in {resume} after step {progress.step} of "
                        f"epoch {progress.epoch + 1}, from which the next attempt goes on"
                    )
    if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
        raise diverged("the weights are not finite at the end")
    return progress.curve


def finetune_or_skip(
    on_failure: Literal["error", "skip"], *args: Any, **kwargs: Any
) -> tuple[list[dict[str, float]], str | None]:
    """The curve of `finetune`, and None or the reason why the run failed, if such are skipped.

    A run fails when it is no longer finite; other errors may pass with another attempt.
    """
    try:
        return finetune(*args, **kwargs), None
    except FloatingPointError as error:
        if on_failure == "error":
            raise
        logger.warning("skipped: %s", error)
        return [], str(error)


def parts_of(
    batches: np.ndarray, epoch: int, compute: ComputeSpec, place: Place
) -> Iterator[list[Key]]:
    """The parts of batches (num_steps, batch_size) that this process computes, in their order."""
    num_parts = place.num_processes * compute.accumulate
    for batch in batches:
        for part in split_batch(batch, num_parts)[place.rank :: place.num_processes]:
            yield [(epoch, int(number)) for number in part]


def save_state(path: Path, identity: dict, model, optimizer, progress: Progress) -> None:
    """Write what a run needs to go on, atomically."""
    state = {
        "identity": identity,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": asdict(progress),
    }
    with publish(path) as draft:
        torch.save(state, draft)


def load_state(path: Path, identity: dict, model, optimizer) -> Progress:
    """Restore the state of the same run and say how far it is; without one, change nothing."""
    if not path.exists():
        return Progress()
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state.get("identity") != identity or "progress" not in state:
        logger.warning("%s belongs to another run (spec or inputs differ); starting anew", path)
        return Progress()
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    progress = Progress(**state["progress"])
    logger.info("going on from %s: epoch %d, step %d", path, progress.epoch + 1, progress.step + 1)
    return progress
