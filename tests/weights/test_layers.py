import pytest
import timm

from modelsoups.weights.layers import depths, layer_of


@pytest.mark.parametrize(
    ("key", "layer"),
    [
        ("backbone.conv_stem.weight", "embedding"),
        ("backbone.bn1.running_mean", "embedding"),
        ("backbone.blocks.3.1.conv_pw.weight", "backbone.blocks.3.1"),
        ("backbone.conv_head.weight", "head"),
        ("backbone.bn2.bias", "head"),
        ("head.weight", "head"),
        ("cls_token", "embedding"),
        ("patch_embed.proj.weight", "embedding"),
        ("blocks.11.mlp.fc1.bias", "blocks.11"),
        ("norm.weight", "head"),
        ("visual.class_embedding", "embedding"),
        ("visual.conv1.weight", "embedding"),
        ("visual.ln_pre.weight", "embedding"),
        ("visual.transformer.resblocks.7.attn.in_proj_weight", "visual.transformer.resblocks.7"),
        ("visual.ln_post.weight", "head"),
        ("visual.proj", "head"),
        ("classification_head.weight", "head"),
        ("layer3.1.conv1.weight", "layer3.1"),
        ("layer3.0.downsample.0.weight", "layer3.0"),
        ("layers.2.blocks.1.mlp.fc1.weight", "layers.2.blocks.1"),
        ("layers.2.downsample.norm.weight", "layers.2"),
        ("bert.embeddings.word_embeddings.weight", "embedding"),
        ("bert.encoder.layer.3.attention.self.query.bias", "bert.encoder.layer.3"),
        ("bert.pooler.dense.weight", "head"),
        ("gate.weight", "gate"),
        ("0.weight", "0"),
        ("scale", "scale"),
    ],
)
def test_layer_of_a_tensor(key, layer):
    assert layer_of(key) == layer


def test_layers_of_the_miniatures_network():
    keys = timm.create_model("tf_efficientnet_lite0", num_classes=3).state_dict()
    layers = list(dict.fromkeys(layer_of(key) for key in keys))
    # 16 blocks: repeats 1, 2, 2, 3, 3, 4, 1 of the seven stages (Tan and Le 2019, Table 1)
    repeats = [1, 2, 2, 3, 3, 4, 1]
    blocks = [f"blocks.{s}.{b}" for s, count in enumerate(repeats) for b in range(count)]
    assert layers == ["embedding", *blocks, "head"]


def test_depth_goes_from_embedding_to_head_by_the_numbers_of_blocks():
    blocks = [f"blocks.{i}.mlp.weight" for i in (0, 10, 2, 1, 3, 4, 5, 6, 7, 8, 9)]
    found = depths(["head.bias", *blocks, "cls_token", "head.weight"])
    names = ["embedding", *(f"blocks.{i}" for i in range(11)), "head"]
    assert found == {name: i / 12 for i, name in enumerate(names)}


def test_depth_of_blocks_within_stages_and_of_other_layers():
    keys = ["layer2.1.conv1.weight", "layer2.0.conv1.weight", "layer1.1.conv1.weight", "fc.bias"]
    assert depths(keys) == {"layer1.1": 0, "layer2.0": 1 / 3, "layer2.1": 2 / 3, "head": 1}
    assert depths(["gate.weight"]) == {"gate": 0}
