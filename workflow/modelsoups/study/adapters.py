"""Adapters of PEFT among models made elsewhere: what they are, and what they are adapters of.

The mean of the factors of adapters is not the mean of the adapters: each is merged into the model
that it was trained on, and those are averaged. Imported while Snakemake parses: standard library
only.
"""

import os
from collections.abc import Mapping
from typing import Any

from modelsoups.base.files import read_json
from modelsoups.base.paths import expanded

CONFIG, FILES = "adapter_config.json", ("adapter_model.safetensors", "adapter_model.bin")
# Of a config of LoRA: what makes a model that no weights alone are.
UNMERGEABLE = ("alora_invocation_tokens", "arrow_config", "megatron_config", "layer_replication")


def adapter_in(path: str) -> str | None:
    """The folder of an adapter, which a path or its file names; None: it is a model."""
    folder = os.path.dirname(path) if os.path.basename(path) in FILES else path
    there = os.path.exists(os.path.join(expanded(folder), CONFIG))
    return folder if there else None


def read_config(folder: str) -> dict[str, Any]:
    """What PEFT wrote beside an adapter."""
    return read_json(os.path.join(expanded(folder), CONFIG))


def find_base(files: Mapping[str, str], said: str | None, library: str) -> str | None:
    """The model that adapters were trained on, a folder or the hub's name; None: there are none.

    Args:
        files: name -> path of a model or an adapter. said: of the config, where this model lies.
        library: of the config.
    Raises:
        ValueError: an adapter that cannot be merged, adapters of several models, or models besides;
            names them.
    """
    adapters = {name: folder for name, path in files.items() if (folder := adapter_in(path))}
    if not adapters:
        if said:
            raise ValueError("soup.base: it is of adapters, and none of the models is one")
        return None
    if library != "transformers":
        raise ValueError(
            f"soup.library: adapters of PEFT ({next(iter(adapters.values()))}) are read of models "
            f"of transformers; of others merge each (`model.merge_and_unload()`) and save it whole"
        )
    problems, bases = [], {}
    for name, folder in adapters.items():
        config = read_config(folder)
        if (kind := config.get("peft_type")) != "LORA":
            problems.append(f"{name} is of kind {kind}; only LORA is merged")
        problems += [f"{name} has {key}" for key in UNMERGEABLE if config.get(key)]
        bases[name] = said or config.get("base_model_name_or_path") or ""
    if whole := sorted(files.keys() - adapters.keys()):
        problems.append(f"{', '.join(whole[:4])}: no adapters, as the others are")
    found: dict[str, str] = {}
    for name, base in bases.items():
        found.setdefault(base, name)
    if len(found) > 1:
        each = ", ".join(f"{name} of {base or '(not said)'}" for base, name in found.items())
        problems.append(
            f"adapters of several models: {each}; if it is one model, say where it lies by "
            "`soup.base`"
        )
    elif "" in found:
        problems.append("adapters do not say what they are of; say it by `soup.base`")
    if problems:
        raise ValueError(f"soup.checkpoints: {'; '.join(problems)}")
    return next(iter(found))
