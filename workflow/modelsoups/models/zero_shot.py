"""Heads without training: class prompts (Sec. 3.1), or of a language model its options (J.5)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from modelsoups.data.questions import option_texts
from modelsoups.models.backbones import LIBRARIES, BackboneSpec, load_text_tower
from modelsoups.models.heads import write_head, zero_shot_head
from modelsoups.weights.checkpoints import write_weights


def write_zero_shot(
    path: str | Path,
    spec: BackboneSpec,
    classes: pd.DataFrame,
    templates: Sequence[str],
    device: torch.device,
) -> dict[str, Any]:
    """Write a head as safetensors; what its record tells of it.

    Args:
        classes: columns `name` and perhaps `letter` (`questions.option_texts`), in label order.
        templates: of class prompts; options need none.
    """
    if options := LIBRARIES[spec.library].options:
        write_weights(path, {"options": options(spec, classes)})
        return {"options": option_texts(classes)}
    tower = load_text_tower(spec, device)
    names = classes["name"].to_list()
    write_head(path, zero_shot_head(tower.embed, tower.scale, names, templates))
    return {"scale": tower.scale, "templates": list(templates)}
