"""The whole GPU path on the GPU at hand: first whether it is right, then how fast, in ten minutes.

Self-contained: images are noise, the model is open_clip's ViT-B/32 with random weights, the pool 72
perturbations of it. Checks: a training step eager against compiled, bfloat16 against float32, a run
that is stopped and goes on, evaluation and greedy picks against the CPU, streamed against held
ingredients. Speeds, each as a figure of its own: compute alone, loader alone, both (images
augmented by Pillow in workers, and by torch on the device, whose pixels are compared), evaluation,
greedy, learned; with the share of the matrix products' own speed, measured beside, and the memory.
Run `python benchmarks/gpu.py` (30 GB of disk in --folder), or some of it alone:
    python benchmarks/gpu.py --parts training                    loader and augmentation, 2 minutes
    python benchmarks/gpu.py --parts step resume cpu             checks alone
    python benchmarks/gpu.py --parts evaluation soups            speed of evaluation and of soups
    python benchmarks/gpu.py --parts soups --models 24           soups of fewer models: 8 GB of disk
    python benchmarks/gpu.py --device cpu --tiny                 every line in a minute, as a test
What is not met makes the exit status 1.
"""

import argparse
import json
import math
import os
import shutil
import signal
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import THREADS, forward_flop, machine, memory_mib
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, default_collate

from modelsoups.base.progress import Trace
from modelsoups.data.examples import Images
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.evaluation.logits import write_logits
from modelsoups.models.backbones import BackboneSpec, Classifier, build_classifier
from modelsoups.models.devices import autocast, pick_device
from modelsoups.soups import learned as learned_soups
from modelsoups.soups.greedy import greedy
from modelsoups.soups.mixture import Mixture
from modelsoups.soups.pool import Candidate, HeldOut
from modelsoups.soups.registry import GreedySpec, LearnedSpec
from modelsoups.study.search import RunSpec
from modelsoups.training.augmentation import (
    AugmentedImages,
    ImagesAugmentedThere,
    augmented_images,
)
from modelsoups.training.batches import SeededExamples, batches_of_epoch, parts_of
from modelsoups.training.loop import ComputeSpec, finetune
from modelsoups.training.methods import build_methods
from modelsoups.training.processes import Process, Terminated
from modelsoups.weights.checkpoints import read_weights, write_weights

