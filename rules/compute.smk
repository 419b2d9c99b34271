"""What jobs ask for: minutes, memory and how a run is computed, from a study's own size.

All of it is resources, not params: a change makes nothing anew. An attempt after a failure asks for
more time and memory. Locally only a limit given by `--resources` has an effect.
"""

from math import ceil

from modelsoups.study.cost import (
    ASSUMED_IMAGES,
    count_images,
    looks_of,
    megabytes,
    models_in_training,
    passes_of,
)

DECODED_PER_SECOND = 20  # images a thread: a cautious guess, for a slow network disk
LISTED_PER_SECOND = 1000  # files of a data set: as cautious
START_MINUTES = 10  # imports on a slow file system, loading, saving
COMPUTE = {
    "gpus": 1,
    "accumulate": 1,
    "threads": 1,
    "memory_gb": 4,
    "images_per_second": 100,
    "save_minutes": 10,
    "save_epochs": 1,
    "decoder": "pillow",
}
EVALUATION = {
    "images_per_second": 300,
    "memory_gb": 4,
    "precision": "float32",
    **CONFIG["evaluation"],
}
ONE_MODEL = {"models": 3}  # with what its weights are read into
MIXED_MODELS = {"models": 9}
# Longer jobs go on in their next attempt: partitions have limits.
MAX_MINUTES = 60 * CONFIG.get("max_hours", 24)


def compute_of_sweep(sweep):
    """How the runs of a sweep are computed."""
    return COMPUTE | SWEEPS.get(sweep, {}).get("compute", {})


def compute_of(what):
    """A part of how the runs of the wildcards' sweep are computed."""

    def look_up(wildcards):
        return compute_of_sweep(wildcards.sweep)[what]

    return look_up


def on_failure_of(wildcards):
    """What becomes of a run that diverges: `error` or `skip`."""
    return SWEEPS[wildcards.sweep].get("on_failure", "error")


def num_images(*datasets):
    """Images of several data sets together."""
    return sum(DATASETS[name].get("num_images", ASSUMED_IMAGES) for name in datasets)


def minutes(seconds, attempt):
    """Minutes of a job that works for so long."""
    return min(attempt * (START_MINUTES + ceil(seconds / 60)), MAX_MINUTES)


def minutes_of_passes(images, attempt):
    """Minutes of so many images through a model."""
    return minutes(images / EVALUATION["images_per_second"], attempt)


def training_threads(wildcards):
    """CPU cores of one run."""
    compute = compute_of_sweep(wildcards.sweep)
    return compute["threads"] * compute["gpus"]


def config_memory_of_run(wildcards, attempt):
    """Megabytes that the config has for one run."""
    compute = compute_of_sweep(wildcards.sweep)
    return 1000 * compute["memory_gb"] * compute["gpus"] * attempt


def training_memory(wildcards, attempt, input):
    """Megabytes of one run."""
    asked = config_memory_of_run(wildcards, attempt)
    return max(asked, memory(held_by_run(wildcards), input, attempt))


def held_by_run(wildcards):
    """As many models as its methods keep, in each of its processes."""
    models = models_in_training(STUDY.runs[wildcards.sweep][wildcards.run])
    return {"models": models * compute_of_sweep(wildcards.sweep)["gpus"]}


def training_minutes(wildcards, attempt):
    """Minutes of one run: its epochs over the training set, in as many passes as its methods take, and
    passes over the held-out set, of the run and of each moving average."""
    compute = compute_of_sweep(wildcards.sweep)
    run = STUDY.runs[wildcards.sweep][wildcards.run]
    images = run.epochs * passes_of(run) * num_images(train_of(wildcards))
    images += looks_of(run) * num_images(held_out_of(wildcards))
    return minutes(images / (compute["images_per_second"] * compute["gpus"]), attempt)


def memory(held, input, attempt):
    """Megabytes of a job that holds some models at once, of one size (`held`, as `megabytes` has it).

    That size is that of a file of weights, which is there when the job begins; in a dry run before
    that, Snakemake writes <TBD>.
    """
    return attempt * megabytes(os.path.getsize(first_weights(input)), **held)


def first_weights(input):
    """One of a job's files of weights; all are of one size."""
    weights = input.get("weights", input.get("start"))
    return weights if isinstance(weights, str) else weights[0]


def evaluation_memory(wildcards, attempt, input):
    """Megabytes of a job that runs a model: its weights, and what they are read into."""
    return max(config_memory(wildcards, attempt), memory(ONE_MODEL, input, attempt))


