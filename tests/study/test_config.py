"""The check of a config, with the sections that recipes and the paper's results describe."""

import copy
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from modelsoups.paper.schema import complete_schema
from modelsoups.paper.targets import list_names, list_problems
from modelsoups.study import config as study_config
from modelsoups.study.own import add_study

ROOT = Path(__file__).parents[2]
SCHEMA = complete_schema(ROOT / "workflow/schemas/config.schema.yaml")


def check_config(config):
    return study_config.check_config(
        add_study(study_config.read_config(config, lambda path: ROOT / path)),
        SCHEMA,
        named=list_names,
        problems=list_problems,
    )


@pytest.fixture
def config():
    """The default study without its pools, nor what is about them: tests have their own."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    return {key: config[key] for key in config if key not in ("pools", "figureG1", "figureG2")}


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("config/overlays/*.yaml")), ids=lambda path: path.name
)
def test_every_overlay_fits_the_default_study_and_leaves_its_sweeps_as_they_are(config, path):
    own = check_config(config)
    merged = copy.deepcopy(config)
    update_config(merged, yaml.safe_load(path.read_text()))
    study = check_config(merged)
    for sweep in own.pools:
        assert study.kinds_of(sweep) == own.kinds_of(sweep)


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/*.yaml")), ids=lambda path: path.name)
def test_every_shipped_config_is_valid(path, tmp_path, monkeypatch):
    config = yaml.safe_load(path.read_text())
    if "soup" in config:  # what a user has to bring
        monkeypatch.chdir(tmp_path)
        for number in range(2):
            Path(f"runs/{number}").mkdir(parents=True)
            Path(f"runs/{number}/model.safetensors").touch()
        Path("data/val/cat").mkdir(parents=True)
    check_config(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "soup: None is not of type 'object'"),
        ({"held_out": None}, "soup.held_out: None is not of type"),
        ({"held_out": "data/val"}, "soup.held_out: 'data/val' is not of type 'object'"),
        ({"held_out": {"layout": "class-folders"}}, "soup.held_out: 'path' is a required property"),
        ({"tests": [{"path": "data/test"}]}, "soup.tests: .* is not of type 'object'"),
        ({"recipe": "greedy"}, "soup.recipe: 'greedy' is not of type 'object'"),
        ({"library": "keras"}, "soup.library: 'keras' is not one of"),
        ({"classes": 0}, "soup.classes: 0 is less than the minimum"),
        (
            {"preprocessing": {"mean": [123.7, 116.3, 103.5]}},
            "soup.preprocessing.mean.0: 123.7 is greater than the maximum of 1",
        ),
        ({"model": 18, "preprocesing": {}}, r"(?s)'preprocesing' was unexpected.*soup.model: 18"),
    ],
)
def test_section_soup_of_another_form_is_told_of_before_a_study_is_made_of_it(change, message):
    config = yaml.safe_load((ROOT / "config/own.yaml").read_text())
    study_config.check_soup(config, SCHEMA)
    config["soup"] = change and {**config["soup"], **change}
    with pytest.raises(ValueError, match=message):
        study_config.check_soup(config, SCHEMA)


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
        ("recipes.greedy.ordr", "random", r"recipes.greedy: .*'ordr' was unexpected"),
        ("ensembles.ensemble.sed", 1, r"ensembles.ensemble: .*'sed'"),
        ("sweeps.random-search.finetune.lrr", 1, r"'lrr' is not one of"),
        ("replicates.results", {"tabel4": []}, r"replicates.results: 'tabel4' is not one of"),
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
        ("datasets.emoji-test.layout", "flat", r"layout flat, npy, .* and labels go together"),
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
        ("recipes.007", {"kind": "uniform"}, r"\['007'\] are names of runs"),
        ("pools", {"seeds": {"models": ["grid"]}}, r"sweeps and pools share the names \['seeds'\]"),
        ("pools", {"all": {"models": ["gird"]}}, r"pools.all: 'gird' is not defined; defined are"),
        ("pools", {"all": {"models": ["grid/099"]}}, r"grid has no model '099' with weights"),
        (
            "pools",
            {"all": {"models": [{"sweep": "grid", "match": {"lr": 1}}]}},
            r"pools.all: no run of grid has {'lr': 1}",
        ),
        (
            "pools",
            {"a": {"models": ["b"]}, "b": {"models": ["a/uniform"]}},
            r"pools: \['a', 'b'\] take models of one another in a circle",
        ),
        (
            "pools",
            {"all": {"models": ["seeds", "seeds-supervised"]}},
            r"models of one backbone, found \['efficientnet-lite0', 'iconclip'\]",
        ),
        ("sweeps.grid.finetune.ema", [0.9, 1], r"sweeps.grid: run: ema must be decays above 0 and"),
        ("sweeps.grid.grid.swa", [[0], [0.5]], r"sweeps.grid: expected the same ema and swa in"),
        ("sweeps.grid.finetune.teachers", "grid/000", r"teachers: grid/000 needs grid/000; a mod"),
        ("sweeps.grid.finetune.teachers", ["seeds/099"], r"teacher 'seeds/099' is no model with"),
        (
            "pools",
            {"all": {"models": [{"sweep": "grid", "average": "swa"}]}},
            r"pools.all: the runs of grid have no average 'swa'; they have none",
        ),
        ("pools", {"all": {"models": [{"sweep": "grid"}]}}, r"pools.all.models.0: "),
        ("sweeps.grid.recipes", ["best"], r"grid.recipes: 'best' is not defined"),
        ("views.64px.size", 65, r"views.64px: size 65 is cut out of 64 pixels"),
        (
            "sweeps.random-search.finetune.clip_norm",
            0,
            r"sweeps.random-search: run: clip_norm must",
        ),
        ("sweeps.grid.finetune.epochs", 4.5, r"sweeps.grid: run: epochs must be a whole number"),
        ("sweeps.random-search.finetune.warmup_steps", -1, r"warmup_steps must not be negative"),
        (
            "sweeps.grid.finetune.optimizer",
            "lion",
            r"sweeps.grid: run: optimizer 'lion' is none of",
        ),
        (
            "sweeps.grid.finetune.loss",
            "binary",
            r"grid: linear-probe is fitted by softmax loss, the runs have binary; .* start binary-",
        ),
        (
            "sweeps.grid.start",
            "binary-probe",
            r"binary-probe is fitted by binary loss, the runs hav",
        ),
        (
            "sweeps.grid.finetune.train_size",
            72,
            r"train_size 72 is more than the 64 pixels of the view, .* set training_input: files",
        ),
        ("sweeps.grid.runs", [{"lr": 1.0e-3}], r"sweeps.grid: .* is valid under each of"),
        ("views.64px.resize_mode", "longest", r"resize_mode: 'longest' is not one of"),
        (
            "sweeps.random-search.random.space.epochs",
            {"uniform": [4, 5]},
            r"epochs must be a whole number, got 4.\d+; draw it by `integer`",
        ),
        (
            "sweeps.random-search.random.space.lr",
            {"log_uniform": ["1e-6", 1.0e-4]},  # as YAML reads [1e-6, 1.0e-4]
            r"random.space.lr.log_uniform.0: YAML takes 1e-6 for a word; write 1.0e-6",
        ),
        ("sweeps.random-search.random.num_runs", 3.0, "num_runs: 3.0 is not of type 'integer'"),
        ("linear_probe.l2", ["1.5E3"], r"l2.0: YAML takes 1.5E3 for a word; write 1.5e\+3"),
    ],
)
def test_problem_is_named_with_its_place(config, key, value, message):
    change(config, key, value)
    with pytest.raises(ValueError, match=message):
        check_config(config)


def test_words_may_look_like_numbers_where_the_data_have_them(config):
    change(config, "datasets.emoji-test.where", {"split": ["1e3"]})
    change(config, "study", "1e3")
    check_config(config)


def test_sweep_of_blocks_is_checked_block_by_block(config):
    sweep = config["sweeps"]["grid"]
    sweep["runs"] = [{"grid": sweep.pop("grid")}, {"lr": 7e-5, "mixup": 0, "augmentation": "crop"}]
    study = check_config(config)
    assert study.runs["grid"][list(study.runs["grid"])[-1]].augmentation == "crop"
    for block, message in (
        ({"grid": {}, "random": {}}, r"sweeps.grid.runs.1: .* should not be valid under"),
        ({"lrr": 1}, r"sweeps.grid.runs.1: 'lrr' is not valid"),
        ({"grid": {"lr": 1}}, r"sweeps.grid.runs.1.grid.lr: 1 is not of type 'array'"),
    ):
        sweep["runs"][1] = block
        with pytest.raises(ValueError, match=message):
            check_config(config)


def test_runs_with_binary_loss_start_from_a_probe_of_that_loss(config):
    change(config, "sweeps.grid.finetune.loss", "binary")
    change(config, "sweeps.grid.start", "binary-probe")
    assert check_config(config).kinds_of("grid")["initialization"] == "initialization"
    del config["linear_probe"]
    with pytest.raises(ValueError, match="grid: binary-probe needs the key `linear_probe`"):
        check_config(config)


def test_zero_shot_start_without_prompts_is_told(config):
    change(config, "sweeps.seeds.start", "zero-shot")
    check_config(config)
    del config["prompts"]
    with pytest.raises(ValueError, match=r"needs class prompts; add `prompts`, a file with one"):
        check_config(config)


def test_all_problems_are_listed_at_once(config):
    broken = copy.deepcopy(config)
    change(broken, "figure1", "nothing")
    change(broken, "table3", "nothing")
    change(broken, "backbones.efficientnet-lite0.view", "65px")
    with pytest.raises(ValueError) as caught:
        check_config(broken)
    assert len(str(caught.value).splitlines()) == 4  # a heading and three problems


def test_study_of_checkpoints_needs_no_training_set_probe_or_prompts(config):
    bare = ("linear_probe", "prompts", "pretraining", "label_sets", "what_holds", "table4")
    for key in (*bare, "replicates"):
        del config[key]
    config = {key: value for key, value in config.items() if not key.startswith("figure")}
    del config["datasets"]["emoji-train"]
    config["sweeps"] = {
        "own": {"kind": "checkpoints", "backbone": "iconclip", "files": "runs/model_{0..3}.pt"}
    }
    config["table2"] = config["table3"] = "own"
    study = check_config(config)
    assert study.train_of("own") is None
    assert study.pool_of("own") == ["000", "001", "002", "003"]


def test_study_need_not_have_soups_tables_or_a_test_set(config):
    bare = ("study", "classes", "views", "datasets", "backbones", "evaluation", "linear_probe")
    small = {key: config[key] for key in bare}
    small["sweeps"] = {"seeds": {**config["sweeps"]["seeds"], "recipes": []}}
    small["datasets"] = {
        name: spec
        for name, spec in config["datasets"].items()
        if spec["role"] in ("train", "held_out")
    }
    assert check_config(small).reported_of("seeds") == []


def add_second_sets(config):
    for role in ("train", "held-out", "test"):
        config["datasets"][f"other-{role}"] = dict(config["datasets"][f"emoji-{role}"])


def test_sweep_of_a_study_with_two_sets_of_a_role_names_its_own(config):
    add_second_sets(config)
    del config["replicates"]
    with pytest.raises(ValueError) as caught:
        check_config(config)
    assert "sweeps.grid: say under `reported` which of ['emoji-test', 'other-test']" in str(
        caught.value
    )
    own = {"train": "emoji-train", "held_out": "emoji-held-out", "reported": ["emoji-test"]}
    for sweep in config["sweeps"].values():
        sweep.update(own)
    study = check_config(config)
    assert study.evaluated_of("grid") == ["emoji-held-out", "emoji-test"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train", "emoji-test", r"grid.train: 'emoji-test' is not defined; .*'emoji-train', 'othe"),
        ("held_out", "other-held-out", r"grid: starts from emoji-train are chosen on emoji-held-o"),
        ("reported", ["emoji-test", "other-test"], r"grid.reported: expected one with role test"),
        ("reported", ["emoji-tset"], r"grid.reported: 'emoji-tset' is not defined"),
    ],
)
def test_sets_that_do_not_fit_a_sweep_are_told(config, key, value, message):
    add_second_sets(config)
    del config["replicates"]
    own = {"train": "emoji-train", "held_out": "emoji-held-out", "reported": ["emoji-test"]}
    for sweep in config["sweeps"].values():
        sweep.update(own)
    config["sweeps"]["grid"][key] = value
    with pytest.raises(ValueError, match=message):
        check_config(config)


def test_classes_of_a_sweeps_sets_must_be_the_same_and_there(config):
    config["datasets"]["emoji-test"]["classes"] = "other.csv"
    with pytest.raises(ValueError, match="sweeps.grid: expected data sets with the same `classes`"):
        check_config(config)
    del config["classes"]
    with pytest.raises(ValueError, match="datasets.emoji-train: has no `classes`, nor has the stu"):
        check_config(config)


def test_pool_of_sweeps_that_choose_on_other_sets_says_its_own(config):
    add_second_sets(config)
    del config["replicates"]
    for name, sweep in config["sweeps"].items():
        prefix = "other" if name == "seeds" else "emoji"
        sweep["train"], sweep["held_out"] = f"{prefix}-train", f"{prefix}-held-out"
        sweep["reported"] = ["emoji-test"]
    config["pools"] = {"both": {"models": ["seeds", "grid"]}}
    with pytest.raises(ValueError, match="pools.both: say under `held_out` what it has: seeds and"):
        check_config(config)
    config["pools"]["both"]["held_out"] = "emoji-held-out"
    assert check_config(config).evaluated_of("both") == ["emoji-held-out", "emoji-test"]


def test_sweep_without_its_probe_is_told(config):
    del config["linear_probe"]
    with pytest.raises(ValueError, match="sweeps.grid: linear-probe needs the key `linear_probe`"):
        check_config(config)


def test_data_set_of_a_catalog_is_one_word():
    studies = {
        name: study_config.read_config(
            yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()), lambda path: ROOT / path
        )
        for name in ("imagenet", "released")
    }
    sets = studies["imagenet"]["datasets"]
    assert sets["imagenet-v2"]["role"] == "shift"
    assert sets["imagenet-v2"]["num_images"] == 10_000
    assert {name: sets[name] for name in studies["released"]["datasets"]} == (
        studies["released"]["datasets"]
    )
    assert studies["released"]["folders"]["RELEASED"] == "data/released"
    assert studies["released"]["folders"]["IMAGENET"] == "data/imagenet"


def test_study_may_differ_from_its_catalog(tmp_path):
    (tmp_path / "catalog.yaml").write_text(
        "classes: theirs.csv\nviews: {small: {size: 32, resize: 32}}\n"
        "datasets: {photos: {path: photos, num_images: 9}}"
    )
    config = {
        "catalog": str(tmp_path / "catalog.yaml"),
        "classes": "ours.csv",
        "datasets": {"photos": {"role": "test", "num_images": 8}},
    }
    assert study_config.read_config(config) == {
        "classes": "ours.csv",
        "views": {"small": {"size": 32, "resize": 32}},
        "datasets": {"photos": {"path": "photos", "num_images": 8, "role": "test"}},
    }


def test_word_that_no_catalog_describes_is_told():
    with pytest.raises(ValueError, match="datasets.photos: 'shift' takes a data set from the cat"):
        study_config.read_config({"datasets": {"photos": "shift"}})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"datasets": None}, "datasets: expected a mapping, found None"),
        ({"catalog": "nowhere.yaml"}, "catalog: there is no file nowhere.yaml"),
        ({"catalog": f"{ROOT}/resources/emoji/classes.csv"}, "catalog: expected a mapping, found "),
    ],
)
def test_sections_and_catalogs_that_are_none_are_told(config, message):
    with pytest.raises(ValueError, match=message):
        study_config.read_config(config)


def test_data_set_without_keys_is_told(config):
    change(config, "datasets.emoji-test", None)  # as YAML reads keys that are not indented
    with pytest.raises(ValueError, match="datasets.emoji-test.role: None is not one of"):
        check_config(config)