NO_TRACE = Trace(None, None)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large everything is."""

    backbone: BackboneSpec
    pixels: int
    num_classes: int
    batch_size: int  # of training and evaluation
    learned_batch: int
    num_train: int  # images of an epoch
    num_held_out: int
    num_models: int
    num_checked: int  # images that the CPU computes too
    steps: int  # that are timed
    matrix: int  # side of the matrices whose product is timed


FULL = Size(
    backbone=BackboneSpec(library="open_clip", model="ViT-B-32-quickgelu", weights="random"),
    pixels=224,
    num_classes=1000,
    batch_size=512,
    learned_batch=256,
    num_train=20 * 512,
    num_held_out=26_000,
    num_models=72,
    num_checked=128,
    steps=20,
    matrix=8192,
)
TINY = Size(
    backbone=BackboneSpec(library="timm", model="test_vit", weights="random"),
    pixels=160,
    num_classes=10,
    batch_size=8,
    learned_batch=8,
    num_train=16,
    num_held_out=24,
    num_models=3,
    num_checked=8,
    steps=2,
    matrix=128,
)


@dataclass
class Report:
    """What was found, row by row, printed as it comes."""

    deadline: float  # of time.monotonic
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, what: str, value: float, unit: str, bound: str = "", ok: bool | None = None):
        """Add a figure. Args: bound: what it should be. ok: whether it is; None: no check."""
        value, ok = float(value), None if ok is None else bool(ok)
        row = {"what": what, "value": value, "unit": unit, "bound": bound, "ok": ok}
        self.rows.append(row)
        verdict = {True: "ok", False: "NOT MET", None: ""}[ok]
        print(f"{what:58s} {value:14,.5g} {unit:12s} {bound:22s} {verdict}", flush=True)

    def check(self, what: str, value: float, most: float, unit: str = ""):
        """Add a figure that must not be above a bound, nor NaN."""
        self.add(what, value, unit, f"at most {most:g}", value <= most)

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """A part whose failure is a row, and lets the others be."""
        print(f"\n{name}", flush=True)
        start = time.monotonic()
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.add(f"{name}: {type(error).__name__}: {error}"[:300], math.nan, "", "", False)
        took = time.monotonic() - start
        self.rows.append({"what": f"{name}: time", "value": took, "unit": "s"})
        print(f"  ({took:.0f} s)", flush=True)


class Bench:
    """The synthetic data, and what the parts share."""

    def __init__(self, size: Size, device: torch.device, folder: Path, report: Report):
        self.size, self.device, self.folder, self.report = size, device, folder, report
        self.on_gpu = device.type == "cuda"
        self.is_full = self.on_gpu and size.backbone == FULL.backbone  # has the bars of an H100
        self.random = np.random.default_rng(0)
        self.images = self._images("held-out", size.num_held_out)
        self.train_images = self._images("train", size.num_train)
        self.train_labels = self.random.integers(0, size.num_classes, size.num_train)
        torch.manual_seed(0)
        model = build_classifier(size.backbone, size.num_classes)
        # Logits of CLIP's scale: features have norm 1, so a head's rows of norm 20.
        nn.init.normal_(model.head.weight, std=20 / math.sqrt(model.head.in_features))
        self.start = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        self.num_parameters = sum(parameter.numel() for parameter in model.parameters())
        self.forward_flop = forward_flop(model, torch.zeros(1, 3, size.pixels, size.pixels))
        self.limit: dict[str, float] = {}  # precision -> FLOP/s of a large matrix product

    def _images(self, name: str, count: int) -> np.ndarray:
        """Blurred noise (count, pixels, pixels, 3) uint8, memory-mapped, as a view's array is."""
        path = self.folder / f"{name}.npy"
        side = self.size.pixels
        array = np.lib.format.open_memmap(path, "w+", np.uint8, (count, side, side, 3))
        for start in range(0, count, 256):
            part = array[start : start + 256]
            coarse = self.random.integers(0, 256, (len(part), side // 32, side // 32, 3), np.uint8)
            part[:] = coarse.repeat(32, axis=1).repeat(32, axis=2)
        array.flush()
        return np.load(path, mmap_mode="r")

    def model(self, weights: dict[str, torch.Tensor] | None = None) -> Classifier:
        """A classifier on the device with these weights, or those of the start."""
        model = build_classifier(self.size.backbone, self.size.num_classes)
        model.load_state_dict(self.start if weights is None else weights)
        return model.to(self.device)

    def run_spec(self, **changes: Any) -> RunSpec:
        """Hyper-parameters as the paper's."""
        spec = RunSpec(
            seed=0,
            lr=1e-4,
            weight_decay=0.1,
            epochs=2,
            label_smoothing=0.1,
            mixup=0.5,
            augmentation="medium",
            min_crop=0.08,
            batch_size=self.size.batch_size,
            warmup_steps=2,
            clip_norm=1.0,
        )
        return replace(spec, **changes)

    def batch(self, count: int) -> torch.Tensor:
        """The first images as a batch on the device."""
        return Images(self.images).batch(np.arange(count)).to(self.device)

    def wait(self) -> None:
        """Until the device has done all it was given."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def seconds(self, step: Callable[[], Any], count: int, warm: int = 2) -> float:
        """Median seconds of a call, after some that are not counted."""
        times = []
        for number in range(warm + count):
            self.wait()
            start = time.perf_counter()
            step()
            self.wait()
            if number >= warm:
                times.append(time.perf_counter() - start)
        return statistics.median(times)

    def speed(self, what: str, images: float, precision: str, flop: float, bar: float = 0) -> None:
        """Rows of images a second and of their share of the matrix products' speed."""
        bound = f"at least {bar:,.0f}" if bar and self.is_full else ""
        self.report.add(what, images, "images/s", bound, images >= bar if bound else None)
        share = 100 * images * flop / self.limit[precision]
        self.report.add(f"  of the speed of {precision} matrix products", share, "%")

    def bar(self, what: str, value: float, unit: str, most: float | None) -> None:
        """A row of what has a bar on a GPU at full size."""
        bound = "" if most is None or not self.is_full else f"at most {most:g}"
        self.report.add(what, value, unit, bound, value <= most if bound and most else None)

    @contextmanager
    def memory(self, what: str, bar: float | None = None) -> Iterator[None]:
        """A row of the largest memory of the device within the block, and of the process so far."""
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        yield
        if self.on_gpu:
            peak = torch.cuda.max_memory_allocated() / 2**30
            self.bar(f"{what}: GPU memory", peak, "GiB", bar)
        self.report.add(f"{what}: main memory so far", memory_mib("VmHWM") / 1024, "GiB")


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Computing in float32, tf32 or bfloat16."""
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    with torch.autocast(device.type, torch.bfloat16, enabled=name == "bfloat16"):
        yield
    torch.backends.cuda.matmul.allow_tf32 = False


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Norm of the difference relative to the norm of what is wanted."""
    found, wanted = found.double().cpu(), wanted.double().cpu()
    return ((found - wanted).norm() / wanted.norm()).item()


def gradient(bench: Bench, compiled: bool, name: str, count: int) -> tuple[float, torch.Tensor]:
    """Loss and gradient of all parameters, flat, of one batch at the start."""
    model = bench.model().train()
    forward = torch.compile(model) if compiled else model
    labels = torch.from_numpy(bench.train_labels[:count]).to(bench.device)
    with precision(name, bench.device):
        logits = forward(bench.batch(count))
    loss = cross_entropy(logits, labels)
    loss.backward()
    parts = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return loss.item(), torch.cat(parts).cpu()


def check_steps(bench: Bench) -> None:
    """A training step: eager against compiled, bfloat16 against float32."""
    count, check = min(64, bench.size.batch_size), bench.report.check
    loss, wanted = gradient(bench, False, "float32", count)
    for compiled, name, most_loss, most in [
        (True, "float32", 1e-4, 1e-3),
        (False, "bfloat16", 2e-2, 0.1),
        (True, "bfloat16", 2e-2, 0.1),
    ]:
        found_loss, found = gradient(bench, compiled, name, count)
        what = f"{name} {'compiled' if compiled else 'eager'} against float32 eager"
        check(f"loss, {what}", abs(found_loss - loss) / loss, most_loss, "relative")
        check(f"gradient, {what}", distance(found, wanted), most, "relative")
    model = bench.model().eval()
    with torch.inference_mode(), precision("bfloat16", bench.device):
        best = model(bench.batch(bench.size.num_checked)).topk(2).values
    ties = (best[:, 0] == best[:, 1]).float().mean().item()
    check("images with two classes at the top, tower in bfloat16", ties, 0.0)


class Stopping(AugmentedImages):
    """Images that ask the run to stop, as SLURM does, when one is drawn in the second epoch."""

    stop = False

    def draw(self, number: int, epoch: int) -> torch.Tensor:
        if self.stop and epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().draw(number, epoch)


def check_resume(bench: Bench) -> None:
    """A run that is stopped in its second epoch and goes on ends as one that is not stopped."""
    spec = bench.run_spec(batch_size=min(64, bench.size.batch_size))
    count = 2 * spec.batch_size

    def train(resume: str, stop: bool = False) -> torch.Tensor:
        model = bench.model()
        examples = Stopping(bench.train_images[:count], spec, model)
        examples.stop = stop
        path = bench.folder / resume
        labels = bench.train_labels[:count]
        finetune(model, examples, labels, spec, bench.device, path, {}, "resume")
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).cpu()

    whole = train("whole.pt")
    try:
        train("stopped.pt", stop=True)
        raise AssertionError("the run was not stopped")
    except Terminated:
        pass
    resumed = train("stopped.pt")
    again = train("again.pt")
    different = (whole != again).float().mean().item()
    bench.report.check("weights that differ when a run is repeated", different, 0.0, "share")
    different = (whole != resumed).float().mean().item()
    bench.report.check("weights that differ when a run is resumed", different, 0.0, "share")


def make_pool(bench: Bench, count: int) -> list[Candidate]:
    """Perturbations of the start, the later the larger, in files; logits have still to be made."""
    candidates = []
    generator = torch.Generator(bench.device).manual_seed(1)
    for number in range(count):
        weights = {}
        for key, tensor in bench.start.items():
            there = tensor.to(bench.device)
            if there.is_floating_point():
                noise = torch.randn(there.shape, generator=generator, device=bench.device)
                scale = 0.02 * (1 + number / count) * there.std().nan_to_num()
                there = there + scale * noise
            weights[key] = there.cpu()
        path = bench.folder / f"{number:03d}.safetensors"
        write_weights(path, weights)
        logits = bench.folder / f"{number:03d}.parquet"
        candidates.append(Candidate(name=f"{number:03d}", weights=path, logits=logits))
    return candidates


def labels_of(bench: Bench, evaluator: Evaluator, images: Images) -> np.ndarray:
    """Labels that the start has right for about three images in four."""
    evaluator.pour(bench.start)
    labels = evaluator.outputs(images).argmax(axis=1)
    wrong = bench.random.random(len(labels)) < 0.25
    others = bench.random.integers(0, bench.size.num_classes, len(labels))
    return np.where(wrong, others, labels).astype(np.int64)


def write_pool_logits(
    evaluator: Evaluator, pool: list[Candidate], images: Images, labels: np.ndarray
) -> float:
    """Seconds that evaluating all models of a pool takes, without reading and writing."""
    spent = 0.0
    for candidate in pool:
        evaluator.pour(read_weights(candidate.weights), candidate.name)
        start = time.perf_counter()
        logits = evaluator.outputs(images)
        spent += time.perf_counter() - start
        write_logits(candidate.logits, logits, labels, {}, "float32")
    return spent


def check_against_cpu(bench: Bench, pool: list[Candidate]) -> None:
    """Evaluation, greedy picks and a learned soup on the device against the CPU's."""
    size, report = bench.size, bench.report
    images = Images(np.asarray(bench.images[: size.num_checked]))
    on_device = Evaluator(
        bench.model(), device=bench.device, batch_size=size.batch_size, compiled=True
    )
    on_cpu = Evaluator(bench.model().cpu(), batch_size=32)
    labels = labels_of(bench, on_device, images)
    found, wanted = on_device.outputs(images), on_cpu.outputs(images)
    apart = np.abs(found - wanted).max() / np.abs(wanted).max()
    report.check("logits against the CPU's", float(apart), 1e-4, "of largest")
    other = float((found.argmax(axis=1) != wanted.argmax(axis=1)).mean())
    report.check("predictions other than the CPU's", other, 0.0, "share")
    write_pool_logits(on_device, pool, images, labels)
    picks, curves = {}, {}
    for evaluator in (on_device, on_cpu):
        held_out = HeldOut(evaluator, images, labels)
        soup = greedy(GreedySpec(), pool, held_out, NO_TRACE)
        picks[evaluator.device.type] = soup.ingredients
        spec = LearnedSpec(coefficients_per="layer", epochs=1, batch_size=size.num_checked // 2)
        soup = learned_soups.learned(spec, pool, held_out, NO_TRACE)
        curves[evaluator.device.type] = soup.details["curve"][0]
    same = len({tuple(names) for names in picks.values()}) == 1
    report.check(f"greedy picks other than the CPU's ({picks['cpu']})", float(not same), 0.0)
    first, second = (np.array(curves[kind]) for kind in (bench.device.type, "cpu"))
    report.check("losses of a learned soup against the CPU's", abs(first / second - 1).max(), 1e-3)


def time_products(bench: Bench) -> None:
    """What matrix products reach: the limit that speeds are compared with."""
    side = bench.size.matrix
    for name in ("float32", "tf32", "bfloat16"):
        dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
        a, b = torch.randn(2, side, side, device=bench.device).to(dtype)
        with precision(name, bench.device), torch.autocast(bench.device.type, enabled=False):
            took = bench.seconds(partial(torch.mm, a, b), 10)
        bench.limit[name] = 2 * side**3 / took
        bench.report.add(f"{name} product of {side:,} squared", bench.limit[name] / 1e12, "TFLOP/s")


def time_training(bench: Bench) -> None:
    """Compute alone, the loader alone, and both in a run, augmented by Pillow or on the device."""
    size = bench.size
    spec = bench.run_spec()
    model = bench.model().train()
    forward = torch.compile(model) if bench.on_gpu else model
    methods = build_methods(spec, model, num_steps=1000)
    batch, labels = bench.batch(size.batch_size), torch.from_numpy(bench.train_labels)
    labels = labels[: size.batch_size].to(bench.device)

    def step() -> None:
        images, targets = methods.transform(batch, labels)
        with autocast(bench.device, "bfloat16"):
            logits = forward(images)
        methods.loss(logits.float(), targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), spec.clip_norm)
        methods.update(500)

    flop = 3 * bench.forward_flop
    with bench.memory("training step"):
        took = bench.seconds(step, size.steps, warm=4)
    bench.speed("training, compute alone", size.batch_size / took, "bfloat16", flop, 10_000)

    check_augmentation(bench)
    for where, on_device in [("workers", False), ("device", True)]:
        time_loader(bench, replace(spec, augment_on_device=on_device), where, flop)


def check_augmentation(bench: Bench) -> None:
    """Batches augmented on the device against Pillow, image by image; and how fast they are."""
    size, report = bench.size, bench.report

    def draw(kind: type[AugmentedImages], spec: RunSpec, count: int) -> tuple[AugmentedImages, Any]:
        examples = kind(bench.train_images, spec, bench.model())
        seeded = SeededExamples(examples, bench.train_labels, spec.seed)
        return examples, default_collate([seeded[0, number][0] for number in range(count)])

    for name in ("medium", "strong", "autoaugment"):
        spec = bench.run_spec(augmentation=name)
        found, wanted = (
            examples.ready(drawn, bench.device).int()
            for kind in (ImagesAugmentedThere, AugmentedImages)
            for examples, drawn in [draw(kind, spec, size.num_checked)]
        )
        apart = (found - wanted).abs()
        share = (apart > 0).float().mean().item()
        report.check(f"{name} on the device: pixels other than Pillow's", share, 1e-4, "share")
        report.add("  farthest of them", apart.max().item(), "levels")
        examples, (pixels, rows) = draw(ImagesAugmentedThere, spec, size.batch_size)
        take = partial(examples.ready, (pixels.to(bench.device), rows), bench.device)
        with bench.memory(f"{name} on the device"):
            took = bench.seconds(take, size.steps)
        report.add(f"{name} on the device, alone", size.batch_size / took, "images/s")


def time_loader(bench: Bench, spec: RunSpec, where: str, flop: float) -> None:
    """The loader alone and a run with it, images augmented by workers or on the device."""
    size, workers = bench.size, max(1, (os.cpu_count() or 2) - 1)
    examples = augmented_images(bench.train_images, spec, bench.model())
    seeded = SeededExamples(examples, bench.train_labels, spec.seed)
    batches = batches_of_epoch(len(examples), size.batch_size, spec.seed, 0)
    loader = DataLoader(
        seeded,
        batch_sampler=parts_of(batches, 0, 1, Process()),
        num_workers=workers,
        pin_memory=bench.on_gpu,
    )
    start = time.perf_counter()
    for drawn, _ in loader:
        examples.ready(drawn, bench.device)
    bench.wait()
    found = len(batches) * size.batch_size / (time.perf_counter() - start)
    what = f"loader alone, {workers} workers, augmented by {where}"
    bench.report.add(f"training, {what}", found, "images/s")

    model = bench.model()
    with bench.memory(f"training, augmented by {where}"):
        done = finetune(
            model,
            augmented_images(bench.train_images, spec, model),
            bench.train_labels,
            replace(spec, epochs=3),
            bench.device,
            bench.folder / f"{where}.pt",
            {},
            where,
            ComputeSpec(num_workers=workers, save_epochs=0),
        )
    both = max(row["images_per_second"] for row in done.curve[1:])
    bench.speed(f"training, both, augmented by {where}", both, "bfloat16", flop, 8_000)


def time_evaluation(bench: Bench) -> None:
    """Images a second of a whole set, in each precision; read ahead, and held on the device."""
    size = bench.size
    evaluator = Evaluator(
        bench.model(), device=bench.device, batch_size=size.batch_size, compiled=bench.on_gpu
    )
    held = Images(bench.images).to(bench.device)
    for name, bar in [("float32", 0), ("tf32", 0), ("bfloat16", 40_000)]:
        with precision(name, bench.device), bench.memory(f"evaluation, {name}"):
            for how, images in [("held", held), ("read ahead", Images(bench.images))]:
                evaluator.outputs(images, np.arange(2 * size.batch_size) % len(images))
                took = bench.seconds(partial(evaluator.outputs, images), 1, warm=0)
                found = len(images) / took
                bench.speed(f"evaluation, {name}, {how}", found, name, bench.forward_flop, bar)


def time_soups(bench: Bench, pool: list[Candidate], name: str) -> None:
    """Greedy of the whole pool, and steps of a learned soup."""
    size, report = bench.size, bench.report
    images = Images(bench.images).to(bench.device)
    evaluator = Evaluator(
        bench.model(), device=bench.device, batch_size=size.batch_size, compiled=bench.on_gpu
    )
    with precision(name, bench.device):
        labels = labels_of(bench, evaluator, images)
        took = write_pool_logits(evaluator, pool, images, labels)
        speed = len(pool) * len(images) / took
        bench.speed(f"all {len(pool)} models, {name}", speed, name, bench.forward_flop)
        held_out = HeldOut(evaluator, Images(bench.images), labels)
        start = time.perf_counter()
        with bench.memory("greedy"):
            soup = greedy(GreedySpec(), pool, held_out, NO_TRACE)
        took = time.perf_counter() - start
        bench.bar(f"greedy of {len(pool)}, {name}", took, "s", 120)
        share = 100 * soup.details["num_evaluated"] / soup.details["num_of_full_evaluation"]
        report.add("  of the images of a full evaluation", share, "%")
        report.add("  ingredients kept", len(soup.ingredients), "models")
        time_learned(bench, pool, held_out)


def time_learned(bench: Bench, pool: list[Candidate], held_out: HeldOut) -> None:
    """A step of a learned soup, ingredients held or streamed, and one of the model alone."""
    size, report = bench.size, bench.report
    paths = [candidate.weights for candidate in pool]
    indices = np.arange(size.learned_batch)
    labels = torch.from_numpy(held_out.labels[indices]).to(bench.device)
    evaluator = held_out.evaluator

    def alone() -> None:
        evaluator.model.zero_grad()
        cross_entropy(evaluator.forward(held_out.batch(indices)), labels).backward()

    model_seconds = bench.seconds(alone, size.steps)
    report.add("model's own forward and backward pass", model_seconds, "s a step")
    evaluator.model.zero_grad(set_to_none=True)
    losses = {}
    total_gib = 4 * bench.num_parameters * len(pool) / 2**30
    for how, gib in [("held", 2 * total_gib), ("streamed", 0.0)]:
        if bench.on_gpu and gib and total_gib * 2**30 > torch.cuda.mem_get_info()[0] * 0.9:
            report.add(f"learned, {how}: left out, {total_gib:.0f} GiB", math.nan, "s")
            continue
        bar = 8.0 if how == "streamed" else None
        with bench.memory(f"learned, {how}", bar):
            held_out.pour(read_weights(paths[0]), "the first")
            spec = LearnedSpec(coefficients_per="layer", resident_gib=gib)
            mixture = Mixture(evaluator.model, paths, spec)
            learner = learned_soups.Learner(mixture, spec, held_out)
            few = 2 if how == "streamed" else size.steps
            learner.step(indices)
            losses[how] = learner.step(indices)  # with coefficients from a gradient
            took = bench.seconds(partial(learner.step, indices), few)
        report.add(f"learned, {how}", took, "s a step")
        most = 1.15 if how == "held" else 2.0
        bench.bar("  times the model's own pass", took / model_seconds, "times", most)
        steps = 3 * math.ceil(size.num_held_out / size.learned_batch)
        bench.bar(f"  three epochs, {steps} steps", took * steps, "s", 300)
        del mixture, learner
    if len(losses) == 2:
        apart = abs(losses["held"] / losses["streamed"] - 1)
        report.check("losses, ingredients held against streamed", apart, 1e-3)


PARTS = ["step", "resume", "cpu", "training", "evaluation", "soups"]


def with_pool(parts: list[str]) -> bool:
    """Whether any of the parts takes models in files."""
    return bool({"cpu", "soups"} & set(parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, as a test")
    parser.add_argument("--models", type=int, help="of the pool; 72 take 25 GB of disk")
    parser.add_argument("--minutes", type=float, default=9.5, help="no part begins after them")
    parser.add_argument("--folder", type=Path, help="for images and weights; removed at the end")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what is done")
    parser.add_argument(
        "--precision", choices=["float32", "tf32", "bfloat16"], default="tf32", help="of soups"
    )
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), help="file for the figures")
    args = parser.parse_args()
    device = pick_device() if args.device == "cuda" else torch.device("cpu")
    # Read when cuBLAS is first used; in a job that is in fine-tuning, which sets it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if args.device == "cpu":
        torch.set_num_threads(THREADS)
    if args.tiny:  # without C++ kernels, which take minutes to compile
        torch.compile = partial(torch.compile, backend="aot_eager")
    if args.device == "cuda" and device.type != "cuda":
        parser.error("torch finds no GPU; --device cpu --tiny goes through the same lines")
    size = TINY if args.tiny else FULL
    size = replace(size, num_models=args.models or size.num_models)
    report = Report(time.monotonic() + 60 * args.minutes)
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="modelsoups-gpu-", dir=args.folder))
    try:
        bench = Bench(size, device, folder, report)
        print(
            f"{bench.num_parameters / 1e6:.1f} M parameters, {bench.forward_flop / 1e9:.2f} GFLOP"
        )
        time_products(bench)
        num_models = size.num_models if "soups" in args.parts else 4
        pool = make_pool(bench, min(num_models, size.num_models)) if with_pool(args.parts) else []
        parts: dict[str, Callable[[], None]] = {
            "step": lambda: check_steps(bench),
            "resume": lambda: check_resume(bench),
            "cpu": lambda: check_against_cpu(bench, pool[:4]),
            "training": lambda: time_training(bench),
            "evaluation": lambda: time_evaluation(bench),
            "soups": lambda: time_soups(bench, pool, args.precision),
        }
        for name in args.parts:
            with report.section(name):
                if time.monotonic() > report.deadline:
                    raise TimeoutError("left out: the minutes are over")
                parts[name]()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        document = {"machine": machine(), "device": args.device, "tiny": args.tiny}
        args.json.write_text(json.dumps({**document, "rows": report.rows}, indent=1))
    failed = [row["what"] for row in report.rows if row.get("ok") is False]
    print(f"\nfigures in {args.json}; not met: {failed or 'none'}")
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
