"""Texts, images and the models that read them, in one config."""

import pytest

from modelsoups.study.study import Study
from modelsoups.study.texts import task_problems

RUN = {
    **{"seed": 0, "lr": 1e-3, "weight_decay": 0, "epochs": 1, "label_smoothing": 0, "mixup": 0},
    **{"augmentation": "none", "min_crop": 1, "batch_size": 4, "warmup_steps": 0, "clip_norm": 1},
}


def problems(backbone=(), sweep=(), view=(), **run):
    """The problems of a study of one language model, with changes."""
    run = {**RUN, "loss": "likelihood", **run}
    lr = run.pop("lr")
    study = Study(
        {
            "datasets": {
                "learn": {"role": "train", "task": "text"},
                "choose": {"role": "held_out", "task": "text"},
                "pictures": {"role": "shift"},
            },
            "views": {"words": {"tokenizer": "t", "form": "options", **dict(view)}},
            "backbones": {"model": {"library": "bert", "view": "words", **dict(backbone)}},
            "sweeps": {
                "search": {
                    **{"backbone": "model", "start": "zero-shot", "reported": []},
                    **{"finetune": run, "grid": {"lr": [lr]}},
                    **dict(sweep),
                }
            },
        }
    )
    return list(task_problems(study))


def test_study_of_a_language_model_has_no_problem():
    assert problems() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"view": {"form": "sentences"}}, "bert reads options, its view words gives sentences"),
        ({"backbone": {"library": "timm"}}, "timm reads images, its view words gives options"),
        ({"sweep": {"reported": ["pictures"]}}, "reads text; of another task are ['pictures']"),
        ({"sweep": {"start": "linear-probe"}}, "reads options has no linear probe; use zero-shot"),
        ({"augmentation": "minimal"}, "texts are not augmented; say `augmentation: none`"),
        ({"mixup": 0.2}, "texts are not augmented"),
        ({"label_smoothing": 0.1}, "loss `likelihood` is of models that read options, without"),
    ],
)
def test_what_does_not_fit_is_told(changes, message):
    assert any(message in problem for problem in problems(**changes))


def test_images_are_not_grouped_by_length():
    assert problems(group_by_length=True) == []
    backbone, view = {"library": "timm"}, {"form": "images"}
    found = problems(backbone, view=view, loss="softmax", group_by_length=True)
    assert any("group_by_length is of texts; images are of one size" in each for each in found)


def test_likelihood_is_no_loss_of_a_sentence_encoder():
    encoder = {"backbone": {"library": "minilm"}, "view": {"form": "sentences"}}
    assert problems(**encoder, loss="softmax") == []
    [problem] = problems(**encoder)
    assert "likelihood" in problem
