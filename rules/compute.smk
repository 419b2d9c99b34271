"""What jobs ask for: minutes, memory and how a run is computed, from a study's own size.

All of it is resources, not params: a change re-trains nothing. An attempt after a failure asks for
more time and memory. Locally only a limit given by `--resources` has an effect.
"""

from functools import cache
from math import ceil

from modelsoups.study.config import count_analyses

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
}


def compute_of(wildcards):
    """How the runs of the wildcards' sweep are computed."""
    return compute_of_sweep(wildcards.sweep)


def compute_of_sweep(sweep):
    """How the runs of a sweep are computed."""
    return COMPUTE | config["sweeps"][sweep].get("compute", {})


def evaluation_speed():
    """Images a second that a job puts through a model."""
    return config["evaluation"].get("images_per_second", 300)


def gpus_of(wildcards):
    """GPUs of one run."""
    return compute_of(wildcards)["gpus"]


def accumulate_of(wildcards):
    """Parts of a batch that are computed one after another."""
    return compute_of(wildcards)["accumulate"]


def save_minutes_of(wildcards):
    """Minutes between two saved states of a run."""
    return compute_of(wildcards)["save_minutes"]


def save_epochs_of(wildcards):
    """Epochs between two saved states of a run."""
    return compute_of(wildcards)["save_epochs"]


def on_failure_of(wildcards):
    """What becomes of a run that diverges: `error` or `skip`."""
    return config["sweeps"][wildcards.sweep].get("on_failure", "error")


def training_threads(wildcards):
    """CPU cores of one run."""
    return compute_of(wildcards)["threads"] * gpus_of(wildcards)


def training_memory(wildcards, attempt):
    """Megabytes of one run."""
    return 1000 * compute_of(wildcards)["memory_gb"] * gpus_of(wildcards) * attempt


def training_minutes(wildcards, attempt):
    """Minutes of one run: its epochs over the training set."""
    epochs = RUNS[wildcards.sweep][wildcards.run].epochs
    images = epochs * config["datasets"][TRAIN]["num_images"]
    speed = compute_of(wildcards)["images_per_second"] * gpus_of(wildcards)
    return attempt * (START_MINUTES + ceil(images / speed / 60))


def evaluation_memory(wildcards, attempt):
    """Megabytes of a job that reads or runs models."""
    return 1000 * config["evaluation"].get("memory_gb", 4) * attempt


def minutes_of_passes(num_images, attempt):
    """Minutes of so many images through a model."""
    return attempt * (START_MINUTES + ceil(num_images / evaluation_speed() / 60))


def evaluation_minutes(wildcards, attempt):
    """Minutes of one model on every evaluation set."""
    images = sum(config["datasets"][name]["num_images"] for name in EVALUATION_SETS)
    return minutes_of_passes(images, attempt)


def feature_minutes(wildcards, attempt):
    """Minutes of one model on the training and the held-out set."""
    images = sum(config["datasets"][name]["num_images"] for name in (TRAIN, HELD_OUT))
    return minutes_of_passes(images, attempt)


def soup_minutes(wildcards, attempt):
    """Minutes of a soup: a pass over the held-out set for every candidate, and a learned soup's."""
    passes = len(pool_of(wildcards)) + learned_passes(wildcards.recipe)
    return minutes_of_passes(
        passes * config["datasets"][HELD_OUT]["num_images"], attempt
    )


@cache
def analyses():
    """Sweep -> analysis -> images that it puts through a model."""
    return count_analyses(config, RUNS)


def points_minutes(wildcards, attempt):
    """Minutes of evaluating points."""
    images = analyses()[wildcards.sweep][f"points/{wildcards.points}"]
    return minutes_of_passes(images, attempt)


def growth_minutes(wildcards, attempt):
    """Minutes of growing pools."""
    return minutes_of_passes(analyses()[wildcards.sweep]["growth"], attempt)


def seeds_minutes(wildcards, attempt):
    """Minutes of the soups of seeds."""
    return minutes_of_passes(analyses()[wildcards.sweep]["seeds"], attempt)


def approximation_minutes(wildcards, attempt):
    """Minutes of approximating loss differences."""
    return minutes_of_passes(analyses()[wildcards.sweep]["approximation"], attempt)


def num_listed(wildcards):
    """Files that are listed to index the data set of the wildcards; of a split those of both parts."""
    spec = config["datasets"][wildcards.dataset]
    return spec.get("split", spec)["num_images"]


def index_minutes(wildcards, attempt):
    """Minutes of listing a data set."""
    return attempt * (
        START_MINUTES + ceil(num_listed(wildcards) / LISTED_PER_SECOND / 60)
    )


def index_memory(wildcards, attempt):
    """Megabytes of listing a data set: names are text."""
    return attempt * (2000 + num_listed(wildcards) // 200)


def decode_minutes(wildcards, attempt):
    """Minutes of decoding a data set once."""
    images = config["datasets"][wildcards.dataset]["num_images"]
    speed = DECODED_PER_SECOND * decode_threads(wildcards)
    return attempt * (START_MINUTES + ceil(images / speed / 60))


def decode_memory(wildcards, attempt):
    """Megabytes of decoding: a thousand encoded images ahead, of ObjectNet megabytes each."""
    return attempt * (4000 + 500 * decode_threads(wildcards))


def learned_passes(recipe):
    """Passes over the held-out set that a learned soup takes beside its candidates': four an epoch."""
    spec = config["recipes"][recipe]
    return 4 * spec.get("epochs", 3) if spec["kind"] == "learned" else 0
