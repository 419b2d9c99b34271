import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imagenet_trees import write_objectnet
from modelsoups.data.class_maps import (
    build_class_map,
    load_json,
    pool_logits,
    read_objectnet,
    read_synsets,
)

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "../shared/data/objectnet"
CLASSES = pd.read_csv(ROOT / "resources/imagenet/classes.csv").id.tolist()


def test_without_a_name_the_classes_are_the_studys_own():
    class_map = build_class_map(None, ["cat", "dog"])
    assert (class_map.ids, class_map.logits.tolist()) == (["cat", "dog"], [[0], [1]])


@pytest.mark.parametrize("name", ["imagenet-a", "imagenet-r"])
def test_a_and_r_take_the_200_indices_that_timm_ships(name):
    from importlib.resources import files

    path = files("timm.data") / "_info" / f"{name.replace('-', '_')}_indices.txt"
    class_map = build_class_map(name, CLASSES)
    assert class_map.logits[:, 0].tolist() == [int(line) for line in path.read_text().split()]
    assert class_map.ids == read_synsets(name) == sorted(class_map.ids)
    assert len(class_map.ids) == 200


def test_classes_that_are_no_wnids_are_an_error():
    with pytest.raises(ValueError, match=r"expected classes named by wnid, found \['cat'"):
        build_class_map("imagenet-a", ["cat", "dog"])


def test_objectnet_pools_the_classes_of_a_folder_and_numbers_folders_sorted(tmp_path):
    class_map = read_objectnet(write_objectnet(tmp_path) / "mappings")
    assert class_map.ids == ["alarm_clock", "tie"]
    # analog clock: line 3 is class 0; digital clock: line 2 is class 2; Windsor tie: 0 is class 1.
    assert class_map.logits.tolist() == [[0, 2], [1, 1]]
    assert class_map.ignored == {"spatula"}


def test_label_on_two_lines_is_an_error(tmp_path):
    mappings = write_objectnet(tmp_path) / "mappings"
    (mappings / "objectnet_to_imagenet_1k.json").write_text(json.dumps({"Tie": "crane"}))
    with pytest.raises(ValueError, match="the label 'crane' .* found it on 2"):
        read_objectnet(mappings)


def test_missing_file_of_the_archive_is_named(tmp_path):
    mappings = write_objectnet(tmp_path) / "mappings"
    (mappings / "pytorch_to_imagenet_2012_id.json").unlink()
    with pytest.raises(ValueError, match="pytorch_to_imagenet_2012_id.json: expected a file of"):
        read_objectnet(mappings)


@pytest.mark.skipif(not SHARED.exists(), reason="ObjectNet's own mappings are not there")
def test_objectnets_own_mappings_give_113_classes_over_125_of_imagenets():
    class_map = read_objectnet(SHARED)
    expected = json.loads((SHARED / "objectnet113.json").read_text())
    assert class_map.ids == [entry["folder"] for entry in expected]
    pooled = [sorted(set(row)) for row in class_map.logits.tolist()]
    assert pooled == [entry["imagenet_indices"] for entry in expected]
    assert len(set(class_map.logits.flatten().tolist())) == 125
    assert len(class_map.ignored) == 200


def test_logit_of_a_class_is_the_maximum_of_those_it_pools():
    logits = np.array([[1, 5, 3], [4, 0, 9]], np.float32)
    pooled = pool_logits(logits, np.array([[0, 2], [1, 1]]))
    assert pooled.tolist() == [[3, 5], [9, 0]]
    labels = np.array([1, 1])  # right, wrong: accuracy 1/2
    assert (pooled.argmax(axis=1) == labels).mean() == 0.5


def test_own_classes_leave_the_logits_as_they_are():
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(pool_logits(logits, np.arange(3)[:, None]), logits)


def test_map_beyond_the_models_classes_is_an_error():
    with pytest.raises(ValueError, match="class map names class 3, the model has 3"):
        pool_logits(np.zeros((1, 3)), np.array([[3]]))


def test_file_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "real.json"
    path.write_text("<html>404</html>")
    with pytest.raises(ValueError, match="real.json: expected ReaL's labels, found no JSON"):
        load_json(path, "ReaL's labels")
