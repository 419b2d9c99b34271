"""Look-ups of the rules: what each of them reads and passes on, file by file of rules/."""

from itertools import takewhile
from types import SimpleNamespace as wildcards_of

# collect.smk


def everything():
    """Every table and figure of the study, with what the report shows of its sweeps; of a study
    without any the scores of every sweep and pool."""
    if not TARGETS:
        return expand(SCORES, sweep=STUDY.pools)
    shown = dict.fromkeys(
        sweep for target in TARGETS.values() for sweep in sweeps_named(target)
    )
    runs = [
        f"results/sweeps/{sweep}/{page}"
        for sweep in shown
        for page in ["runs.html"] * (sweep in SWEEPS)
        + ["curves.svg"] * (sweep in STUDY.runs)
    ]
    pages = ["results/what-holds.html", "results/time.html"]
    return [*files_of(TARGETS), *pages, *runs]


def files_of(targets):
    """The files of tables and figures by their names."""
    return [
        f"results/{name}.{kind}"
        for name in targets
        for kind in FORMATS[TARGETS[name].result.kind]
    ]


def of_appendix():
    """The tables and figures that the config names under `appendix`."""
    keys = CONFIG.get("appendix", [])
    return [name for name, target in TARGETS.items() if target.result.key in keys]


def all_logits():
    """The logits of every run of every sweep on every evaluation set."""
    return [
        path
        for sweep in SWEEPS
        for path in logits_of(sweep, STUDY.runs_of(sweep), STUDY.evaluated_of(sweep))
    ]


def plan_datasets(wildcards):
    """Evaluation set -> number of images and of classes."""
    return {
        name: {
            "num_images": num_images(name),
            "num_classes": (
                DATASETS[name].get("num_classes", len(class_ids(name)))
                if "class_map" in DATASETS[name]
                else len(class_ids(name))
            ),
        }
        for name in STUDY.with_role("held_out", "test", "shift")
    }


def arrays_to_decode():
    """Data set, view and bytes of an example, for each array that will be made."""
    if EVALUATE:  # only the user's function reads the sets
        return []
    used = {
        (name, BACKBONES[STUDY.backbone_of(sweep)]["view"])
        for sweep in SWEEPS
        for name in STUDY.sets_of([sweep])
        if training_input(name) == "array"
    }
    return [
        [name, view, bytes_at(CONFIG["views"][view])] for name, view in sorted(used)
    ]


def plan_arrays(wildcards):
    """Data set and view -> bytes of the array, for each that will be made."""
    return {
        f"{name} at {view}": num_images(name) * size
        for name, view, size in arrays_to_decode()
    }


def checked_arrays(wildcards):
    """Data set, bytes of an example, and how many there are unless they can be counted."""
    return [[name, size, num_images(name)] for name, _, size in arrays_to_decode()]


def bytes_at(view):
    """Bytes that an image or, at most, a text takes at a view."""
    if "tokenizer" in view:
        return 4 * view.get("length", 128)
    return 3 * view.get("size", 224) ** 2


def plan_backbones(wildcards):
    """Sweep or pool -> the fields of its BackboneSpec."""
    return {
        name: fields_of_backbone(BACKBONES[STUDY.backbone_of(name)])
        for name in STUDY.pools
    }


def plan_classes(wildcards):
    """Sweep or pool -> number of classes of its models."""
    return {sweep: num_classes(wildcards_of(sweep=sweep)) for sweep in STUDY.pools}


def plan_sweeps(wildcards):
    """Sweep or pool -> the fields of its SweepSize, number of parameters aside."""
    sizes = {}
    for sweep in STUDY.pools:
        recipes, runs = STUDY.recipes_of(sweep), STUDY.runs.get(sweep, {})
        passes = sum(extra_passes(sweep, recipe) for recipe in recipes)
        passes += sum(map(looks_of, runs.values()))
        analysed = sum(
            analysis_images(sweep, table) for table in ANALYSES.get(sweep, {})
        )
        own = STUDY.models_with_weights(sweep)
        sizes[sweep] = {
            "epochs": [run.epochs for run in runs.values()],
            "passes": [passes_of(run) for run in runs.values()],
            "num_weights": len(own),
            "num_ensembles": len(STUDY.ensembles_of(sweep)),
            "num_greedy": sum(spec["kind"] == "greedy" for spec in recipes.values()),
            "num_candidates": len(STUDY.pools[sweep]),
            "images_per_second": compute_of_sweep(sweep)["images_per_second"],
            "other_images": passes * num_images(STUDY.held_out_of(sweep)) + analysed,
            "num_training_images": num_images(*filter(None, [STUDY.train_of(sweep)])),
            "held_out": STUDY.held_out_of(sweep),
            "evaluated": STUDY.evaluated_of(sweep),
        }
    return sizes


