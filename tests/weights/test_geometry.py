"""Angles and planes of constructed weights."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from modelsoups.weights.checkpoints import Entry, write_weights
from modelsoups.weights.geometry import (
    angle,
    displacement_products,
    is_repeated_weight,
    plane_coefficients,
    plane_coordinates,
    plane_grid,
)


@pytest.fixture
def write(tmp_path):
    """Write tensors to a file of that name and return its path."""

    def to_file(name: str, **tensors) -> str:
        path = tmp_path / f"{name}.safetensors"
        save_file({key.replace("__", "."): torch.tensor(v) for key, v in tensors.items()}, path)
        return str(path)

    return to_file


def test_angle_is_that_of_the_displacements_not_of_the_weights(write) -> None:
    start = write("start", a=[[10.0, 10.0]], b=[5.0])
    models = [write("x", a=[[13.0, 10.0]], b=[5.0]), write("y", a=[[10.0, 14.0]], b=[5.0])]
    models.append(write("xy", a=[[12.0, 12.0]], b=[5.0]))
    products = displacement_products(start, models)
    np.testing.assert_allclose(products, [[9, 0, 6], [0, 16, 8], [6, 8, 8]])
    assert angle(products, 0, 1) == pytest.approx(90)
    assert angle(products, 0, 2) == pytest.approx(45)


def test_angle_ignores_gains_embedding_and_head(write) -> None:
    zeros = {
        "backbone__blocks__0__conv__weight": [[0.0, 0.0]],
        "backbone__blocks__0__norm__weight": [0.0, 0.0],
        "backbone__conv_stem__weight": [[0.0]],
        "head__weight": [[0.0]],
    }
    one = {
        "backbone__blocks__0__conv__weight": [[1.0, 0.0]],
        "backbone__blocks__0__norm__weight": [5.0, 5.0],
        "backbone__conv_stem__weight": [[7.0]],
        "head__weight": [[7.0]],
    }
    two = {**one, "backbone__blocks__0__conv__weight": [[0.0, 1.0]]}
    models = [write("one", **one), write("two", **two)]
    products = displacement_products(write("start", **zeros), models, is_repeated_weight)
    assert angle(products, 0, 1) == pytest.approx(90)


@pytest.mark.parametrize(
    ("key", "shape", "counts"),
    [
        ("backbone.blocks.3.1.conv_pw.weight", (8, 4, 1, 1), True),
        ("visual.transformer.resblocks.3.mlp.c_fc.weight", (8, 4), True),
        ("visual.transformer.resblocks.3.ln_1.weight", (4,), False),
        ("backbone.conv_stem.weight", (8, 3, 3, 3), False),
        ("backbone.conv_head.weight", (8, 3, 1, 1), False),
        ("head.weight", (54, 8), False),
    ],
)
def test_repeated_weights_are_matrices_of_blocks(key, shape, counts) -> None:
    assert is_repeated_weight(key, Entry(torch.float32, shape, 0)) == counts


def test_tied_tensors_count_once(tmp_path) -> None:
    paths = []
    for x in (0.0, 1.0, 2.0):
        shared = torch.tensor([x])
        paths.append(tmp_path / str(x))
        write_weights(paths[-1], {"embedding": shared, "head": shared, "norm": torch.tensor([x])})
    products = displacement_products(paths[0], paths[1:])
    np.testing.assert_allclose(products, [[2, 4], [4, 8]])


def test_no_tensor_that_counts_is_an_error(write) -> None:
    start = write("start", a=[1.0])
    with pytest.raises(ValueError, match="expected tensors that count, found none among \\['a'\\]"):
        displacement_products(start, [start], is_repeated_weight)


def test_corners_keep_their_distances() -> None:
    # Displacements (3, 0) and (1, 2): lengths 3 and sqrt(5), distance sqrt(8).
    corners = plane_coordinates(np.array([[9.0, 3.0], [3.0, 5.0]]))
    np.testing.assert_allclose(corners, [[0, 0], [3, 0], [1, 2]])


def test_coefficients_give_the_mix_at_its_coordinates() -> None:
    start, first, second = np.array([1.0, 1, 1]), np.array([3.0, 1, 1]), np.array([2.0, 2, 2])
    displacements = np.stack([first, second]) - start
    corners = plane_coordinates(displacements @ displacements.T)
    u1 = displacements[0] / 2
    rest = displacements[1] - (displacements[1] @ u1) * u1
    u2 = rest / np.linalg.norm(rest)
    for x, y in [(0.0, 0.0), (2.0, 0.0), (0.3, -1.7)]:
        coefficients = plane_coefficients(corners, (x, y))
        assert coefficients.sum() == pytest.approx(1)
        mix = coefficients @ np.stack([start, first, second])
        np.testing.assert_allclose(mix, start + x * u1 + y * u2)


def test_corners_have_unit_coefficients() -> None:
    corners = plane_coordinates(np.array([[9.0, 3.0], [3.0, 5.0]]))
    found = [plane_coefficients(corners, corner) for corner in corners]
    np.testing.assert_allclose(found, np.eye(3), atol=1e-12)


def test_models_on_a_line_span_no_plane() -> None:
    with pytest.raises(ValueError, match="found three on a line"):
        plane_coordinates(np.array([[1.0, 2.0], [2.0, 4.0]]))


def test_grid_covers_the_corners_with_a_margin() -> None:
    grid = plane_grid(np.array([[0.0, 0], [10, 0], [2, 4]]), resolution=3, margin=0.1)
    np.testing.assert_allclose(grid[[0, 1, 2, 8]], [[-1, -1], [5, -1], [11, -1], [11, 5]])
