"""Look-ups of the analyses, tables and figures: what each of them reads."""

LABEL_SETS = config.get("label_sets", {})
POINTS = list_points(config)
REPORTED_SETS = with_role(config["datasets"], "test", "shift")


def label_set_files(wildcards):
    """The label sets, in the order of the config."""
    return [f"results/label-sets/{name}.parquet" for name in LABEL_SETS]


def index_of_label_set(wildcards):
    """The index of the data set that the label set of the wildcards is for."""
    return f"results/data/{LABEL_SETS[wildcards.label_set]['dataset']}/index.parquet"


def paired_models(wildcards):
    """Everything in a sweep that is scored."""
    return list(kinds_of(wildcards.sweep))


def points_spec(wildcards):
    """The plan of the wildcards' points."""
    return POINTS[wildcards.sweep][wildcards.points]


def points_models(wildcards):
    """The models that points may be made of: the start, all runs, and a plan's soups."""
    soups = points_spec(wildcards).get("soups", [])
    return ["initialization", *RUNS[wildcards.sweep], *soups]


def points_weights(wildcards):
    """The weights of `points_models`."""
    return weights_of(wildcards.sweep, points_models(wildcards))


def points_sets(wildcards):
    """The data sets that points are evaluated on; planes have the training set too."""
    return [TRAIN] * (points_spec(wildcards)["kind"] == "plane") + REPORTED_SETS


def points_images(wildcards):
    """The images of `points_sets` as arrays, or as an index where training reads files."""
    return [
        (
            f"results/data/{TRAIN}/index.parquet"
            if name == TRAIN and decodes_in_training()
            else images_of(wildcards, name)
        )
        for name in points_sets(wildcards)
    ]


def points_labels(wildcards):
    """The labels of `points_sets`."""
    return [f"results/data/{name}/labels.npy" for name in points_sets(wildcards)]


def points_class_maps(wildcards):
    """The class maps of `points_sets`."""
    return [f"results/data/{name}/class_map.npy" for name in points_sets(wildcards)]


def reported_class_maps(wildcards):
    """The class maps of the test set and the shift sets."""
    return [f"results/data/{name}/class_map.npy" for name in REPORTED_SETS]


def reported_images(wildcards):
    """The images of the test set and the shift sets."""
    return [images_of(wildcards, name) for name in REPORTED_SETS]


def reported_labels(wildcards):
    """The labels of the test set and the shift sets."""
    return [f"results/data/{name}/labels.npy" for name in REPORTED_SETS]


def run_names(wildcards):
    """The runs of the wildcards' sweep."""
    return list(RUNS[wildcards.sweep])


def run_weights(wildcards):
    """The weights of the runs of the wildcards' sweep."""
    return weights_of(wildcards.sweep, RUNS[wildcards.sweep])


def run_logits(wildcards):
    """The runs' logits on every evaluation set, data set by data set."""
    return logits_of(wildcards.sweep, RUNS[wildcards.sweep], EVALUATION_SETS)


def run_curves(wildcards):
    """The runs' records."""
    return expand(
        rules.finetune_run.output.record,
        sweep=wildcards.sweep,
        run=RUNS[wildcards.sweep],
    )


def seeds_match(wildcards):
    """The hyper-parameters of the runs of a sweep that differ in their seed alone."""
    asked = [config.get("figureB2", {}), *config.get("figureG4", [])]
    [match, *_] = [
        seeds.get("match", {})
        for seeds in asked
        if seeds.get("sweep") == wildcards.sweep
    ]
    return match


def start_and_runs(wildcards):
    """The initialisation and the runs of the wildcards' sweep."""
    return ["initialization", *RUNS[wildcards.sweep]]


def start_and_run_weights(wildcards):
    """The weights of `start_and_runs`."""
    return weights_of(wildcards.sweep, start_and_runs(wildcards))


def start_and_run_logits(wildcards):
    """The logits of `start_and_runs` on the test set and the shift sets, data set by data set."""
    return logits_of(wildcards.sweep, start_and_runs(wildcards), REPORTED_SETS)


def weights_of(sweep, models):
    """Files of weights, model by model."""
    return [
        f"results/sweeps/{sweep}/models/{model}/weights.safetensors" for model in models
    ]


def points_files(sweep, *names):
    """Files of evaluated points of a sweep."""
    return [f"results/sweeps/{sweep}/points/{name}.parquet" for name in names]


def plane_source(second, labels, category, title):
    """The source of a figure of two planes: seeds, and another learning rate."""
    return {
        "files": points_files(config["figure2"]["sweep"], "plane-seed", second),
        "labels": labels,
        "category": category,
        "title": title,
    }