def plan_jobs(wildcards):
    """Sort of job, its sweep, and what one of that sort asks for at its first attempt: the memory of
    the models that it holds (`held`), and at least `mem_mb`."""

    def on_gpu(minutes, held):
        least = config_memory(None, 1)
        return {
            "gpus": 1,
            "threads": 1,
            "mem_mb": least,
            "minutes": minutes,
            "held": held,
        }

    jobs = []
    for sweep, runs in STUDY.runs.items():
        for run in runs:
            each = wildcards_of(sweep=sweep, run=run)
            asked = {
                "gpus": compute_of("gpus")(each),
                "threads": training_threads(each),
                "mem_mb": config_memory_of_run(each, 1),
                "minutes": training_minutes(each, 1),
                "held": held_by_run(each),
            }
            jobs.append([f"finetune_run of {sweep}", sweep, asked])
    for sweep in STUDY.pools:
        each = wildcards_of(sweep=sweep)
        for name, reckon in (
            ("evaluate_held_out", held_out_minutes),
            ("evaluate_reported", evaluation_minutes),
        ):
            jobs.append([name, sweep, on_gpu(reckon(each, 1), ONE_MODEL)])
        for recipe in STUDY.recipes_of(sweep):
            each = wildcards_of(sweep=sweep, recipe=recipe)
            asked = on_gpu(soup_minutes(each, 1), held_by_soup(each))
            jobs.append([f"cook_soup of {sweep}", sweep, asked])
    for sweep, tables in ANALYSES.items():
        for table in tables:
            held = ONE_MODEL if table == "timing" else MIXED_MODELS
            needed = minutes_of_passes(analysis_images(sweep, table), 1)
            jobs.append([f"{sweep}: {table}", sweep, on_gpu(needed, held)])
    return jobs


def checked_datasets(wildcards):
    """Data set -> the fields of its DatasetSpec, its known counts, the ids of its classes."""
    if EVALUATE:  # only the user's function reads them
        return {}
    return {
        name: [
            dataset_spec(wildcards_of(dataset=name)),
            dataset_counts(wildcards_of(dataset=name)),
            class_ids(name),
        ]
        for name in DATASETS
    }


def checked_paths(wildcards):
    """Data set -> what the user's evaluator is given for it, where that is a path."""
    if not EVALUATE:
        return []
    given = {name: given_to_own(wildcards_of(dataset=name)) for name in DATASETS}
    return [[name, path] for name, path in given.items() if isinstance(path, str)]


def checked_models(wildcards):
    """Sweep or pool -> fields of its BackboneSpec and number of classes; those made elsewhere aside."""
    backbones, classes = plan_backbones(wildcards), plan_classes(wildcards)
    return {
        name: [backbones[name], classes[name]]
        for name in backbones
        if name not in SOUPED
    }


