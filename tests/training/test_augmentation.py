import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.auto_augment import AugmentOp

from modelsoups.data.texts import PADDING
from modelsoups.study.search import RunSpec
from modelsoups.training.augmentation import AUGMENTED, AugmentedImages, build_augmentation

GREY = (0.5, 0.5, 0.5)


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))


NAMES = ("minimal", "medium", "strong", "crop", "autoaugment", "rand-m9-n2", "rand-m0-n0")


@pytest.mark.parametrize("name", [*NAMES, "rand-m25-n2-mmax25"])
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


def test_none_takes_the_square_in_the_middle_of_an_image(picture):
    """An array's images, which are square, stay as they are, to the pixel."""
    augment = build_augmentation("none", 0.08, 40, GREY)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert all(torch.equal(augment(picture), pixels) for _ in range(20))
    wide = np.full((40, 80, 3), 255, np.uint8)
    wide[:, 20:60] = np.asarray(picture)
    assert torch.equal(augment(Image.fromarray(wide)), pixels)


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


BASIC = [f"rand-m{magnitude}-n2-mmax{magnitude}" for magnitude in (15, 20, 25)]  # Appendix C


@pytest.mark.parametrize("name", [*[f"rand-m{m}-n2" for m in range(21)], *BASIC, "autoaugment"])
def test_every_operation_works_at_every_magnitude_the_paper_draws(picture, name):
    """RandAugment picks 200 times two of its operations, each with probability one half."""
    augment = build_augmentation(name, 0.5, 8, GREY)
    for _ in range(200):
        assert augment(picture).shape == (3, 8, 8)


def test_magnitudes_above_ten_saturate_as_in_the_official_code(picture):
    """timm clips to 10: every pixel of m15 and m20 equals m10's."""

    def posterize(magnitude):
        random.seed(0)
        return np.asarray(AugmentOp("Posterize", prob=1.0, magnitude=magnitude)(picture))

    assert (posterize(15) == posterize(10)).all()
    assert (posterize(5) != posterize(10)).any()


def test_drawn_text_is_its_tokens_in_every_epoch():
    tokens = np.array([[5, 6, PADDING], [7, PADDING, PADDING]], np.int32)
    examples = AUGMENTED["text"](tokens, None, None)
    assert len(examples) == 2
    assert examples.lengths().tolist() == [2, 1]
    assert examples.draw(1, epoch=3).tolist() == tokens[1].tolist()


SPEC = RunSpec(
    seed=0, lr=1e-3, weight_decay=0.0, epochs=3, label_smoothing=0.0, mixup=0.0,
    augmentation="minimal", min_crop=0.5, batch_size=2, warmup_steps=0, clip_norm=1.0,
)  # fmt: skip


def examples_of(picture, fixed_size=None, **changes):
    """Training examples of a run: twice this picture, of a view of 32 pixels."""
    pixels = np.stack([np.asarray(picture)] * 2)
    model = SimpleNamespace(mean_color=GREY, preprocessing=SimpleNamespace(fixed_size=fixed_size))
    return AugmentedImages(pixels, replace(SPEC, **changes), model)


def test_drawn_image_is_augmented_as_the_run_says_to_the_views_size():
    """A minimal crop of a grey image of another size is grey, (3, 32, 32)."""

    class Pixels(list):
        shape = (2, 32, 32, 3)  # as of encoded images: what they are brought to

    pixels = Pixels([np.full((40, 50, 3), value, np.uint8) for value in (100, 200)])
    examples = AugmentedImages(pixels, SPEC, SimpleNamespace(mean_color=GREY))
    assert len(examples) == 2
    assert examples.lengths().tolist() == [1, 1]
    assert torch.equal(examples.draw(1, epoch=0), torch.full((3, 32, 32), 200, dtype=torch.uint8))


def test_magnitudes_go_beyond_ten_where_their_policy_has_a_maximum():
    """As in the AutoAugment authors' code: 25 of 10 of a rotation of up to 30 degrees is 75."""
    [policy] = [
        step
        for step in build_augmentation("rand-m25-n2-mmax25", 0.08, 32, GREY).transforms
        if type(step).__name__ == "RandAugment"
    ]
    [rotate] = [op for op in policy.ops if op.name == "Rotate"]
    assert {op.magnitude for op in policy.ops} == {25}
    assert rotate.magnitude_max == 25
    assert {abs(rotate.level_fn(25, {})[0]) for _ in range(9)} == {75}


def test_crop_is_a_random_crop_and_a_flip_alone():
    steps = [type(each).__name__ for each in build_augmentation("crop", 0.05, 32, GREY).transforms]
    assert steps == [
        "RandomResizedCropAndInterpolation",
        "RandomHorizontalFlip",
        "MaybePILToTensor",
    ]


def test_crop_ratio_bounds_the_sides_of_random_crops_and_is_timms_if_not_given():
    def ratio_of(**options):
        return build_augmentation("crop", 0.9, 32, GREY, **options).transforms[0].ratio

    assert ratio_of() == (3 / 4, 4 / 3)
    assert ratio_of(crop_ratio=1.05) == pytest.approx((0.952, 1.05), abs=1e-3)


def draw_seeded(examples, seed, epoch=0):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return examples.draw(0, epoch)


def test_stochastic_is_each_of_the_three_strengths_for_a_third_of_the_images(picture, monkeypatch):
    monkeypatch.setattr(
        "modelsoups.training.augmentation.build_augmentation", lambda name, *_: lambda image: name
    )
    examples = examples_of(picture, augmentation="stochastic")
    drawn = [draw_seeded(examples, seed, seed % 3) for seed in range(3000)]
    for name in ("minimal", "medium", "strong"):
        assert drawn.count(name) / 3000 == pytest.approx(1 / 3, abs=0.03)


def test_fix_aug_is_strong_before_the_last_epoch_and_minimal_in_it(picture):
    fixed = examples_of(picture, augmentation="fix-aug")
    for name, epoch in (("strong", 0), ("strong", 1), ("minimal", 2)):
        wanted = draw_seeded(examples_of(picture, augmentation=name), 1, epoch)
        assert torch.equal(draw_seeded(fixed, 1, epoch), wanted)
    assert not torch.equal(draw_seeded(fixed, 1, 0), draw_seeded(fixed, 1, 2))


def test_training_images_may_be_smaller_than_those_of_the_view(picture):
    assert examples_of(picture, train_size=24).draw(0, 0).shape == (3, 24, 24)
    assert examples_of(picture).draw(0, 0).shape == (3, 40, 40)


def test_train_size_that_the_backbone_cannot_read_is_refused(picture):
    with pytest.raises(ValueError, match="reads images of 40 pixels alone, got 24; leave it out"):
        examples_of(picture, fixed_size=40, train_size=24)
