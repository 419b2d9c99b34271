"""Look-ups of the analyses, tables and figures: what each of them reads."""

LABEL_SETS = config.get("label_sets", {})
POINTS = list_points(config)
REPORTED_SETS = with_role(config["datasets"], "test", "shift")

# Figure -> its title and its category in the report.
IN_REPORT = {
    "figure1": ("Figure 1", "Section 3.3: model soups"),
    "figureL3": ("Figure L.3", "Appendix L: additional baselines"),
    "figure2": ("Figure 2", "Section 3.2: intuition"),
    "figureJ1": ("Figure J.1", "Appendix J: experimental details"),
    "figure3": ("Figure 3", "Section 3.2: intuition"),
    "figure4": ("Figure 4", "Section 3.2: intuition"),
    "figureB1": ("Figure B.1", "Appendix B: additional figures"),
    "figureB2": ("Figure B.2", "Appendix B: additional figures"),
    "figureD1": ("Figure D.1", "Appendix D: robust fine-tuning"),
    "figureG4": ("Figure G.4", "Appendix G: other data and pre-training"),
    "figureK1": ("Figure K.1", "Section 4 and Appendix K: soups and ensembles"),
}
# Figure -> the tables, of each sweep that it shows, from which it is drawn.
TABLES = {
    "figure1": ["scores"],
    "figureL3": ["scores"],
    "figure2": ["points/plane-seed", "points/plane-smaller-lr"],
    "figureJ1": ["points/plane-seed", "points/plane-larger-lr"],
    "figure3": ["points/angles"],
    "figure4": ["points/pairs"],
    "figureB1": ["growth"],
    "figureB2": ["seeds"],
    "figureD1": ["points/wise"],
    "figureG4": ["seeds"],
    "figureK1": ["approximation"],
}


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


def sweeps_of_figure(figure):
    """The sweeps that a figure shows; none where the config leaves it out."""
    if figure == "figureJ1" and "larger_lr" not in config.get("figure2", {}):
        return []
    key = {"figureL3": "figure1", "figureJ1": "figure2"}.get(figure, figure)
    return [
        sweep for where, sweep in named_sweeps(config) if where.split(".")[0] == key
    ]


def figure_sources():
    """Figure -> what it is drawn from: files, labels of each, spec, category and title."""
    sources = {}
    for figure, (title, category) in IN_REPORT.items():
        if sweeps := sweeps_of_figure(figure):
            files = [
                f"results/sweeps/{sweep}/{table}.parquet"
                for sweep in sweeps
                for table in TABLES[figure]
            ]
            about = {"title": title, "category": category}
            sources[figure] = {**about, "files": files, "labels": sweeps}
    for figure, change in (("figure2", "Smaller"), ("figureJ1", "Larger")):
        if figure in sources:
            labels = ["Same learning rate", f"{change} learning rate"]
            sources[figure]["labels"] = labels
    if "figure4" in sources:
        [sweep] = sweeps_of_figure("figure4")
        sources["figure4"]["logits"] = logits_of(sweep, RUNS[sweep], REPORTED_SETS)
        sources["figure4"]["models"] = list(RUNS[sweep])
    for number, sweep in enumerate(config.get("figureH", []), start=1):
        sources[f"figureH{number}"] = {
            "title": f"Figure H.{number}",
            "category": "Appendix H: additional grid searches and initializations",
            "drawing": "figureH",
            "files": [f"results/sweeps/{sweep}/growth.parquet"],
            "labels": [sweep],
        }
    if "figureK1" in sources:
        sources["figureK1"]["spec"] = config["figureK1"]
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
