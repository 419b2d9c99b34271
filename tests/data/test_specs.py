import pytest

from modelsoups.data.specs import SplitSpec, ViewSpec, parse_dataset


def test_view_larger_than_what_images_are_resized_to_is_refused():
    """A square cut out of a smaller image would have a black border."""
    with pytest.raises(ValueError, match="size <= resize, got size 224 and resize 200.*black"):
        ViewSpec(size=224, resize=200)
    with pytest.raises(ValueError, match="expected 1 <= size"):
        ViewSpec(size=0, resize=200)
    assert ViewSpec(size=224, resize=224).size == 224


def test_spec_of_a_data_set_is_made_of_the_configs_fields():
    split = {"part": "rest", "num_images": 12, "per_class": 1}
    spec = parse_dataset({"path": "train", "layout": "class-folders", "split": split})
    assert spec.split == SplitSpec(**split)
    assert parse_dataset({"path": "train"}).split is None
    with pytest.raises(TypeError, match="num_images"):
        parse_dataset({"path": "train", "num_images": 3})
