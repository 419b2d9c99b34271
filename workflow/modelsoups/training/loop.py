"""Fine-tune a classifier end to end: one run of a sweep (paper Sec. 2, Appendix J.2.1).

All randomness is a function of the run's seed and of an epoch, an example or a step. So a run that
is stopped anywhere goes on exactly as it would have, and its result depends on the number of
processes and of parts of a batch by rounding alone.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader
from tqdm import tqdm

from modelsoups.models.backbones import Classifier
from modelsoups.models.devices import Precision, autocast, choose_precision
from modelsoups.study.search import RunSpec, as_params
from modelsoups.training.augmentation import AugmentedExamples
from modelsoups.training.batches import (
    STEP,
    SeededExamples,
    batches_of_epoch,
    parts_of,
    seed_all,
)
from modelsoups.training.curves import Watch
from modelsoups.training.machine import READ_AHEAD, check_shared_memory, deterministic
from modelsoups.training.methods import Follower, Methods, build_methods
from modelsoups.training.processes import Process, Terminated, ignore_sigterm, noting_sigterm
from modelsoups.training.resume import Progress, Stateful, load_state, save_state
from modelsoups.weights.checkpoints import Weights

logger = logging.getLogger(__name__)

T = TypeVar("T")
Part = list[Any]  # what was drawn of the examples, and labels


@dataclass(frozen=True, kw_only=True)
class ComputeSpec:
    """How a run is computed: its speed, memory and safety. Its result differs by rounding alone."""

    accumulate: int = 1  # parts of a batch (of each process) that are computed one after another
    num_workers: int = 0  # processes that augment; 0: this one does
    save_minutes: float = 10.0  # the state is saved after so many minutes, 0: never
    save_epochs: int = 1  # and after so many epochs, 0: never
    precision: Precision = "auto"  # of forward passes; the head and the loss are float32 always

    def __post_init__(self):
        if self.precision not in get_args(Precision):
            raise ValueError(
                f"precision: expected {', '.join(get_args(Precision))}, got {self.precision!r}"
            )
        if self.accumulate < 1 or min(self.num_workers, self.save_minutes, self.save_epochs) < 0:
            raise ValueError(
                "compute: expected accumulate >= 1, num_workers >= 0, save_minutes >= 0, "
                f"save_epochs >= 0, got {asdict(self)}"
            )


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run went, and what it leaves beside the weights of its model."""

    # For each epoch `loss` (mean over its examples), `lr` at its end and `images_per_second` (since
    # the run last started).
    curve: list[dict[str, float]] = field(default_factory=list)
    precision: Precision = "auto"  # of its forward passes
    averages: dict[str, Weights] = field(default_factory=dict)  # along its trajectory, by name


