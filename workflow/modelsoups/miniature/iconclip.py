"""IconCLIP: contrastive pre-training of an image tower on open icons and their names.

CLIP and ALIGN in small: the image tower learns to place a drawing near the embedding of its name.
The text tower is a sentence encoder, MiniLM, and stays frozen, so that each name is embedded once.
"""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, normalize
from tqdm import tqdm

from modelsoups.models.backbones import Classifier
from modelsoups.models.devices import autocast, choose_precision
from modelsoups.training.methods import cosine
from modelsoups.training.processes import Terminated, noting_sigterm
from modelsoups.training.resume import Progress, Stateful, load_state, save_state

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PretrainingSpec:
    """How a model is pre-trained on drawings and names."""

    sizes: tuple[int, ...]  # of the images in pixels, one an epoch: small ones are learned faster
    batch_size: int
    lr: float
    weight_decay: float
    warmup_steps: int
    num_negatives: int  # names a batch is compared with beside its own
    seed: int
    clip_norm: float = 1.0
    temperature: float = 0.07  # CLIP's start; learned, and never below 0.01
    save_every: int = 100  # steps between two states that an interrupted run can go on from


class IconCLIP(nn.Module):
    """The image tower in pre-training: a network, a linear projection, and the temperature.

    The state dict has the network's tensors under `backbone.`, `projection.weight`
    (dimensions, features) and `logit_scale`, the logarithm of the inverse temperature.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, start: Classifier, dimensions: int, temperature: float = 0.07, seed: int = 0
    ):
        """The network and its input normalisation are those of `start`, its head is left out."""
        super().__init__()
        self.backbone = start.backbone
        self.register_buffer("mean", start.mean, persistent=False)
        self.register_buffer("std", start.std, persistent=False)
        self.projection = nn.Linear(start.head.in_features, dimensions, bias=False)
        deviation = start.head.in_features**-0.5
        nn.init.normal_(
            self.projection.weight, std=deviation, generator=torch.Generator().manual_seed(seed)
        )
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def forward(self, images: Tensor) -> Tensor:
        """Normalised embeddings (b, dimensions) float32 of images (b, 3, h, w) in [0, 255]."""
        pixels = (images - self.mean) / self.std
        features = self.backbone(pixels.contiguous(memory_format=torch.channels_last))
        return normalize(self.projection(features).float(), dim=-1)


def augment(drawings: Tensor, own_colors: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Drawings on paper, placed, turned and coloured at random: (b, 3, size, size) in [0, 255].

    Of the drawings without colours of their own, two fifths stay black on white; the others take
    ink that shades from one random colour to another, half of them on white, half on random paper.
    Coloured ones mostly stay on white.

    Args:
        drawings: (b, h, w, 4) uint8, red, green, blue and coverage.
        own_colors: (b,) bool, false for a drawing that is black for want of a colour.
        generator: on the CPU, whatever the device of the drawings.
    """
    b = len(drawings)
    device = drawings.device

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        numbers = torch.rand(b, *shape, generator=generator).to(device)
        return low + (high - low) * numbers

    # Where: zoom 0.75 to 1.25, sides 0.85 to 1.15, turn 15 degrees, shift a tenth of the width.
    zoom, side = uniform(low=0.8, high=1.35), uniform(low=0.9, high=1.1)
    angle = uniform(low=-0.26, high=0.26)
    shift = uniform(2, 1, low=-0.2, high=0.2)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    rows = torch.stack([cos * side, -sin / side, sin * side, cos / side], 1).view(b, 2, 2)
    grid = affine_grid(torch.cat([rows, shift], 2), [b, 4, size, size], align_corners=False)
    layers = drawings.permute(0, 3, 1, 2).float() / 255
    coverage = layers[:, 3:]
    layers = torch.cat([layers[:, :3] * coverage, coverage], 1)  # so that edges blend rightly
    placed = grid_sample(layers, grid, align_corners=False)
    picture, coverage = placed[:, :3], placed[:, 3:]

    # Colours.
    ramp = torch.linspace(-1, 1, size, device=device)
    direction = uniform(2, low=-1, high=1)
    # (b, size, size)
    slope = direction[:, :1, None] * ramp + direction[:, 1:, None] * ramp[:, None]
    slope = (0.5 + 0.5 * slope).clamp(0, 1)[:, None]
    first, second = uniform(3, 1, 1), uniform(3, 1, 1)
    paper = uniform(3, 1, 1)
    kind = uniform()[:, None, None, None]
    plain, white = kind < 0.4, kind < 0.7
    dark = (paper.mean((1, 2, 3), keepdim=True) < 0.5) & (kind >= 0.7)
    first, second = (torch.where(dark, 0.35 + 0.65 * c, 0.65 * c) for c in (first, second))
    ink = torch.where(plain, 0, first + (second - first) * slope)
    own = own_colors[:, None, None, None]
    gray = (uniform() < 0.1)[:, None, None, None]
    picture = torch.where(gray, picture.mean(1, keepdim=True), picture)
    picture = torch.where(own, picture, ink * coverage)
    return 255 * (picture + torch.where(white, 1.0, paper) * (1 - coverage)).clamp(0, 1)


