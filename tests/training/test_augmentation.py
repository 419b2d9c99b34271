import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.auto_augment import AugmentOp

from modelsoups.study.search import RunSpec
from modelsoups.training.augmentation import AugmentedImages, build_augmentation

GREY = (0.5, 0.5, 0.5)


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))


@pytest.mark.parametrize("name", ["minimal", "medium", "strong", "rand-m9-n2", "rand-m0-n0"])
def test_result_is_uint8_of_the_size_asked_for(picture, name):
    augmented = build_augmentation(name, 0.08, 32, GREY)(picture)
    assert augmented.dtype == torch.uint8
    assert augmented.shape == (3, 32, 32)


def test_same_seed_gives_the_same_picture(picture):
    def augment(seed):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        return build_augmentation("strong", 0.08, 32, GREY)(picture)

    assert torch.equal(augment(1), augment(1))
    assert not torch.equal(augment(1), augment(2))


def test_minimal_never_flips_and_keeps_at_least_nine_tenths(picture):
    """Left half black, right half white: after a 90-100 % crop the outer quarters keep colour."""
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    augment = build_augmentation("minimal", 0.08, 40, GREY)
    for _ in range(50):
        augmented = augment(Image.fromarray(pixels))
        assert augmented[:, :, :10].max() < 30
        assert augmented[:, :, -10:].min() > 225


def test_medium_is_timms_default_with_flip_and_jitter():
    steps = [
        type(step).__name__ for step in build_augmentation("medium", 0.08, 32, GREY).transforms
    ]
    assert "RandomHorizontalFlip" in steps
    assert "ColorJitter" in steps
    assert "RandAugment" not in steps


def test_strong_is_randaugment_of_two_operations_at_magnitude_fifteen():
    [randaugment] = [
        step
        for step in build_augmentation("strong", 0.08, 32, GREY).transforms
        if type(step).__name__ == "RandAugment"
    ]
    assert randaugment.num_layers == 2
    assert {op.magnitude for op in randaugment.ops} == {15}


@pytest.mark.parametrize("magnitude", range(21))
def test_every_operation_works_at_every_magnitude_the_paper_draws(picture, magnitude):
    """RandAugment picks 200 times two of its operations, each with probability one half."""
    augment = build_augmentation(f"rand-m{magnitude}-n2", 0.5, 8, GREY)
    for _ in range(200):
        assert augment(picture).shape == (3, 8, 8)


def test_magnitudes_above_ten_saturate_as_in_the_official_code(picture):
    """timm clips to 10: every pixel of m15 and m20 equals m10's."""

    def posterize(magnitude):
        random.seed(0)
        return np.asarray(AugmentOp("Posterize", prob=1.0, magnitude=magnitude)(picture))

    assert (posterize(15) == posterize(10)).all()
    assert (posterize(5) != posterize(10)).any()


def test_drawn_image_is_augmented_as_the_run_says_to_the_views_size():
    """A minimal crop of a grey image of another size is grey, (3, 32, 32)."""
    spec = RunSpec(
        seed=0, lr=1e-3, weight_decay=0.0, epochs=1, label_smoothing=0.0, mixup=0.0,
        augmentation="minimal", min_crop=0.5, batch_size=2, warmup_steps=0, clip_norm=1.0,
    )  # fmt: skip

    class Pixels(list):
        shape = (2, 32, 32, 3)  # as of encoded images: what they are brought to

    pixels = Pixels([np.full((40, 50, 3), value, np.uint8) for value in (100, 200)])
    examples = AugmentedImages(pixels, spec, SimpleNamespace(mean_color=GREY))
    assert len(examples) == 2
    assert torch.equal(examples.draw(1, epoch=0), torch.full((3, 32, 32), 200, dtype=torch.uint8))