def freeze_norm_statistics(model: nn.Module) -> None:
    """Keep BatchNorm's running statistics as they are; its gains and biases stay trainable.

    Statistics of small batches at low resolution wreck a model at evaluation, and statistics
    that no run changes are the same in every ingredient of a soup.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def finetune(
    model: Classifier,
    examples: AugmentedExamples,
    labels: np.ndarray,
    spec: RunSpec,
    device: torch.device,
    resume: Path,
    inputs: Mapping[str, str],
    name: str = "run",
    compute: ComputeSpec = ComputeSpec(),
    process: Process = Process(),  # noqa: B008
    followers: Callable[[Methods], Mapping[str, Follower]] = lambda methods: {},
    teachers: Sequence[nn.Module] = (),
    watch: Watch = lambda curve: None,
) -> Ended:
    """Fine-tune all parameters of `model` in place; with `freeze_head` all but the head's.

    Args:
        model: the start, with the initialisation's weights.
        labels: (n,) int64, of the examples.
        resume: file for the state of an unfinished run; a run that finds one of the same spec and
            inputs goes on from it and ends with the same weights.
        inputs: name -> SHA-256 of what the run starts from, to tell its state from another's.
        process: this one, if several share the run; each calls this function.
        followers: what follows the weights besides what the hyper-parameters name, by a name; made
            from the run's methods.
        teachers: the models that `spec.teachers` names, in this order.
        watch: is shown the curve so far, when the run begins or goes on, and after each epoch.
    Returns:
        how it went, and averages along its trajectory.
    Raises:
        FloatingPointError: the loss or the weights are no longer finite.
        Terminated: SIGTERM came; the state is saved.
        ValueError: a batch has more examples than there are or does not split as asked for, or the
            teachers are not as many as the run names.
    """
    model.to(device)
    model.train()
    freeze_norm_statistics(model)
    model.head.requires_grad_(not spec.freeze_head)
    on_gpu = device.type == "cuda"
    parallel = (
        DistributedDataParallel(model, broadcast_buffers=False)
        if process.num_processes > 1
        else None
    )
    forward = torch.compile(parallel or model) if on_gpu else parallel or model
    seeded = SeededExamples(examples, labels, spec.seed)
    if compute.num_workers:
        num_bytes = sum(tensor.nbytes for tensor in tree_leaves(seeded[0, 0][0]))
        part_size = spec.batch_size // (compute.accumulate * process.num_processes)
        check_shared_memory(compute.num_workers * process.num_processes, part_size * num_bytes)
    steps_per_epoch = len(examples) // spec.batch_size
    lengths = examples.lengths() if spec.group_by_length else None
    num_steps = spec.epochs * steps_per_epoch
    methods = build_methods(spec, model, num_steps, [each.to(device) for each in teachers])
    identity: dict[str, Any] = {"spec": as_params(spec), "inputs": dict(inputs)}
    if compute.precision != "auto":
        identity["precision"] = compute.precision
    progress = Progress(precision=choose_precision(device, compute.precision))
    state: dict[str, Stateful] = {"model": model, "optimizer": methods.optimizer}
    methods.followers.update(followers(methods))
    state |= {"progress": progress, **methods.followers}
    if load_state(resume, identity, state, process):
        where = progress.epoch + 1, progress.step + 1
        logger.info("going on from %s: epoch %d, step %d", resume, *where)
    last_saved = time.monotonic()
    watch(progress.curve)

    def backward(parts: list[Part], step: int, together: bool = True) -> list[Tensor]:
        """Add the gradient of this process's parts of a batch, or `together` that of all processes;
        the parts' shares of its mean loss."""
        losses = []
        for number, (drawn, targets) in enumerate(parts, 1):
            batch = examples.ready(drawn, device)
            targets = targets.to(device, non_blocking=True)
            seed_all(spec.seed, STEP, progress.epoch, step)
            is_shared = together and number == len(parts)
            with parallel.no_sync() if parallel and not is_shared else nullcontext():
                with autocast(device, progress.precision):
                    batch, targets = methods.transform(batch, targets)
                    logits = forward(batch)
                loss = methods.loss(logits.float(), targets) / len(parts)
                loss.backward()
            losses.append(loss.detach())
        return losses

    def diverged(what: str) -> FloatingPointError:
        return FloatingPointError(
            f"{name}: {what} in epoch {progress.epoch + 1} of {spec.epochs} (lr {spec.lr:.2g}); a "
            f"smaller lr or a longer warm-up may help. What was last saved is kept in {resume}."
        )

    with noting_sigterm() as sigterm, deterministic(device):
        while progress.epoch < spec.epochs:
            epoch, first_step = progress.epoch, progress.step
            batches = batches_of_epoch(len(examples), spec.batch_size, spec.seed, epoch, lengths)
            loader = DataLoader(
                seeded,
                batch_sampler=parts_of(batches[first_step:], epoch, compute.accumulate, process),
                num_workers=compute.num_workers,
                prefetch_factor=READ_AHEAD if compute.num_workers else None,
                worker_init_fn=ignore_sigterm,
                pin_memory=on_gpu,
            )
            loss_sum = torch.full((), progress.loss, device=device)
            title = f"{name} epoch {epoch + 1}/{spec.epochs}"
            started = time.perf_counter()
            total = (len(batches) - first_step) * compute.accumulate
            quiet = None if process.is_first else True
            bar = tqdm(loader, title, total, unit="batch", leave=False, disable=quiet)
            for step, parts in enumerate(in_groups(bar, compute.accumulate), first_step):
                for loss in methods.gradient(partial(backward, parts, step)):
                    loss_sum += loss
                nn.utils.clip_grad_norm_(model.parameters(), spec.clip_norm)
                methods.update(epoch * len(batches) + step)

                minutes = (time.monotonic() - last_saved) / 60
                is_due = 0 < compute.save_minutes <= minutes
                stop, is_due = process.any(bool(sigterm), is_due)
                is_end = step == len(batches) - 1
                if not (stop or is_due or is_end):
                    continue
                progress.step, progress.loss = step + 1, process.mean(loss_sum).item()
                if not math.isfinite(progress.loss):
                    raise diverged(f"the loss is {progress.loss}")
                if is_end:
                    num_examples = (step + 1 - first_step) * spec.batch_size
                    speed = num_examples / (time.perf_counter() - started)
                    mean_loss = progress.loss / len(batches)
                    logger.info("%s: loss %.4f, %.0f images/s", title, mean_loss, speed)
                    lr = methods.lr_at(epoch * len(batches) + step)
                    methods.end_epoch(epoch)
                    progress.next_epoch({"loss": mean_loss, "lr": lr, "images_per_second": speed})
                    watch(progress.curve)
                    is_due |= compute.save_epochs > 0 and (epoch + 1) % compute.save_epochs == 0
                if stop or is_due:
                    if process.is_first:
                        save_state(resume, identity, state)
                    process.wait()  # no process stops, or says that it is saved, before it is
                    last_saved = time.monotonic()
                if stop:
                    raise Terminated(
                        f"{name}: SIGTERM came; saved in {resume} after step {progress.step} of "
                        f"epoch {progress.epoch + 1}, from which the next attempt goes on"
                    )
    if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
        raise diverged("the weights are not finite at the end")
    return Ended(curve=progress.curve, precision=progress.precision, averages=methods.averaged())


def in_groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many items after one another at a time."""
    items = iter(items)
    while group := list(islice(items, size)):
        yield group


def finetune_or_skip(
    on_failure: Literal["error", "skip"], *args: Any, **kwargs: Any
) -> tuple[Ended, str | None]:
    """What `finetune` returns, and None or the reason why the run failed, if such are skipped.

    A run fails when it is no longer finite; other errors may pass with another attempt.
    """
    try:
        return finetune(*args, **kwargs), None
    except FloatingPointError as error:
        if on_failure == "error":
            raise
        logger.warning("skipped: %s", error)
        return Ended(), str(error)
