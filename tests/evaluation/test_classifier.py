import numpy as np

from modelsoups.data.examples import Images
from modelsoups.evaluation.classifier import open_evaluator
from weight_space import BACKBONE, make_evaluator, make_model


def test_evaluator_opens_with_the_backbones_classifier():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    evaluator, plain = open_evaluator(BACKBONE, 3, batch_size=4), make_evaluator()
    weights = make_model().state_dict()
    found = []
    for each in (evaluator, plain):
        each.pour(weights)
        found.append(each.outputs(Images(pixels)))
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-3)
