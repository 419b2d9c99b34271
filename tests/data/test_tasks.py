import subprocess
import sys

import numpy as np

from imagenet_trees import WNIDS, write_train
from modelsoups.data.specs import DatasetSpec, ViewSpec
from modelsoups.data.tasks import TASKS


def test_task_lists_its_examples_and_opens_them_to_evaluate_and_to_train(tmp_path):
    task = TASKS["images"]
    root = write_train(tmp_path / "train", per_class=1)
    index, _ = task.index(DatasetSpec(path=str(root), layout="class-folders"), WNIDS)
    index.to_parquet(tmp_path / "index.parquet")
    examples = task.open(tmp_path / "index.parquet", ViewSpec(size=4, resize=4))
    assert examples.batch(np.array([2, 0])).shape == (2, 3, 4, 4)
    training = task.open_training(tmp_path / "index.parquet", 4, "torchvision")
    assert (len(training), training[1].shape) == (3, (9, 12, 3))


def test_listing_examples_does_without_torch():
    code = "import sys, modelsoups.data.tasks; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
