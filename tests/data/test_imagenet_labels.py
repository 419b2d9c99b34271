import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from timm.data import RealLabelsImagenet

from modelsoups.data.imagenet_labels import (
    MultilabelSpec,
    RealSpec,
    from_multilabel,
    from_real,
    validation_number,
)
from modelsoups.data.label_sets import caption_label_set, describe_label_set, make_label_set
from modelsoups.evaluation.logits import write_logits
from modelsoups.evaluation.paired import accuracy_of, collect_correct, judge_label_set

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "../shared/data/imagenet_multilabel"
CLASSES = pd.read_csv(ROOT / "resources/imagenet/classes.csv")
NAMES = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 50_001)]


def test_real_accuracy_is_that_of_timms_own_class():
    index = pd.DataFrame({"name": NAMES})
    accepted = from_real(RealSpec(dataset="imagenet"), index, CLASSES)
    scored = np.array([len(some) > 0 for some in accepted])
    assert scored.sum() == 46_837
    predictions = np.random.default_rng(0).integers(0, 1000, 50_000)
    predictions[::2] = [some[0] if some else 0 for some in accepted[::2]]
    theirs = RealLabelsImagenet(NAMES, topk=(1,))
    theirs.add_result(torch.nn.functional.one_hot(torch.from_numpy(predictions), 1000))
    right = [p in some for p, some in zip(predictions, accepted, strict=True)]
    assert 100 * np.mean(np.array(right)[scored]) == pytest.approx(theirs.get_accuracy(1))


def test_real_goes_by_the_number_in_the_name_whatever_the_order():
    index = pd.DataFrame({"name": [f"n0/{NAMES[4]}", "ILSVRC2012_val_00000002_n01751748.JPEG"]})
    accepted = from_real(RealSpec(dataset="imagenet"), index, CLASSES)
    assert accepted == from_real(
        RealSpec(dataset="imagenet"), pd.DataFrame({"name": [NAMES[4], NAMES[1]]}), CLASSES
    )


def test_real_needs_names_of_the_validation_set():
    with pytest.raises(ValueError, match="cat.png: expected an image named ILSVRC2012_val"):
        validation_number("cat.png")


def test_real_json_of_another_length_is_an_error(tmp_path):
    (tmp_path / "real.json").write_text("[[1], [2]]")
    spec = RealSpec(dataset="imagenet", path=str(tmp_path / "real.json"))
    with pytest.raises(ValueError, match="labels of 50000 images, found 2"):
        from_real(spec, pd.DataFrame({"name": NAMES[:2]}), CLASSES)


def annotations(tmp_path, **changes):
    """The form of TFDS's human_accuracy_v3.0.0.json, four images."""
    wnids = CLASSES.id
    content = {
        "initial_annots": {
            NAMES[0]: {"correct": [wnids[5], wnids[7]], "wrong": [wnids[6]]},
            NAMES[1]: {"correct": [wnids[1]], "unclear": [wnids[2]]},
            NAMES[2]: {"correct": [wnids[3]]},
            "imagenetv2-matched-frequency-format-val/0/a.jpeg": {"correct": [wnids[0]]},
        },
        "problematic_images": {NAMES[2]: "blurry"},
        "imagenet_m": [NAMES[0]],
        **changes,
    }
    path = tmp_path / "human_accuracy.json"
    path.write_text(json.dumps({key: value for key, value in content.items() if value}))
    return MultilabelSpec(dataset="imagenet", path=str(path), version="3.0.0")


def test_multilabel_accepts_correct_and_unclear_labels_of_images_without_problem(tmp_path):
    index = pd.DataFrame({"name": NAMES[:4]})  # the fourth is not annotated
    accepted = from_multilabel(annotations(tmp_path), index, CLASSES)
    assert accepted == [[5, 7], [1, 2], [], []]


def test_multilabel_file_of_another_version_is_refused(tmp_path):
    spec = annotations(tmp_path, imagenet_m=None)
    with pytest.raises(ValueError, match="it is of version 2.0.0, the config says 3.0.0"):
        from_multilabel(spec, pd.DataFrame({"name": NAMES[:1]}), CLASSES)


def test_another_json_is_no_multilabel_file(tmp_path):
    spec = annotations(tmp_path, initial_annots=None)
    with pytest.raises(ValueError, match="expected the keys initial_annots and problematic_images"):
        from_multilabel(spec, pd.DataFrame({"name": NAMES[:1]}), CLASSES)


