"""Models made elsewhere have the accuracy that is known of them."""

import numpy as np
import pytest

from modelsoups.evaluation.logits import write_logits
from modelsoups.soups.own import check_accuracies


def test_accuracy_that_is_known_has_to_come_out(tmp_path):
    labels = np.zeros(200, int)
    logits = np.zeros((200, 2), np.float32)
    logits[:50, 1] = 1  # 75 % right
    write_logits(tmp_path / "a.parquet", logits, labels, {})
    found = check_accuracies({"a": tmp_path / "a.parquet"}, {"a": 0.754})
    assert found.values.tolist() == [["a", 0.754, 0.75]]
    with pytest.raises(
        ValueError, match="a: 0.7500, not 0.6900. Are they seen as they were trained"
    ):
        check_accuracies({"a": tmp_path / "a.parquet"}, {"a": 0.69})