def parameters_of_own(wildcards):
    """The sweep of models made elsewhere -> their parameters, as its first model's files have them."""
    if not SOUPED:
        return {}
    files = [path for path in first_own_files(wildcards) if os.path.exists(path)]
    return {OWN: sum(os.path.getsize(path) for path in files) // 4}


def checked_backbones(wildcards):
    """Backbone -> the same, of a sweep or pool that has it."""
    models = checked_models(wildcards)
    return {STUDY.backbone_of(name): model for name, model in models.items()}


def checked_checkpoints(wildcards):
    """Sweep of checkpoints -> fields of CheckpointSpec by model, and of its BackboneSpec; classes."""
    models = checked_models(wildcards)
    return {
        sweep: [
            {name: as_params(each) for name, each in files.items()},
            *models[sweep],
        ]
        for sweep, files in STUDY.checkpoints.items()
        if sweep not in SOUPED
    }


def checked_own(wildcards):
    """What the models of `soup` are and where, if there are such; adapters once they are merged."""
    if not SOUPED or not all(map(os.path.exists, map(own_models().get, adapters()))):
        return {}
    return {
        "files": own_models(),
        "request": own_request(wildcards),
        "classes": class_ids(HELD_OUT),
        "part": SOUP.get("part"),
        "prefix": SOUP.get("prefix"),
    }


def status_runs(wildcards):
    """Sweep -> of each run its name, epochs, record and log."""
    return {
        sweep: [
            (
                run,
                spec.epochs,
                of(RECORD, sweep=sweep, model=run),
                of(FINETUNE_LOG, sweep=sweep, run=run),
            )
            for run, spec in runs.items()
        ]
        for sweep, runs in STUDY.runs.items()
    }


def status_sizes(wildcards):
    """Sweep -> number of images that its runs are trained on."""
    return {sweep: num_images(STUDY.train_of(sweep)) for sweep in STUDY.runs}


def num_reported_images():
    """Images that one model is evaluated on beside the held-out ones: the mean over sweeps."""
    counts = [num_images(*STUDY.reported_of(sweep)) for sweep in SWEEPS]
    return sum(counts) / len(counts)


def status_speeds(wildcards):
    """Sweep -> images a second that its config reckons with."""
    return {sweep: compute_of_sweep(sweep)["images_per_second"] for sweep in STUDY.runs}


def status_files(wildcards):
    """What else is made -> its files."""
    soups = {sweep: STUDY.recipes_of(sweep) for sweep in STUDY.pools}
    return {
        "evaluations of runs": [
            path
            for sweep in STUDY.runs
            for path in logits_of(
                sweep, STUDY.runs_of(sweep), STUDY.evaluated_of(sweep)
            )
        ],
        "soups": [
            path for sweep, names in soups.items() for path in weights_of(sweep, names)
        ],
        "tables and figures": [
            f"results/{name}.{kind}"
            for name, target in TARGETS.items()
            for kind in FORMATS[target.result.kind][:1]
        ],
    }


# miniature.smk


def pretraining_spec(wildcards):
    """The fields of PretrainingSpec for the pre-training of the wildcards."""
    spec = CONFIG["pretraining"][wildcards.pretraining]
    return {key: value for key, value in spec.items() if key != "backbone"}


def pretraining_start(wildcards):
    """The fields of BackboneSpec for where the pre-training of the wildcards starts."""
    return fields_of_backbone(
        BACKBONES[CONFIG["pretraining"][wildcards.pretraining]["backbone"]]
    )


# data.smk


# What is prose, a check, or for another rule: a change lists nothing anew.
NOT_LISTING = {
    "role",
    "counterpart",
    "num_images",
    "num_classes",
    "images_per_class",
    "training_input",
    "classes",  # its ids are a param of their own
    "prompts",
}


def dataset_spec(wildcards):
    """The fields of DatasetSpec for the data set of the wildcards."""
    spec = DATASETS[wildcards.dataset]
    return {key: value for key, value in spec.items() if key not in NOT_LISTING}


def dataset_classes(wildcards):
    """Ids of the classes of the data set of the wildcards."""
    return class_ids(wildcards.dataset)


def dataset_counts(wildcards):
    """The known counts of the data set of the wildcards."""
    spec = DATASETS[wildcards.dataset]
    counts = ("num_images", "num_classes", "images_per_class")
    return {name: spec[name] for name in counts if name in spec}


def dataset_file(wildcards):
    """The data set's file, if it is a single one in a fixed place; others are not watched."""
    spec = DATASETS[wildcards.dataset]
    path = spec["path"] if not set("$*?[") & set(spec["path"]) else ""
    layout = spec.get("layout", "parquet")
    single = layout in ("parquet", "csv", "tsv", "webdataset") and Path(path).suffix
    return [given(path)] if single else []


def is_relative(path):
    """Whether a path of the config is one in the storage, if there is one."""
    return not Path(path).is_absolute() and path[0] not in "~$"


def staged_data(wildcards):
    """What Snakemake has to copy from a storage before the data set's files can be read."""
    return files_in_storage(wildcards.dataset) if STORAGE is not None else []


def files_in_storage(dataset):
    """The files and folders of a data set that are neither on a disk of every job nor downloaded."""
    spec = DATASETS[dataset]
    if is_relative(spec["path"]) and training_input(dataset) != "array":
        raise WorkflowError(
            f"datasets.{dataset}: training from a storage reads arrays; leave out "
            "`training_input`, or give `path` on a disk that every job sees"
        )
    paths = [spec["path"], spec.get("labels"), spec.get("mappings")]
    paths.append(spec.get("split", {}).get("indices"))
    return [ancient(fixed_part(path)) for path in paths if path and is_relative(path)]


def fixed_part(path):
    """The folder of a pattern's files; a path without a pattern as it is."""
    parts = takewhile(lambda part: not set("*?[{") & set(part), Path(path).parts)
    return str(Path(*parts))


def text_columns(wildcards):
    """The columns that have the sentences of a data set of texts."""
    return DATASETS[wildcards.dataset].get("text", ["sentence"])


def asked_classes(wildcards):
    """The file of the classes, where the view of the wildcards asks for one of them."""
    asks = CONFIG["views"][wildcards.view].get("form") == "options"
    return given(STUDY.said_of(wildcards.dataset, "classes")) if asks else []


def image_column(wildcards):
    """The column that has the images, in Parquet files."""
    return DATASETS[wildcards.dataset].get("image", "image")


# heads.smk


def classes_file(wildcards):
    """The classes of the wildcards' training set."""
    return given(STUDY.said_of(wildcards.train, "classes"))


def prompts_file(wildcards):
    """The templates of their prompts, if there are any."""
    path = STUDY.said_of(wildcards.train, "prompts")
    return given(path) if path else []


def featured_images(wildcards):
    """The images of a data set, as an array or an index."""
    return sets_of(wildcards, [wildcards.dataset])["examples"][0]


def held_out_with(wildcards):
    """The held-out set of the sweeps with the wildcards' training set."""
    return next(
        STUDY.held_out_of(sweep)
        for sweep in STUDY.runs
        if STUDY.train_of(sweep) == wildcards.train
    )


def probe_files(wildcards):
    """Features and labels that a linear probe is fitted on, and is chosen on."""
    sets = {"train": wildcards.train, "held_out": held_out_with(wildcards)}
    features = {name: of(FEATURES, dataset=dataset) for name, dataset in sets.items()}
    labels = {
        f"{name}_labels": of(LABELS, dataset=dataset) for name, dataset in sets.items()
    }
    return {**features, **labels}


def num_probe_classes(wildcards):
    """Number of classes of the wildcards' training set."""
    return len(class_ids(wildcards.train))


def zero_shot_head(wildcards):
    """The zero-shot head of the wildcards' backbone, if it has one: where its probe starts."""
    if not STUDY.has_zero_shot(wildcards.backbone, wildcards.train):
        return []
    own = {"backbone": wildcards.backbone, "train": wildcards.train}
    return [of(HEAD, start="zero-shot", **own)]


def start_of(wildcards):
    """The start, zero-shot or a probe, that the model `{start}` of a sweep has."""
    own = wildcards.start == INITIALIZATION
    return SWEEPS[wildcards.sweep]["start"] if own else wildcards.start


def kind_of_start(wildcards):
    """The kind of the model `{start}` of a sweep."""
    return STUDY.kind_of(f"{wildcards.sweep}/{wildcards.start}")


def head_of(wildcards):
    """The head file of the model `{start}` of a sweep."""
    backbone = STUDY.backbone_of(wildcards.sweep)
    train = train_of(wildcards)
    return of(HEAD, backbone=backbone, start=start_of(wildcards), train=train)


# finetune.smk


def run_spec(wildcards):
    """The hyper-parameters of the run of the wildcards; what is off is left out."""
    return as_params(STUDY.runs[wildcards.sweep][wildcards.run])


def selection_set(wildcards):
    """The held-out set, if the best checkpoint of the run of the wildcards is chosen on it."""
    if not STUDY.runs[wildcards.sweep][wildcards.run].evaluate_every:
        return {}
    files = held_out_files(wildcards)
    return {"held_out": files["examples"], "held_out_labels": files["labels"]}


def teacher_weights(wildcards):
    """The weights of the teachers of the run of the wildcards, each an input of its own."""
    teachers = STUDY.runs[wildcards.sweep][wildcards.run].teachers
    paths = weights_of(wildcards.sweep, teachers)
    return {f"teacher{number}": path for number, path in enumerate(paths, start=1)}


def size_of_view(wildcards):
    """Side in pixels of the images that the backbone of the wildcards reads; of texts no matter."""
    return view_spec(wildcards).get("size", 0)


def fixed_precision():
    """The precision of fine-tuning, if the config fixes it. Of `auto` rules see nothing, so that it
    makes no finished run anew."""
    wanted = CONFIG.get("precision", "auto")
    return {} if wanted == "auto" else {"precision": wanted}


# checkpoints.smk


def checkpoint_spec(wildcards):
    """The fields of CheckpointSpec for the model `{imported}` of a sweep of checkpoints."""
    return as_params(STUDY.checkpoints[wildcards.sweep][wildcards.imported])


def local_checkpoint(wildcards):
    """The file of a model that is not downloaded: a replaced one is noticed."""
    model = STUDY.checkpoints[wildcards.sweep][wildcards.imported]
    return [given(expanded(model.file))] if model.url is None else []


def kind_of_checkpoint(wildcards):
    """The kind of the model `{imported}`."""
    return STUDY.kind_of(f"{wildcards.sweep}/{wildcards.imported}")


def checkpoint_records(wildcards):
    """The records of all models of a sweep of checkpoints."""
    models = STUDY.checkpoints[wildcards.sweep]
    return expand(RECORD, sweep=wildcards.sweep, model=models)


# hub.smk


def pushed():
    """Sweep or pool and recipe of the soup that is pushed; None: that of models made elsewhere."""
    if (hub := CONFIG.get("hub")) is None:
        raise WorkflowError(
            "push: say whereto, as --config 'hub={repo: owner/name, model: sweep/recipe}'"
        )
    if problem := why_no_push():
        raise WorkflowError(problem)
    if unknown := [name for name in hub.get("results", []) if name not in TARGETS]:
        raise WorkflowError(
            f"hub.results: {', '.join(unknown)} is no table or figure of this study; there are "
            f"{', '.join(TARGETS)}"
        )
    sweep, _, recipe = hub.get("model", "").partition("/")
    if "model" not in hub and "soup" in CONFIG:
        return None
    soups = [
        f"{each}/{name}" for each in STUDY.pools for name in STUDY.recipes_of(each)
    ]
    if f"{sweep}/{recipe}" not in soups:
        raise WorkflowError(
            f"hub.model: expected a soup of this study, got {hub.get('model')!r}; there are "
            f"{', '.join(soups)}"
        )
    return sweep, recipe


def pushed_files(wildcards):
    """Files that are pushed, and the folder of a soup of models made elsewhere."""
    soup = pushed()
    results = files_of(CONFIG["hub"].get("results", []))
    if soup is None:
        return {"folders": ["results/soup/model"], "files": results}
    sweep, recipe = soup
    own = [of(WEIGHTS, model="{recipe}"), of(RECORD, model="{recipe}"), CARD]
    return {"files": [of(each, sweep=sweep, recipe=recipe) for each in own] + results}


def pushed_names(wildcards):
    """Paths of these files in the repository."""
    results = files_of(CONFIG["hub"].get("results", []))
    own = ["model.safetensors", "record.json", "README.md"] if pushed() else []
    return own + results


# own.smk


def given_models():
    """Name of each model made elsewhere -> where it is."""
    models = STUDY.checkpoints.get(OWN, {}) if "soup" in CONFIG else {}
    return {name: model.file for name, model in models.items()}


def adapters():
    """Those of them that are adapters."""
    given = given_models() if "base" in CONFIG.get("soup", {}) else {}
    return {name: path for name, path in given.items() if name != INITIALIZATION}


def own_models():
    """Name of each model -> where it is read: of an adapter, where it is merged."""
    merged = {name: MERGED.format(adapter=name) for name in adapters()}
    return {**given_models(), **merged}


def files_of_model(model):
    """The files of a model that are read; a folder that a job makes is an input itself."""
    path = own_models()[model]
    return [path] if model in adapters() else watched_files(path)


def adapter_folder(wildcards):
    """The folder of an adapter."""
    return adapters()[wildcards.adapter]


def adapter_files(wildcards):
    """The files of an adapter and, if they are here, of the model that it was trained on."""
    base = expanded(CONFIG["soup"]["base"])
    own = watched_files(adapters()[wildcards.adapter])
    return own + (watched_files(base) if os.path.isdir(base) else [])


def own_files(wildcards):
    """The files of all of them."""
    return [file for model in own_models() for file in files_of_model(model)]


def first_own_model(wildcards):
    """The first of them that is no initialisation."""
    return own_models()[STUDY.runs_of(OWN)[0]]


def first_own_files(wildcards):
    """Its files."""
    return files_of_model(STUDY.runs_of(OWN)[0])


def module_of_own(wildcards):
    """The user's module that builds the models, if in the working folder: an edit is another model."""
    path = file_of(SOUP["model"]) if SOUP.get("library") == "python" else None
    return [source(path)] if path else []


def imported_files(wildcards):
    """The files of the model or adapter `{imported}`."""
    return watched_files(given_models()[wildcards.imported])


def merged_adapter(wildcards):
    """The folder that the adapter `{imported}` is merged in, if it is one."""
    model = wildcards.imported
    return own_models()[model] if model in adapters() else []


def own_request(wildcards):
    """The fields of Request: what the config says of the models."""
    keys = (
        *("library", "model", "arguments", "preprocessing", "features"),
        *("predicts", "evaluate"),
    )
    return {key: CONFIG["soup"][key] for key in keys if key in CONFIG["soup"]}


def given_to_own(wildcards):
    """What the user's evaluator is given for the data set of the wildcards."""
    soup = CONFIG["soup"]
    if wildcards.dataset == HELD_OUT:
        return soup["held_out"]
    return soup["tests"][wildcards.dataset]


def files_of_own(wildcards):
    """That, if it is a file or folder in a fixed place: a replaced one is noticed."""
    given = given_to_own(wildcards)
    path = expanded(given) if isinstance(given, str) else ""
    return [path] if os.path.exists(path) else []


def held_out_of_own():
    """Params of a step that lets the user's evaluator look at the held-out set; none without one."""
    return (
        {"evaluate": EVALUATE, "given": CONFIG["soup"]["held_out"]} if EVALUATE else {}
    )


def own_records(wildcards):
    """Their records."""
    return expand(RECORD, sweep=OWN, model=own_models())


def said_logits(wildcards):
    """Held-out logits of the models whose accuracy the config says."""
    said = CONFIG["soup"].get("accuracy", {})
    return logits_of(OWN, said, [STUDY.held_out_of(OWN)])


def checks_of_own(wildcards):
    """What a soup of models made elsewhere waits for: that they fit, and have known accuracies."""
    if wildcards.sweep not in SOUPED:
        return []
    return [INGREDIENTS, *[ACCURACIES] * ("accuracy" in CONFIG["soup"])]


def own_soup(path):
    """A file of the soup that is exported."""
    return of(path, sweep=OWN, model=recipe_of(CONFIG)) if "soup" in CONFIG else []


def soup_files_of_own(wildcards):
    """What `snakemake soup` makes."""
    if "soup" not in CONFIG:
        raise WorkflowError(
            "the config has no section `soup`; config/own.yaml is an example of one"
        )
    several = len(STUDY.pools[OWN]) > 1  # of one model there is nothing to diagnose
    return [
        "results/soup/model",
        "results/soup/report.html",
        *["results/soup/diagnosis.html"] * several,
    ]


def view_of(wildcards):
    """The fields of ViewSpec for a view, or the file that has them."""
    view = CONFIG["views"][wildcards.view]
    return {} if "from" in view else view


def view_file(wildcards):
    """The description of a model that says how it sees images, where the config leaves that to it."""
    view = CONFIG["views"][wildcards.view]
    return view.get("from", [])


# evaluate.smk


def held_out_set(wildcards):
    """The held-out set as the wildcards' backbone reads it."""
    return sets_of(wildcards, [wildcards.held_out])


def reported_sets(wildcards):
    """The test set and the shift sets as the wildcards' backbone reads them."""
    return sets_of(wildcards, reported_of(wildcards))


def grouped(rule, sets):
    """Name of a rule, data sets, and the sweeps and pools whose `sets` these are: one rule each.

    A rule has the same data sets in its outputs whatever its wildcards are.
    """
    groups = {}
    for sweep in SEEN:
        groups.setdefault(tuple(sets(sweep)) or ("none",), []).append(sweep)
    return [
        (f"{rule}_{number}" if number else rule, list(found), one_of(sweeps))
        for number, (found, sweeps) in enumerate(groups.items())
    ]


# soups.smk


def pool_names(wildcards):
    """The models that the recipes and ensembles of a sweep or pool choose from."""
    return STUDY.pool_of(wildcards.sweep)


def pool_weights(wildcards):
    """Their weights."""
    return weights_of(wildcards.sweep, STUDY.pools[wildcards.sweep])


def pool_held_out_logits(wildcards):
    """Their logits on the held-out set."""
    return logits_of(
        wildcards.sweep, STUDY.pools[wildcards.sweep], [held_out_of(wildcards)]
    )


def candidates(wildcards):
    """Identities of what the recipe of the wildcards is given: the pool, or another's soup."""
    return STUDY.candidates_of(wildcards.sweep, wildcards.recipe)


def candidate_names(wildcards):
    """Their names in the sweep or pool."""
    return [name_in(wildcards.sweep, each) for each in candidates(wildcards)]


def candidate_weights(wildcards):
    """Their weights."""
    return weights_of(wildcards.sweep, candidates(wildcards))


def candidate_logits(wildcards):
    """Their logits on the held-out set."""
    return logits_of(wildcards.sweep, candidates(wildcards), [held_out_of(wildcards)])


def held_out_files(wildcards):
    """The held-out examples and labels as the wildcards' backbone reads them."""
    if EVALUATE:
        return {}
    files = sets_of(wildcards, [held_out_of(wildcards)])
    return {"examples": files["examples"][0], "labels": files["labels"][0]}


def held_out_groups(wildcards):
    """The index that has the groups of the held-out set, of a recipe that chooses by groups."""
    by_group = CONFIG["recipes"][wildcards.recipe].get("metric") in BY_GROUP
    return of(INDEX, dataset=held_out_of(wildcards)) if by_group else []


def initialization_weights(wildcards):
    """The weights that all models of the pool started from, if they are the same."""
    start = STUDY.initialization_of(wildcards.sweep)
    return weights_of(wildcards.sweep, [start])[0] if start else []


def recipe_spec(wildcards):
    """Every option of the recipe of the wildcards."""
    return full_config(CONFIG["recipes"][wildcards.recipe])


def recipe_code(wildcards):
    """The modules that cooking takes, with that of the recipe: no other recipe's."""
    recipe = CONFIG["recipes"][wildcards.recipe]
    own = metric_files(own_metrics([recipe, {"metric": EVALUATE or ""}]))
    return code("cook_soup", module_path(RECIPES[recipe["kind"]].cook)) + own


def soup_names(wildcards):
    """The soups of the wildcards' sweep or pool."""
    return list(STUDY.recipes_of(wildcards.sweep))


def soup_files(path):
    """A file of each of them."""

    def look_up(wildcards):
        return expand(path, sweep=wildcards.sweep, model=soup_names(wildcards))

    return look_up


def soup_held_out_logits(wildcards):
    """Their logits on the held-out set."""
    return logits_of(wildcards.sweep, soup_names(wildcards), [held_out_of(wildcards)])


def pool_settings(wildcards):
    """The hyper-parameters of those models of the pool that were fine-tuned here."""
    found = {}
    for model in STUDY.pools[wildcards.sweep]:
        owner, _, name = model.partition("/")
        if (spec := STUDY.runs.get(owner, {}).get(name)) is not None:
            found[name_in(wildcards.sweep, model)] = as_params(spec)
    return found


# ensembles.smk


def pool_reported_logits(wildcards):
    """The pool's logits on the test set and the shift sets, data set by data set."""
    return logits_of(
        wildcards.sweep, STUDY.pools[wildcards.sweep], reported_of(wildcards)
    )


def ensemble_spec(wildcards):
    """Every option of the ensemble of the wildcards."""
    return full_config(CONFIG["ensembles"][wildcards.ensemble], ensemble=True)


# scores.smk


def scored_names(wildcards):
    """Everything that is scored of a sweep or pool."""
    return list(STUDY.kinds_of(wildcards.sweep))


def scored_logits(wildcards):
    """Their logits on every evaluation set, data set by data set."""
    return logits_of(wildcards.sweep, scored_names(wildcards), evaluated_of(wildcards))


def scored_table(what):
    """Of each file of `scored_logits` its model, kind or data set."""

    def look_up(wildcards):
        kinds, datasets = STUDY.kinds_of(wildcards.sweep), evaluated_of(wildcards)
        columns = {
            "models": list(kinds) * len(datasets),
            "kinds": list(kinds.values()) * len(datasets),
            "datasets": [name for name in datasets for _ in kinds],
        }
        return columns[what]

    return look_up


def evaluated_indexes(wildcards):
    """The indexes of the sets that the wildcards' sweep or pool is evaluated on."""
    return expand(INDEX, dataset=evaluated_of(wildcards))


def evaluated_roles(wildcards):
    """These sets with their roles."""
    return {name: STUDY.roles[name] for name in evaluated_of(wildcards)}


def own_metrics(recipes):
    """The metrics of the user's own that recipes choose by, each function once."""
    metrics = [recipe.get("metric", "") for recipe in recipes]
    said = [{"function": each} if isinstance(each, str) else each for each in metrics]
    return list(
        {each["function"]: each for each in said if ":" in each["function"]}.values()
    )


def scored_metrics():
    """The metrics that a score table has besides those of what models give."""
    recipes = CONFIG.get("recipes", {}).values()
    return own_metrics([*recipes, {"metric": EVALUATE or ""}])


def metric_files(metrics):
    """Their files, if in the working folder: an edit makes anew what they score."""
    return [source(path) for each in metrics if (path := file_of(each["function"]))]


def label_set_of(wildcards):
    """Config of the label set of the wildcards."""
    return CONFIG["label_sets"][wildcards.label_set]


def label_set_classes(wildcards):
    """The classes of the data set that a label set is for."""
    return given(STUDY.said_of(label_set_of(wildcards)["dataset"], "classes"))


def label_set_index(wildcards):
    """The index of the data set that a label set is for."""
    return of(INDEX, dataset=label_set_of(wildcards)["dataset"])


def label_set_data(wildcards):
    """What Snakemake has to copy from a storage before its files can be read."""
    dataset = label_set_of(wildcards)["dataset"]
    return files_in_storage(dataset) if STORAGE is not None else []


def label_set_logits(wildcards):
    """The logits on that data set of everything that is scored."""
    dataset = label_set_of(wildcards)["dataset"]
    return logits_of(wildcards.sweep, scored_names(wildcards), [dataset])


# analyses.smk


def analysis_plan(table):
    """The plan of an analysis of the wildcards' sweep, from the figure that asks for it."""

    def look_up(wildcards):
        return dict(ANALYSES[wildcards.sweep][table.format(**dict(wildcards.items()))])

    return look_up


def cross_set(wildcards):
    """The test set of a zero-shot target."""
    return sets_of(wildcards, [analysis_plan("cross")(wildcards)["dataset"]])


def cross_weights(wildcards):
    """The weights of the other data sets' models."""
    return weights_of(wildcards.sweep, analysis_plan("cross")(wildcards)["models"])


def mixed_names(wildcards):
    """The models that mixes may be made of: the start, all runs, and a plan's averages and soups."""
    plan, runs = analysis_plan("mixes/{mixes}")(wildcards), run_names(wildcards)
    averages = averages_in(plan.get("groups", []))
    averaged = [f"{run}-{average}" for run in runs for average in averages]
    return [INITIALIZATION, *runs, *averaged, *plan.get("soups", [])]


def mixed_weights(wildcards):
    """Their weights."""
    return weights_of(wildcards.sweep, mixed_names(wildcards))


def mixed_datasets(wildcards):
    """The data sets that mixes are evaluated on; planes have the training set too."""
    plane = analysis_plan("mixes/{mixes}")(wildcards)["kind"] == "plane"
    return [train_of(wildcards)] * plane + reported_of(wildcards)


def mixed_sets(wildcards):
    """These data sets as models read them."""
    return sets_of(wildcards, mixed_datasets(wildcards))


def training_column(wildcards):
    """The column that has the training images of the wildcards' sweep, in Parquet files."""
    return DATASETS[train_of(wildcards)].get("image", "image")


def evaluated_sets(wildcards):
    """The held-out set, the test set and the shift sets as models read them."""
    return sets_of(wildcards, evaluated_of(wildcards))


def run_names(wildcards):
    """The runs of the wildcards' sweep."""
    return STUDY.runs_of(wildcards.sweep)


def run_weights(wildcards):
    """Their weights."""
    return weights_of(wildcards.sweep, run_names(wildcards))


def run_logits(wildcards):
    """Their logits on every evaluation set, data set by data set."""
    return logits_of(wildcards.sweep, run_names(wildcards), evaluated_of(wildcards))


def pool_logits(wildcards):
    """The pool's logits on every evaluation set, data set by data set."""
    return logits_of(
        wildcards.sweep, STUDY.pools[wildcards.sweep], evaluated_of(wildcards)
    )


def start_and_runs(wildcards):
    """The initialisation and the runs of the wildcards' sweep."""
    return [INITIALIZATION, *run_names(wildcards)]


def start_and_run_weights(wildcards):
    """Their weights."""
    return weights_of(wildcards.sweep, start_and_runs(wildcards))


def start_and_run_logits(wildcards):
    """Their logits on the test set and the shift sets, data set by data set."""
    return logits_of(wildcards.sweep, start_and_runs(wildcards), reported_of(wildcards))


def ensemble_names(wildcards):
    """The ensembles of the wildcards' sweep or pool."""
    return list(STUDY.ensembles_of(wildcards.sweep))


def ensemble_records(wildcards):
    """Their records."""
    return expand(RECORD, sweep=wildcards.sweep, model=ensemble_names(wildcards))


def timed_names(wildcards):
    """The models whose predictions are timed: those of the pool, and its soups."""
    return [*pool_names(wildcards), *soup_names(wildcards)]


def timed_weights(wildcards):
    """Their weights."""
    return weights_of(wildcards.sweep, timed_names(wildcards))


# paper.smk


FORMATS = {"figure": ["svg", "png"], "table": ["csv", "html"], "claims": []}


def needed(target):
    """The files that a table or figure is made from, by the names that its module has for them."""

    def file_of(need):
        if need.table == "logits":
            reported = STUDY.reported_of(need.sweep)
            return logits_of(need.sweep, STUDY.runs_of(need.sweep), reported)
        return f"{of(SWEEP, sweep=need.sweep)}/{need.table}.parquet"

    needs = target.result.needs(target.spec)
    return {
        name: (
            [file_of(each) for each in need]
            if isinstance(need, list)
            else file_of(need)
        )
        for name, need in needs.items()
    }


def targets_of_kind(kind):
    """The study's figures, tables, or claims without either."""
    return {
        name: target for name, target in TARGETS.items() if target.result.kind == kind
    }


def result_code(script, target):
    """The modules that a table or figure takes, no other one's; labels are with the recipes."""
    made_by = module_path(target.result.make.__module__)
    labels = module_path("modelsoups.soups.registry")
    return [*code(script, made_by), source(os.path.relpath(labels))]


def caption_of(name):
    """Path of the caption that a table's or figure's own rule writes."""
    return str(Path(of(CAPTION, name=name)).absolute())


def sweeps_named(target):
    """The sweeps and pools that a table or figure names."""
    return [
        found for what, found in target.result.names(target.spec) if what == "sweep"
    ]


def about_study(sweeps=()):
    """What a table or figure is told of the study: of its sets those of the sweeps it names."""
    return {
        "study": CONFIG["study"],
        "roles": STUDY.sets_of(sweeps) if sweeps else STUDY.roles,
        "recipes": CONFIG.get("recipes", {}),
        "ensembles": CONFIG.get("ensembles", {}),
    }


def run_records(wildcards):
    """The records of the runs of the wildcards' sweep."""
    return expand(RECORD, sweep=wildcards.sweep, model=STUDY.runs_of(wildcards.sweep))


# replicates.smk


def replicate_folder(number):
    """Where a replicate's files are, in place of results/."""
    return f"results/replicates/{number}/"


def folds_of_replicates():
    """Of each replicate the fold that it tests."""
    folds = list(CONFIG["replicates"]["folds"])
    return [folds_of(folds, number)["test"][0] for number in REPLICATES]


def claims_of_replicates():
    """The claims of the tables and figures of each replicate."""
    return {
        f"draw{n}": [
            of(CLAIMS, name=name).replace("results/", replicate_folder(n), 1)
            for name in list_targets(its_config)
        ]
        for n, its_config in REPLICATES.items()
    }


def claims_over_draws():
    """The claims over draws: of Table 3, and of what else each replicate has."""
    spec = CONFIG.get("replicates", {})
    return ["replicates"] * bool(spec) + ["pooled"] * ("results" in spec)


def replicate_tables(path):
    """A table of every replicate of the sweep that is replicated."""
    table = of(path, sweep=CONFIG["replicates"]["sweep"])
    return [table.replace("results/", replicate_folder(n), 1) for n in REPLICATES]
