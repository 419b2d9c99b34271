"""Adapters of PEFT, merged by PEFT into the model that they were trained on.

The mean of products is not the product of means, so factors are never averaged apart: each adapter
becomes a whole model, in float32 whatever the base's dtype is, and soups are made of those.
"""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from modelsoups.study.adapters import FILES, adapter_in, read_config
from modelsoups.weights.stored import Stored, open_file

logger = logging.getLogger(__name__)
PROCESSOR = "preprocessor_config.json"


def adapter_file(folder: Path) -> Path:
    """The file of an adapter's tensors."""
    return next((folder / name for name in FILES if (folder / name).exists()), folder / FILES[0])


def files_of(stored: Stored, given: Path) -> list[Path]:
    """The files of tensors that a model was given as. Args: stored: where it is read, perhaps
    merged. given: model or adapter."""
    if adapter_in(str(given)):
        return [adapter_file(given)]
    return [(stored.folder or stored.path.parent) / name for name in stored.sources]


def merge_adapter(adapter: Path, base: str, classes: Sequence[str], folder: Path) -> None:
    """Write a base model with an adapter merged into it, as transformers writes models.

    Args:
        adapter: folder that PEFT's `save_pretrained` wrote. base: folder, or the hub's name.
        classes: of the outputs, in order; where the base has another number of them, the head is
            the adapter's (`modules_to_save`). folder: to write to.
    Raises:
        ValueError: the base is not to be had, a tensor of the adapter has no place in it, or the
            head is neither in the base nor in the adapter.
    """
    from peft import PeftModel

    open_file(adapter_file(adapter))  # refused if it is cut, or would run code
    model, new = _load_base(base, read_config(str(adapter)).get("revision"), classes)
    try:
        adapted = PeftModel.from_pretrained(model, str(adapter))
    except (RuntimeError, ValueError) as error:  # target modules, shapes
        raise ValueError(f"{adapter}: does not fit {base}: {error}") from error
    _check_complete(adapted, adapter, base, new)
    folder.mkdir(parents=True, exist_ok=True)
    adapted.merge_and_unload().save_pretrained(folder, max_shard_size="1TB")
    if processor := _find_processor(adapter, base):
        shutil.copyfile(processor, folder / PROCESSOR)
    logger.info("%s: merged into %s", adapter, base)


def _load_base(base: str, revision: str | None, classes: Sequence[str]) -> tuple[Any, set[str]]:
    """The base model in float32, and the names of its tensors that its files do not have."""
    from transformers import AutoConfig, AutoModelForImageClassification

    try:
        config = AutoConfig.from_pretrained(base, revision=revision)
        if config.num_labels != len(classes):
            config.id2label = dict(enumerate(classes))
            config.label2id = {name: number for number, name in enumerate(classes)}
        model, loading = AutoModelForImageClassification.from_pretrained(
            base,
            config=config,
            revision=revision,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except OSError as error:
        raise ValueError(
            f"{base}: the model that adapters were trained on could not be loaded ({error}); say "
            "by `soup.base` in which folder it lies"
        ) from error
    return model, {*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])}


def _check_complete(adapted: Any, adapter: Path, base: str, new: set[str]) -> None:
    """Raise a ValueError unless all tensors of the adapter are in the model, and all new ones its.

    PEFT only warns of tensors that it has no place for, and transformers of a head without weights.
    """
    from peft import get_peft_model_state_dict
    from peft.utils import load_peft_weights

    given = load_peft_weights(str(adapter), device="cpu")
    there = get_peft_model_state_dict(adapted)
    if wrong := sorted(
        {*given} ^ {*there} | {k for k in {*given} & {*there} if not given[k].equal(there[k])}
    ):
        raise ValueError(
            f"{adapter}: {len(wrong)} tensors differ from those of an adapter of its config on "
            f"{base}: {', '.join(wrong[:4])}"
        )
    trained = tuple(name.removeprefix("base_model.model.") for name in given)
    if left := sorted(new - {*trained}):
        raise ValueError(
            f"{adapter}: {', '.join(left[:4])} are neither in {base} nor in the adapter; was its "
            "head trained (`modules_to_save`), and is this the base?"
        )


def _find_processor(adapter: Path, base: str) -> Path | None:
    """The config of the image processor beside an adapter, or else beside its base."""
    from transformers.utils import cached_file

    if (adapter / PROCESSOR).exists():
        return adapter / PROCESSOR
    found = cached_file(
        base,
        PROCESSOR,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(found) if found else None