def pool_memory(wildcards, attempt, input):
    """Megabytes of a job that mixes models."""
    return max(config_memory(wildcards, attempt), memory(MIXED_MODELS, input, attempt))


def soup_memory(wildcards, attempt, input):
    """Megabytes of a soup."""
    needed = memory(held_by_soup(wildcards), input, attempt)
    return max(config_memory(wildcards, attempt), needed)


def held_by_soup(wildcards):
    """The models that its recipe has in memory at most, and the pool that a learned soup holds."""
    spec = recipe_spec(wildcards)
    some = spec.get("models_at_a_time", 0)
    held = {"models": RECIPES[spec["kind"]].num_held + some}
    if "resident_gib" in spec and not some:
        held |= {
            "pool": len(candidates(wildcards)),
            "resident_gib": spec["resident_gib"],
        }
    return held


def config_memory(wildcards, attempt):
    """Megabytes of a job on a backbone, and the least of one on models: what the config says."""
    return 1000 * EVALUATION["memory_gb"] * attempt


def held_out_minutes(wildcards, attempt):
    """Minutes of one model on the held-out set."""
    return minutes_of_passes(num_images(held_out_of(wildcards)), attempt)


def evaluation_minutes(wildcards, attempt):
    """Minutes of one model on the test set and the shift sets."""
    return minutes_of_passes(num_images(*reported_of(wildcards)), attempt)


def feature_minutes(wildcards, attempt):
    """Minutes of a pre-trained model on a data set."""
    return minutes_of_passes(num_images(wildcards.dataset), attempt)


def probe_minutes(wildcards, attempt):
    """Minutes of a linear probe: cautiously those of a model on what it is fitted and chosen on."""
    chosen = held_out_with(wildcards)
    return minutes_of_passes(num_images(wildcards.train, chosen), attempt)


def soup_minutes(wildcards, attempt):
    """Minutes of a soup: a pass over the held-out set for every candidate, and what else it takes."""
    passes = len(STUDY.pools[wildcards.sweep])
    passes += extra_passes(wildcards.sweep, wildcards.recipe)
    return minutes_of_passes(passes * num_images(held_out_of(wildcards)), attempt)


def diagnosis_minutes(wildcards, attempt):
    """Minutes of a diagnosis: about seven looks at a sample of the held-out set for every model."""
    images = min(num_images(held_out_of(wildcards)), 1_000)
    looks = 7 * len(STUDY.pools[wildcards.sweep]) + 50
    return minutes_of_passes(looks * images, attempt)


def extra_passes(sweep, recipe):
    """Passes over the held-out set that a recipe takes besides one for every candidate."""
    config = CONFIG["recipes"][recipe]
    entry = RECIPES[config["kind"]]
    return entry.extra_passes(parse_recipe(config), len(STUDY.pools[sweep]))


@cache
def analysis_images(sweep, table):
    """Images that an analysis puts through a model, at most."""
    return count_images(STUDY, sweep, table, ANALYSES[sweep][table])


def analysis_minutes(table):
    """Minutes of an analysis of the wildcards' sweep."""

    def look_up(wildcards, attempt):
        images = analysis_images(
            wildcards.sweep, table.format(**dict(wildcards.items()))
        )
        return minutes_of_passes(images, attempt)

    return look_up


def num_listed(wildcards):
    """Files that are listed to index the data set of the wildcards; of a split those of both parts."""
    spec = DATASETS[wildcards.dataset]
    return spec.get("split", spec).get("num_images", ASSUMED_IMAGES)


def index_minutes(wildcards, attempt):
    """Minutes of listing a data set."""
    return minutes(num_listed(wildcards) / LISTED_PER_SECOND, attempt)


def index_memory(wildcards, attempt):
    """Megabytes of listing a data set: names are text."""
    return attempt * (2000 + num_listed(wildcards) // 200)


def decode_threads(wildcards):
    """Threads that decode the data set of the wildcards."""
    return 16 if num_images(wildcards.dataset) > MANY_IMAGES else 1


def probe_threads(wildcards):
    """Threads that compute features, and decode training images where no array has them."""
    return 2 if training_input(wildcards.dataset) == "array" else 16


def decode_minutes(wildcards, attempt):
    """Minutes of decoding a data set once."""
    speed = DECODED_PER_SECOND * decode_threads(wildcards)
    return minutes(num_images(wildcards.dataset) / speed, attempt)


def decode_memory(wildcards, attempt):
    """Megabytes of decoding: a thousand encoded images ahead, of ObjectNet megabytes each."""
    return attempt * (4000 + 500 * decode_threads(wildcards))
