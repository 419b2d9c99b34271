"""What a layer of a network is, for soups with coefficients "by layer" (paper Appendix I)."""

from collections.abc import Callable, Iterable

# Names of modules, wherever they stand before a number. Other names are layers of their own.
EMBEDDING = {"bn1", "cls_token", "conv1", "conv_stem", "ln_pre", "norm_pre", "stem"}
HEAD = {
    *("bn2", "classification_head", "classifier", "conv_head", "fc", "fc_norm", "head", "lm_head"),
    *("layernorm", "ln_final", "ln_post", "logit_scale", "norm", "pooler", "post_layernorm"),
    *("proj", "projection", "text_projection", "visual_projection"),
}
NESTED = {"blocks", "layer", "layers", "resblocks"}  # hold blocks also within a numbered stage


def layer_of(key: str) -> str:
    """Name of the layer that a tensor belongs to.

    A layer is a block: everything under one number, or one pair of stage and number
    (`blocks.3` of a ViT, `blocks.3.1` of an EfficientNet, `layer3.1` of a ResNet,
    `visual.transformer.resblocks.3` of open_clip, `layers.2.blocks.1` of a Swin). What comes before
    the blocks is the layer `embedding`, what comes after them the layer `head`. A module that is
    neither is a layer of its own.
    """
    parts = key.split(".")
    depth = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    names = parts[:depth]
    if any("embed" in name or name in EMBEDDING for name in names):
        return "embedding"
    if any(name in HEAD for name in names):
        return "head"
    if depth is None:
        return ".".join(parts[:-1]) or key
    while depth < len(parts) and parts[depth].isdigit():
        depth += 1
        if len(parts) > depth + 1 and parts[depth] in NESTED:
            depth += 1
    return ".".join(parts[:depth])


def depths(keys: Iterable[str]) -> dict[str, float]:
    """Layer of these tensors -> its depth: 0 for the first, 1 for the last, even steps between.

    `embedding` is the first and `head` the last; blocks between them are in the order of their
    numbers, wherever they stand in a file.
    """
    layers = {layer_of(key) for key in keys}
    blocks = sorted(layers - {"embedding", "head"}, key=_by_numbers)
    ends = [[name] if name in layers else [] for name in ("embedding", "head")]
    order = [*ends[0], *blocks, *ends[1]]
    return {layer: i / max(len(order) - 1, 1) for i, layer in enumerate(order)}


def _by_numbers(layer: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in layer.split(".")]


# What has a coefficient of its own -> from a tensor's key to the name of that.
GROUPINGS: dict[str, Callable[[str], str]] = {
    "model": lambda key: "model",
    "layer": layer_of,
    "tensor": lambda key: key,
}
