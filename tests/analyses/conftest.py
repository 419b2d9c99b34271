"""Real weights of a tiny network, and images for it."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from modelsoups.data.examples import Images
from modelsoups.evaluation.evaluator import EvaluationSet
from modelsoups.evaluation.logits import write_logits
from modelsoups.weights.checkpoints import read_weights
from weight_space import RUNS, make_evaluator, make_model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The initialisation and the four runs: real weights of a tiny network, a little apart."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    start = make_model().state_dict()
    paths = {}
    for model in ["initialization", *RUNS]:
        weights = {
            key: value + 0.05 * value.std(correction=0) * torch.randn_like(value)
            if value.is_floating_point() and "running" not in key and model != "initialization"
            else value
            for key, value in start.items()
        }
        paths[model] = folder / f"{model}.safetensors"
        save_file({key: value.contiguous() for key, value in weights.items()}, paths[model])
    return paths


@pytest.fixture(scope="module")
def photos():
    """Eight images of noise and their labels."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 32, 32, 3), np.uint8)
    labels = rng.integers(0, 3, 8)
    return EvaluationSet(dataset="photos", examples=Images(pixels), labels=labels)


@pytest.fixture(scope="module")
def holdout(photos):
    """As many others."""
    pixels = 255 - photos.examples.pixels
    return EvaluationSet(dataset="holdout", examples=Images(pixels), labels=photos.labels[::-1])


@pytest.fixture(scope="module")
def logits(files, holdout, photos, tmp_path_factory):
    """Data set -> model -> its stored logits."""
    folder = tmp_path_factory.mktemp("logits")
    evaluator = make_evaluator()
    paths: dict = {"holdout": {}, "photos": {}}
    for model, weights in files.items():
        evaluator.pour(read_weights(weights))
        for each in (holdout, photos):
            path = paths[each.dataset][model] = folder / f"{model}-{each.dataset}.parquet"
            write_logits(path, evaluator.logits(each), each.labels, {"weights": model})
    return paths
