import copy
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from modelsoups.soups.ensembles import EnsembleSpec
from modelsoups.soups.recipes import RECIPES
from modelsoups.study.config import check_config, count_analyses, expand_sweeps, list_points

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/*.yaml")), ids=lambda path: path.name)
def test_every_shipped_config_is_valid(path):
    check_config(yaml.safe_load(path.read_text()), SCHEMA)


def change(config, dotted, value):
    *folders, key = dotted.split(".")
    for folder in folders:
        config = config[folder]
    config[key] = value


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sweeps.random-search.lr", 1e-3, r"sweeps.random-search: .*'lr' was unexpected"),
        ("recipes.best", {"kind": "magic"}, r"recipes.best.kind: 'magic' is not one of"),
        ("recipes.greedy.ordr", "random", r"recipes.greedy: 'ordr' is not one of"),
        ("ensembles.ensemble.sed", 1, r"ensembles.ensemble: .*'sed'"),
        ("sweeps.random-search.finetune.lrr", 1, r"'lrr' is not one of"),
        ("datasets.emoji-test.num_images", 0, r"datasets.emoji-test.num_images: 0 is less than"),
        (
            "sweeps.random-search.backbone",
            "resnet",
            r"sweeps.random-search.backbone: 'resnet' is not defined; .*efficientnet-lite0",
        ),
        (
            "backbones.efficientnet-lite0.view",
            "65px",
            r"'65px' is not defined; defined are \['64px'\]",
        ),
        ("sweeps.random-search.on_failure", "ignore", r"on_failure: 'ignore' is not one of"),
        ("sweeps.random-search.compute", {"gpu": 2}, r"compute: .*'gpu' was unexpected"),
        (
            "sweeps.random-search.compute",
            {"gpus": 4, "accumulate": 3},
            r"sweeps.random-search: batch_size 64 does not split into 12 parts",
        ),
        ("figure1", "sweep", r"figure1: 'sweep' is not defined"),
        ("datasets.emoji-held-out.role", "test", r"one with role held_out, found 0"),
        ("recipes.zero-shot", {"kind": "uniform"}, r"\['zero-shot'\] are names of starts"),
        (
            "sweeps.seeds-supervised.start",
            "zero-shot",
            r"backbones of timm do not have; use linear-p",
        ),
        (
            "sweeps.seeds-supervised.other_starts",
            ["zero-shot"],
            r"seeds-supervised: zero-shot needs a te",
        ),
        ("sweeps.random-search.other_starts", ["linear-probe"], r"linear-probe is its start alre"),
        ("datasets.emoji-test.layout", "flat", r"emoji-test: layout flat and labels go together"),
        ("datasets.emoji-test.class_map", "objectnet", r"objectnet and mappings go together"),
        ("datasets.emoji-held-out.class_map", "imagenet-a", r"a held_out set has the study's own"),
        ("datasets.emoji-test.training_input", "files", r"training_input is for the training set"),
        (
            "datasets.emoji-train.split",
            {"part": "rest", "per_class": 2, "num_images": 3000},
            r"`split` makes two sets of one",
        ),
        ("folders", {"imagenet": "data"}, r"folders: 'imagenet' does not match"),
        ("recipes.ensemble", {"kind": "uniform"}, r"share the names \['ensemble'\]"),
    ],
)
def test_problem_is_named_with_its_place(config, key, value, message):
    change(config, key, value)
    with pytest.raises(ValueError, match=message):
        check_config(config, SCHEMA)


def test_zero_shot_start_without_prompts_is_told(config):
    change(config, "sweeps.seeds.start", "zero-shot")
    check_config(config, SCHEMA)
    del config["prompts"]
    with pytest.raises(ValueError, match=r"needs class prompts; add `prompts`, a file with one"):
        check_config(config, SCHEMA)


def test_all_problems_are_listed_at_once(config):
    broken = copy.deepcopy(config)
    change(broken, "figure1", "nothing")
    change(broken, "table3", "nothing")
    change(broken, "backbones.efficientnet-lite0.view", "65px")
    with pytest.raises(ValueError) as caught:
        check_config(broken, SCHEMA)
    assert len(str(caught.value).splitlines()) == 4  # a heading and three problems


@pytest.mark.parametrize("kind", RECIPES)
def test_schema_allows_just_the_fields_of_a_recipes_spec(kind):
    schema = yaml.safe_load(SCHEMA.read_text())["properties"]["recipes"]["additionalProperties"]
    [allowed] = [
        branch["then"]["propertyNames"]["enum"]
        for branch in schema["allOf"]
        if branch["if"]["properties"]["kind"]["const"] == kind
    ]
    assert set(allowed) == {"kind", *(field.name for field in fields(RECIPES[kind][0]))}


def test_schema_allows_just_the_fields_of_an_ensembles_spec():
    schema = yaml.safe_load(SCHEMA.read_text())["properties"]["ensembles"]["additionalProperties"]
    assert set(schema["properties"]) == {field.name for field in fields(EnsembleSpec)}


def test_error_in_a_sweeps_hyperparameters_names_the_sweep(config):
    change(config, "sweeps.random-search.finetune.clip_norm", 0)
    with pytest.raises(ValueError, match="sweeps.random-search: run: clip_norm must be positive"):
        expand_sweeps(config)


def test_images_of_every_analysis_are_counted(config):
    runs = expand_sweeps(config)
    counted = count_analyses(config, runs)
    for sweep, plans in list_points(config).items():
        assert {f"points/{name}" for name in plans} <= counted[sweep].keys()
    reported = 843 + 968 + 1344 + 1311 + 1321 + 888  # the test set and the shift sets
    held_out = 843
    # Of the grid's 12 runs 8 have a learning rate below 5e-3; all their 28 pairs count.
    assert counted["grid"]["points/angles"] == (8 + 28) * reported
    # 9 x 9 points and three corners, 300 images of each of 7 sets, the training set one of them.
    assert counted["grid"]["points/plane-seed"] == 84 * 7 * 300
    assert counted["random-search"]["points/pairs"] == 20 * reported
    # The start, and 12 runs and 2 soups at 4 alphas; of the other start 5 runs.
    assert counted["random-search"]["points/wise"] == 57 * reported
    assert counted["zero-shot-search"]["points/wise"] == 29 * reported
    # Three orders: 12 uniform soups on every set, and 1 + ... + 12 candidates on the held-out one.
    assert counted["random-search"]["growth"] == 3 * (12 * (reported + held_out) + 78 * held_out)
    assert counted["seeds"]["seeds"] == 2 * 5 * (reported + held_out)
    assert counted["grid"]["approximation"] == 21 * 3 * 22 * 6 * 100


def test_pairs_that_differ_in_one_hyperparameter_are_counted(config):
    config["figure3"]["pairs"] = "one"
    counted = count_analyses(config, expand_sweeps(config))
    # 2 learning rates, 2 strengths, 2 seeds: the 12 edges of a cube, and its 8 corners.
    assert counted["grid"]["points/angles"] == 20 * (843 + 968 + 1344 + 1311 + 1321 + 888)


def test_figures_h_need_figure_b1(config):
    config["figureH"] = ["grid"]
    check_config(config, SCHEMA)
    del config["figureB1"]
    with pytest.raises(ValueError, match="figureH: recreates Figure B.1 .* add figureB1"):
        check_config(config, SCHEMA)
