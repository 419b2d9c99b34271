"""Every path of results/, once; and the files of several models or data sets together."""

INDEX = "results/data/{dataset}/index.parquet"
LABELS = "results/data/{dataset}/labels.npy"
CLASS_MAP = "results/data/{dataset}/class_map.npy"
DATASET_RECORD = (
    "results/data/{dataset}/record.json"  # written once the counts are right
)
IMAGES = "results/data/{dataset}/{view}/images.npy"
TOKENS = "results/data/{dataset}/{view}/tokens.npy"
CHECKED = "results/data/{dataset}/checked/index.parquet"
RESIZED = "results/data/{dataset}/resized/index.parquet"
LABEL_SET = "results/label-sets/{label_set}.parquet"

# Of the Hugging Face hub, at a revision; not of results, whose replicates share it.
HUB_FILE = "hub/{owner}/{name}/{revision}/{file}"

FEATURES = "results/heads/features/{backbone}/{dataset}.npy"
HEAD = "results/heads/{backbone}-{start}-{train}.safetensors"

SWEEP = "results/sweeps/{sweep}"
RUNS = f"{SWEEP}/runs.csv"
WEIGHTS = f"{SWEEP}/models/{{model}}/weights.safetensors"
RECORD = f"{SWEEP}/models/{{model}}/record.json"
FINETUNE_LOG = "results/logs/finetune_run/{sweep}-{run}.log"
CARD = f"{SWEEP}/models/{{recipe}}/README.md"
COST = f"{SWEEP}/models/{{model}}/cost.json"  # of a soup: what it took
LOGITS = f"{SWEEP}/models/{{model}}/logits/{{dataset}}.parquet"
SCORES = f"{SWEEP}/scores.parquet"
CORRECT = f"{SWEEP}/correct.parquet"
PREDICTIONS = f"{SWEEP}/predictions.parquet"
COSTS = f"{SWEEP}/costs.parquet"
LABEL_SET_CORRECT = f"{SWEEP}/label-sets/{{label_set}}.parquet"

BENCHMARK = "results/benchmarks/{rule}/{job}.tsv"  # what a job took

INGREDIENTS = (
    "results/own/ingredients.csv"  # models made elsewhere, once they fit together
)
MERGED = "results/own/merged/{adapter}"  # an adapter, merged into its model
ACCURACIES = "results/own/accuracy.csv"  # of some of them, as found and as known

CLAIMS = "results/claims/{name}.json"  # of a table or figure
CAPTION = "results/captions/{name}.rst"


def of(path, **wildcards):
    """A path with some of its wildcards renamed or filled in."""
    for name, value in wildcards.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def weights_of(sweep, names):
    """Weights of models that a sweep or pool calls by these names."""
    pairs = [identity(sweep, name).split("/") for name in names]
    return [of(WEIGHTS, sweep=owner, model=model) for owner, model in pairs]


def logits_of(sweep, names, datasets):
    """Logits of such models, data set by data set and within one model by model."""
    pairs = [identity(sweep, name).split("/") for name in names]
    return [
        of(LOGITS, sweep=owner, model=model, dataset=dataset)
        for dataset in datasets
        for owner, model in pairs
    ]


def array_of(dataset, view):
    """The array of a data set at a view, which every model reads: images or tokens."""
    path = TOKENS if DATASETS[dataset].get("task") == "text" else IMAGES
    return of(path, dataset=dataset, view=view)


def sets_of(wildcards, datasets):
    """Data sets as models are evaluated on them: examples, labels and class maps, in one order.

    The training set comes as an index where training reads files.
    """
    view = backbone_of(wildcards)["view"]
    return {
        "examples": [
            (
                of(INDEX, dataset=name)
                if training_input(name) != "array"
                else array_of(name, view)
            )
            for name in datasets
        ],
        "labels": expand(LABELS, dataset=datasets),
        "class_maps": expand(CLASS_MAP, dataset=datasets),
    }


def training_input(dataset):
    """What training on a set reads: an array, the files themselves, or smaller copies of them."""
    return DATASETS[dataset].get("training_input", "array")


def training_images(wildcards):
    """The training images in that form: the array of a view, or an index."""
    view = backbone_of(wildcards)["view"]
    train = train_of(wildcards)
    path = {"array": array_of(train, view), "files": CHECKED, "resized": RESIZED}
    return of(path[training_input(train)], dataset=train)


def training_labels(wildcards):
    """Their labels."""
    return of(LABELS, dataset=train_of(wildcards))