def test_multilabel_accuracy_is_the_mean_over_classes_of_the_scored_images(tmp_path):
    """From the files to the number: five images of three classes."""
    spec = annotations(
        tmp_path,
        initial_annots={
            NAMES[0]: {"correct": [CLASSES.id[0], CLASSES.id[1]]},
            NAMES[1]: {"correct": [CLASSES.id[0]], "wrong": [CLASSES.id[2]]},
            NAMES[2]: {"correct": [CLASSES.id[1]]},
            NAMES[3]: {"correct": [CLASSES.id[1]]},
            NAMES[4]: {"unclear": [CLASSES.id[2]]},
        },
        problematic_images={NAMES[3]: "drawing"},
    )
    config = {"kind": "multilabel", **asdict(spec)}
    index = pd.DataFrame({"name": NAMES[:5], "label": [0, 0, 1, 1, 2]})
    labels = make_label_set(config, index, CLASSES)
    predictions = np.eye(3, dtype=np.float32)[[1, 2, 1, 0, 2]]
    write_logits(tmp_path / "a.parquet", predictions, index.label.to_numpy(), {})
    files = {"a": tmp_path / "a.parquet"}
    correct = judge_label_set("multilabel", files, labels)
    # Class 0: 1 of 2; class 1: 1 of 1, one is problematic; class 2: 1 of 1, unclear counts.
    assert accuracy_of(correct, ["a"], ["multilabel"]) == pytest.approx((1 / 2 + 1 + 1) / 3)
    by_single_label = collect_correct({"imagenet": files})
    assert accuracy_of(by_single_label, ["a"], ["imagenet"]) == pytest.approx(2 / 5)
    record = describe_label_set(config, labels)
    assert record["spec"]["version"] == "3.0.0"
    assert (record["num_images"], record["num_scored"], record["num_with_several"]) == (5, 4, 1)
    assert caption_label_set(config) == "3.0.0, mean over classes"


def test_real_accuracy_is_the_mean_over_the_images_with_a_label(tmp_path):
    real = [[0], [1, 2], [], [2]] + [[]] * 49_996
    (tmp_path / "real.json").write_text(json.dumps(real))
    config = {"kind": "real", "dataset": "imagenet", "path": str(tmp_path / "real.json")}
    index = pd.DataFrame({"name": NAMES[:4], "label": [0, 1, 1, 2]})
    labels = make_label_set(config, index, CLASSES)
    predictions = np.eye(3, dtype=np.float32)[[0, 2, 1, 0]]
    write_logits(tmp_path / "a.parquet", predictions, index.label.to_numpy(), {})
    correct = judge_label_set("real", {"a": tmp_path / "a.parquet"}, labels)
    assert accuracy_of(correct, ["a"], ["real"]) == pytest.approx(2 / 3)  # right, right, -, wrong
    assert caption_label_set(config) == ""


def test_timms_real_labels_are_for_imagenets_own_classes():
    index = pd.DataFrame({"name": NAMES[:1]})
    with pytest.raises(ValueError, match="by their sorted wnids; the study has 3 classes"):
        from_real(RealSpec(dataset="imagenet"), index, CLASSES[:3])


@pytest.mark.skipif(not SHARED.exists(), reason="the table of annotations is not there")
def test_published_mistakes_give_the_published_accuracy(tmp_path):
    """The paper's ViT-G greedy soup under the v3 labels: 98.64 % (its 249 mistakes are public)."""
    table = json.loads((SHARED / "imagenet_multilabel_v3.json").read_text())
    wnids = CLASSES.id
    content = {
        "initial_annots": {
            name: {
                key: [wnids[number] for number in row[key]]
                for key in ("correct", "unclear")
                if key in row
            }
            for name, row in table.items()
        },
        "problematic_images": {name: "" for name, row in table.items() if row.get("problematic")},
        "imagenet_m": ["-"],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    spec = MultilabelSpec(dataset="imagenet", path=str(tmp_path / "labels.json"), version="3.0.0")
    names = list(table)
    accepted = from_multilabel(spec, pd.DataFrame({"name": names}), CLASSES)
    assert sum(map(bool, accepted)) == 18_692
    mistakes = json.loads((SHARED / "greedy_soups_mistakes_v3.json").read_text())
    right = np.array(
        [
            float(n not in mistakes) if some else np.nan
            for n, some in zip(names, accepted, strict=True)
        ]
    )
    labels = [table[name]["y"] for name in names]
    correct = pd.DataFrame({"dataset": "multilabel", "stratum": labels, "soup": right}).dropna()
    assert accuracy_of(correct, ["soup"], ["multilabel"]) == pytest.approx(0.9864, abs=5e-5)