def contrastive_loss(embeddings: Tensor, targets: Tensor, names: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of each image's own name among all of `names`.

    Args:
        embeddings: (b, dimensions), normalised.
        targets: (b,) int64, the rows of the images' names.
        names: (n, dimensions), normalised, each once.
        scale: scalar, the inverse temperature.
    """
    return cross_entropy(scale * embeddings @ names.T, targets)


def batch_names(
    own: Tensor, num_names: int, num_negatives: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The names that a batch is compared with, and where in them each image's own name is.

    Args: own: (b,) int64, the images' names. Returns: (n,) int64 without repeats, and (b,) int64.
    """
    drawn = torch.randint(num_names, (num_negatives,), generator=generator)
    names = torch.unique(torch.cat([own, drawn]))
    return names, torch.searchsorted(names, own)


def pretrain(
    model: IconCLIP,
    drawings: np.ndarray,
    own_colors: np.ndarray,
    name_of: np.ndarray,
    names: np.ndarray,
    spec: PretrainingSpec,
    device: torch.device,
    resume: Path,
    inputs: Mapping[str, str],
    title: str = "pre-training",
) -> list[dict[str, float]]:
    """Train `model` in place. Every draw is a function of seed and step, so that a run which was
    interrupted goes on from `resume` and ends with the same weights.

    Args:
        drawings: (n, h, w, 4) uint8.
        own_colors: (n,) bool.
        name_of: (n,) int64, each drawing's row in `names`.
        names: (num_names, dimensions) float32, normalised embeddings.
        inputs: name -> SHA-256 of what the run starts from, to tell its state from another's.
    Returns:
        the curve: every `save_every` steps `step`, `loss` (mean since the last), `temperature`,
        `images_per_second`.
    Raises:
        FloatingPointError: the loss or the weights are no longer finite.
        Terminated: SIGTERM came; the state is saved.
        ValueError: there are fewer drawings than a batch has.
    """
    if len(drawings) < spec.batch_size:
        raise ValueError(
            f"{title}: expected at least a batch of {spec.batch_size} drawings, found "
            f"{len(drawings)}; lower batch_size"
        )
    on_gpu = device.type == "cuda"
    model.to(device)
    forward = torch.compile(model) if on_gpu else model
    text, own_names = torch.from_numpy(names).to(device), torch.from_numpy(name_of)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": spec.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, spec.lr, fused=True)
    steps_per_epoch = len(drawings) // spec.batch_size
    num_steps = len(spec.sizes) * steps_per_epoch
    identity = {"spec": asdict(spec), "inputs": dict(inputs)}
    progress = Progress(precision=choose_precision(device, "auto"))
    state: dict[str, Stateful] = {"model": model, "optimizer": optimizer, "progress": progress}
    if load_state(resume, identity, state):
        logger.info("going on from %s after step %d", resume, progress.step)
    step, curve = progress.step, progress.curve

    def draw(rows: np.ndarray, size: int, *key: int) -> tuple[Tensor, torch.Generator]:
        """Augmented drawings, and the generator for what else is drawn under the same key."""
        number = np.random.SeedSequence([spec.seed, *key]).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(number))
        batch = torch.from_numpy(drawings[rows]).to(device)
        colors = torch.from_numpy(own_colors[rows]).to(device)
        return augment(batch, colors, size, generator), generator

    model.train()
    total, started = torch.zeros((), device=device), time.perf_counter()
    bar = tqdm(total=num_steps, initial=step, desc=title, unit="batch", disable=None)
    with noting_sigterm() as sigterm:
        while step < num_steps:
            epoch, position = divmod(step, steps_per_epoch)
            order = np.random.default_rng([spec.seed, 1, epoch]).permutation(len(drawings))
            rows = order[position * spec.batch_size : (position + 1) * spec.batch_size]
            images, generator = draw(rows, spec.sizes[epoch], 2, step)
            compared, targets = batch_names(
                own_names[rows], len(text), spec.num_negatives, generator
            )
            with autocast(device, progress.precision):
                embeddings = forward(images)
            scale = model.logit_scale.clamp(max=math.log(100)).exp()
            loss = contrastive_loss(
                embeddings, targets.to(device), text[compared.to(device)], scale
            )
            for group in optimizer.param_groups:
                group["lr"] = spec.lr * cosine(step, spec.warmup_steps, num_steps)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), spec.clip_norm)
            optimizer.step()
            total += loss.detach()
            step += 1
            bar.update()
            if sigterm or step % spec.save_every == 0 or step == num_steps:
                done = step - progress.step
                mean_loss = total.item() / done
                if not math.isfinite(mean_loss):
                    raise FloatingPointError(
                        f"{title}: the loss is {mean_loss} at step {step} of {num_steps} (lr "
                        f"{spec.lr:.2g}); a smaller lr or a longer warm-up may help. The last "
                        f"finite state is kept in {resume}."
                    )
                speed = done * spec.batch_size / (time.perf_counter() - started)
                row = {"step": step, "loss": mean_loss, "temperature": 1 / scale.item()}
                curve.append({**row, "images_per_second": speed})
                logger.info(
                    "%s: step %d/%d loss %.3f, %.0f/s", title, step, num_steps, mean_loss, speed
                )
                progress.step = step
                save_state(resume, identity, state)
                total.zero_()
                started = time.perf_counter()
                if sigterm:
                    raise Terminated(f"{title}: SIGTERM came; saved in {resume} after step {step}")
    bar.close()
    if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
        raise FloatingPointError(
            f"{title}: the weights are not finite at the end (lr {spec.lr:.2g}); a smaller lr or a "
            "longer warm-up may help"
        )
    return curve


def halve(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels in float16; vectors, which take no room, as they are."""
    return {key: t.half() if t.ndim > 1 else t for key, t in weights.items()}
