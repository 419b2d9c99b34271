"""What torch does to a batch is what timm and Pillow do to each image, with the same seed."""

import numpy as np
import pandas as pd
import pytest
import timm.data.auto_augment
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from modelsoups.data.views import EncodedImages
from modelsoups.study.search import RunSpec
from modelsoups.training.augmentation import (
    AugmentedImages,
    ImagesAugmentedThere,
    build_augmentation,
    fill_color,
)
from modelsoups.training.batches import seed_all
from modelsoups.training.drawn import MOVES, OPERATIONS, recorder
from modelsoups.training.pixels import APPLY, augment, weights

CPU = torch.device("cpu")
MEAN = (0.48, 0.46, 0.41)
SIDE = 96


@pytest.fixture(scope="module")
def photos():
    """Parts of two photographs, (16, SIDE, SIDE, 3) uint8."""
    corners = [(top, left) for top in (0, 130, 230, 331) for left in (40, 500)]
    return np.stack(
        [
            photo[top : top + SIDE, left : left + SIDE]
            for photo in load_sample_images().images
            for top, left in corners
        ]
    )


def by_pillow(policy, photos):
    """(n, 3, size, size) uint8: each photo augmented by itself."""
    found = []
    for number, photo in enumerate(photos):
        seed_all(7, number)
        found.append(policy(Image.fromarray(photo)))
    return torch.stack(found)


def by_torch(policy, photos, size):
    """The same photos, in one batch."""
    draw, rows = recorder([policy]), []
    for number, photo in enumerate(photos):
        seed_all(7, number)
        rows.append(draw(policy, *photo.shape[:2]))
    rows = torch.from_numpy(np.stack(rows))
    return augment(torch.from_numpy(photos), rows, size, fill_color(MEAN))


POLICIES = ("none", "minimal", "medium", "strong", "crop", "autoaugment", "rand-m25-n3-mmax25")


@pytest.mark.parametrize("size", [SIDE, 56, 130])
@pytest.mark.parametrize("name", POLICIES)
def test_augmented_batch_has_the_pixels_of_pillow(photos, name, size):
    """All of them, at the same, a smaller and a larger size."""
    policy = build_augmentation(name, 0.08, size, MEAN)
    wanted = by_pillow(policy, photos)
    assert torch.equal(by_torch(policy, photos, size), wanted)
    assert name == "none" or not torch.equal(wanted, by_pillow(policy, photos[::-1].copy()))


ARGUMENTS = {
    "rotate": (-30, 0, 17, 75),
    "posterize": (0, 1, 4, 8, 10),
    "solarize": (0, 100, 256),
    "solarize_add": (0, 40, 128),
    **dict.fromkeys(("shear_x", "shear_y", "translate_x_rel", "translate_y_rel"), (-0.45, 0.3)),
    **dict.fromkeys(("brightness", "contrast", "color", "sharpness"), (0.1, 0.6, 1.0, 1.9)),
}


@pytest.mark.parametrize("name", OPERATIONS[1:])
def test_each_operation_gives_the_pixels_of_pillow_at_all_strengths(photos, name):
    flat = np.full((1, SIDE, SIDE, 3), 77, np.uint8)  # nothing to stretch or to equalise
    photos = np.concatenate([photos, flat])
    batch = torch.from_numpy(photos).permute(0, 3, 1, 2).contiguous()
    fill = (10, 20, 30)
    function = getattr(timm.data.auto_augment, name)
    for argument in ARGUMENTS.get(name, [None]):
        for bicubic in (False, True) if name in MOVES else (False,):
            given = torch.full((len(batch),), argument or 0, dtype=torch.float64)
            which = torch.full((len(batch),), bicubic)
            there = torch.tensor(fill, dtype=torch.uint8).view(3, 1, 1)
            found = APPLY[name](batch, given, which, there).permute(0, 2, 3, 1).numpy()
            mode = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
            options = {"fillcolor": fill, "resample": mode}
            arguments = () if argument is None else (argument,)
            for photo, one in zip(photos, found, strict=True):
                wanted = np.asarray(function(Image.fromarray(photo), *arguments, **options))
                assert (one == wanted).all(), (argument, bicubic)


def test_weights_are_means_of_the_boxs_pixels_alone():
    """Four pixels from the third on, made two: a triangle of reach 2, cut off at the box's ends.

    Its middles are 1 and 3, its heights there at the pixels' middles 0.5, 1.5, 2.5, 3.5: for the
    first 0.75, 0.75, 0.25, 0, of a sum of 1.75.
    """
    box = (torch.tensor([2.0]), torch.tensor([4.0]), torch.tensor([0.0]))
    found = weights(*(each.double() for each in box), size=2, full=8, device=CPU)
    wanted = [[0, 0, 3, 3, 1, 0, 0, 0], [0, 0, 0, 1, 3, 3, 0, 0]]
    assert torch.allclose(found[0], torch.tensor(wanted).double() / 7, atol=1e-6)


def spec_of(augmentation, epochs=2):
    return RunSpec(
        seed=0, lr=1e-3, weight_decay=0.0, epochs=epochs, label_smoothing=0.0, mixup=0.0,
        augmentation=augmentation, min_crop=0.5, batch_size=2, warmup_steps=0, clip_norm=1.0,
    )  # fmt: skip


class Model:
    mean_color = MEAN
    preprocessing = None


def drawn(examples, number, epoch):
    """What a run's examples give, as the model takes it."""
    seed_all(3, epoch, number)
    found = examples.draw(number, epoch)
    if not isinstance(found, torch.Tensor):
        found = [each[None] for each in found]
    return examples.ready(found, CPU).view(3, SIDE, SIDE)


@pytest.mark.parametrize("name", ["stochastic", "fix-aug"])
def test_policies_of_policies_draw_the_same_in_every_epoch(photos, name):
    kinds = AugmentedImages, ImagesAugmentedThere
    by_one, in_batches = (kind(photos, spec_of(name), Model()) for kind in kinds)
    for epoch in range(2):
        for number in range(len(photos)):
            assert torch.equal(drawn(in_batches, number, epoch), drawn(by_one, number, epoch))


def test_encoded_images_of_all_sizes_are_cropped_where_they_are_decoded(photos, tmp_path):
    files = []
    for number, photo in enumerate(photos[:4]):
        files.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(photo[: 60 + number, :80]).save(files[-1])
    images = EncodedImages(pd.DataFrame({"file": files, "row": -1}), SIDE)
    kinds = AugmentedImages, ImagesAugmentedThere
    by_one, in_batches = (kind(images, spec_of("strong"), Model()) for kind in kinds)
    for number in range(4):
        assert torch.equal(drawn(in_batches, number, 0), drawn(by_one, number, 0))