def figure_sources():
    """Figure -> what it is drawn from: files, labels of each, spec, category and title."""
    intuition, soups = "Section 3.2: intuition", "Section 3.3: model soups"
    scores = f"results/sweeps/{config['figure1']}/scores.parquet"
    one = {"files": [scores], "labels": [config["figure1"]], "category": soups}
    sources = {
        "figure1": {**one, "title": "Figure 1"},
        "figureL3": {
            **one,
            "title": "Figure L.3",
            "category": "Appendix L: additional baselines",
        },
    }
    if "figure2" in config:
        sources["figure2"] = plane_source(
            "plane-smaller-lr",
            ["Same learning rate", "Smaller learning rate"],
            intuition,
            "Figure 2",
        )
        if "larger_lr" in config["figure2"]:
            sources["figureJ1"] = plane_source(
                "plane-larger-lr",
                ["Same learning rate", "Larger learning rate"],
                "Appendix J: experimental details",
                "Figure J.1",
            )
    if "figure3" in config:
        sweep = config["figure3"]["sweep"]
        sources["figure3"] = {
            "files": points_files(sweep, "angles"),
            "labels": [sweep],
            "category": intuition,
            "title": "Figure 3",
        }
    if "figure4" in config:
        sweep = config["figure4"]["sweep"]
        sources["figure4"] = {
            "files": points_files(sweep, "pairs"),
            "logits": logits_of(sweep, RUNS[sweep], REPORTED_SETS),
            "models": list(RUNS[sweep]),
            "labels": [sweep],
            "category": intuition,
            "title": "Figure 4",
        }
    if "figureB1" in config:
        sweep = config["figureB1"]["sweep"]
        sources["figureB1"] = {
            "files": [f"results/sweeps/{sweep}/growth.parquet"],
            "labels": [sweep],
            "category": "Appendix B: additional figures",
            "title": "Figure B.1",
        }
    for number, sweep in enumerate(config.get("figureH", []), start=1):
        sources[f"figureH{number}"] = {
            "drawing": "figureH",
            "files": [f"results/sweeps/{sweep}/growth.parquet"],
            "labels": [sweep],
            "category": "Appendix H: additional grid searches and initializations",
            "title": f"Figure H.{number}",
        }
    if "figureB2" in config:
        sweep = config["figureB2"]["sweep"]
        sources["figureB2"] = {
            "files": [f"results/sweeps/{sweep}/seeds.parquet"],
            "labels": [sweep],
            "category": "Appendix B: additional figures",
            "title": "Figure B.2",
        }
    if "figureD1" in config:
        sweeps = config["figureD1"]["sweeps"]
        sources["figureD1"] = {
            "files": [path for sweep in sweeps for path in points_files(sweep, "wise")],
            "labels": sweeps,
            "category": "Appendix D: robust fine-tuning",
            "title": "Figure D.1",
        }
    if "figureG4" in config:
        sweeps = [seeds["sweep"] for seeds in config["figureG4"]]
        sources["figureG4"] = {
            "files": [f"results/sweeps/{sweep}/seeds.parquet" for sweep in sweeps],
            "labels": sweeps,
            "category": "Appendix G: other data and pre-training",
            "title": "Figure G.4",
        }
    if "figureK1" in config:
        sweep = config["figureK1"]["sweep"]
        sources["figureK1"] = {
            "files": [f"results/sweeps/{sweep}/approximation.parquet"],
            "labels": [sweep],
            "spec": config["figureK1"],
            "category": "Section 4 and Appendix K: soups and ensembles",
            "title": "Figure K.1",
        }
    return sources


FIGURES = figure_sources()


def caption_of(name):
    """Path of the caption that `what_holds` writes for a table or figure."""
    return str(Path("results/captions", f"{name}.rst").absolute())


def captioned():
    """The tables and figures that have a computed caption."""
    return ["what-holds", "table3", "table4", *FIGURES]


def sweep_name(wildcards):
    """The name of the wildcards' sweep, as a spec."""
    return {"sweep": wildcards.sweep}


def claims_sweeps():
    """The sweeps whose soups the claims are about."""
    named = [config["table3"], *config.get("what_holds", {}).values()]
    return list(dict.fromkeys(named))


def claims_described():
    """The figures that are described in numbers, without a test."""
    return [
        name
        for name in ("figure2", "figureJ1", "figureD1", "figureG4")
        if name in FIGURES
    ]


def claims_files():
    """What the claims are judged on."""
    files = {
        name: [f"results/sweeps/{sweep}/{name}.parquet" for sweep in claims_sweeps()]
        for name in ("scores", "correct")
    }
    files["described"] = [f"results/{name}.parquet" for name in claims_described()]
    for name in ("figure3", "figure4"):
        if name in FIGURES:
            files[name] = f"results/{name}.parquet"
    for name, figure in (("seeds", "figureB2"), ("approximation", "figureK1")):
        if figure in FIGURES:
            files[name] = FIGURES[figure]["files"][0]
    return files


def evidence():
    """Every table and figure of the study, with what the report shows of its sweeps."""
    figures = [f"results/{name}.{kind}" for name in FIGURES for kind in ("svg", "png")]
    tables = [f"results/table4-{sweep}.html" for sweep in config.get("table4", [])]
    shown = dict.fromkeys(sweep for _, sweep in named_sweeps(config))
    runs = [
        f"results/sweeps/{sweep}/{page}"
        for sweep in shown
        for page in ["runs.html"] + ["curves.svg"] * (sweep in FINETUNED)
    ]
    return ["results/table3.csv", "results/what-holds.html", *figures, *tables, *runs]
