"""What a pool's weights alone tell: which do not fit, how far they are apart, and where.

No example is read. Each function goes through the files tensor by tensor.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from modelsoups.weights.average import COUNTER
from modelsoups.weights.checkpoints import Entry, Source, read_whole
from modelsoups.weights.geometry import products_by_group
from modelsoups.weights.layers import depths, layer_of

MEAN, VARIANCE = "running_mean", "running_var"  # of a BatchNorm
# Names of classifiers' last layers: this project's and most of timm, transformers, torchvision.
HEADS = ("head", "fc", "classifier", "heads")
# Fine-tuned from one start, weights have cosines near 1; of unrelated ones it is 0 but for
# 1 / sqrt(number of weights).
RELATED = 0.3
HALF = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}  # largest relative error of a rounding
CLASSIFIER = "classifier"  # layer of the head's matrix and bias
SAME = 1e-6  # relative distance of two models that are one


def find_misfits(sources: Mapping[str, Source]) -> dict[str, str]:
    """Models whose tensors are not those that most have -> the first differences, in words.

    Of equal counts, those are right that come first.
    """
    layouts = {
        name: {key: _shape_and_integers(source, key) for key in source.entries}
        for name, source in sources.items()
    }
    counts = Counter(tuple(sorted(layout.items())) for layout in layouts.values())
    usual = dict(counts.most_common(1)[0][0])
    misfits = {}
    for name, layout in layouts.items():
        problems = [f"lacks {key}" for key in usual.keys() - layout.keys()]
        problems += [f"has {key} besides" for key in layout.keys() - usual.keys()]
        problems += [
            f"has {key} of shape {layout[key][0]} where most have {shape}"
            if layout[key][0] != shape
            else f"has other integers in {key} than most"
            for key, (shape, integers) in usual.items()
            if layout.get(key, (shape, integers)) != (shape, integers)
        ]
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            misfits[name] = "; ".join(sorted(problems)[:3]) + more
    return misfits


def _shape_and_integers(source: Source, key: str) -> tuple[tuple[int, ...], int]:
    """What models must have alike of a tensor: its shape, and integers (a hash), not counters."""
    entry = source.entries[key]
    may_differ = entry.dtype.is_floating_point or key.endswith(COUNTER)
    return entry.shape, 0 if may_differ else hash(read_whole(source, key).numpy().tobytes())


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Inner products of models' weights, by layer and kind of tensor: matrix, vector, classifier.

    The first model is the start, if there is one.
    """

    names: Sequence[str]
    products: Mapping[tuple[str, str], np.ndarray]  # layer, kind -> (k, k)
    head: str | None  # key of the classifier's matrix

    @cached_property
    def total(self) -> np.ndarray:
        """Inner products of all parameters: (k, k)."""
        return np.sum(list(self.products.values()), axis=0)

    @cached_property
    def distances(self) -> np.ndarray:
        """Distances of the models, relative to the weights' mean length: (k, k)."""
        return relative_distances(self.total)

    @cached_property
    def cosines(self) -> np.ndarray:
        """Median over layers of the cosines of the weights in matrices, head aside: (k, k)."""
        each = [cosines(p) for (_, kind), p in self.products.items() if kind == "matrix"]
        return np.median(each, axis=0) if each else cosines(self.total)

    @cached_property
    def by_layer(self) -> dict[str, np.ndarray]:
        """Layer, the first one first -> inner products of all its parameters: (k, k)."""
        layers: dict[str, np.ndarray] = {}
        for (layer, _), products in self.products.items():
            layers[layer] = layers.get(layer, 0) + products
        order = [*depths(f"{layer}.weight" for layer in layers if layer != CLASSIFIER), CLASSIFIER]
        return {layer: layers[layer] for layer in order if layer in layers}

    def of(self, names: Sequence[str]) -> "Geometry":
        """That of some of the models."""
        rows = [list(self.names).index(name) for name in names]
        products = {group: each[np.ix_(rows, rows)] for group, each in self.products.items()}
        return Geometry(names=names, products=products, head=self.head)

    def families(self) -> list[list[str]]:
        """The models in groups that share a start, the largest first."""
        _, labels = connected_components(self.cosines > RELATED, directed=False)
        groups = [
            [name for name, label in zip(self.names, labels, strict=True) if label == group]
            for group in range(labels.max() + 1)
        ]
        return sorted(groups, key=len, reverse=True)

    def duplicates(self) -> list[tuple[str, str]]:
        """Pairs of models that are one and the same."""
        first, second = np.nonzero(np.triu(self.distances < SAME, 1))
        pairs = zip(first.tolist(), second.tolist(), strict=True)
        return [(self.names[i], self.names[j]) for i, j in pairs]


def measure(sources: Mapping[str, Source]) -> Geometry:
    """The geometry of models that fit one another; of one with non-finite values it is NaN."""
    head = find_head(next(iter(sources.values())).entries)

    def group_of(key: str, entry: Entry) -> tuple[str, str] | None:
        if key.endswith((MEAN, VARIANCE)):
            return None
        layer = layer_with_classifier(key, head)
        kind = "matrix" if len(entry.shape) > 1 else "vector"
        return layer, CLASSIFIER if layer == CLASSIFIER else kind

    with np.errstate(invalid="ignore", over="ignore"):
        products = products_by_group(list(sources.values()), group_of)
    return Geometry(names=list(sources), products=products, head=head)


def angles_from_first(products: np.ndarray) -> np.ndarray:
    """Angles in degrees between all others as seen from the first: (k - 1, k - 1)."""
    moves = products[1:, 1:] - products[1:, :1] - products[:1, 1:] + products[0, 0]
    return np.degrees(np.arccos(np.clip(cosines(moves), -1, 1)))


def cosines(products: np.ndarray) -> np.ndarray:
    """Cosines (k, k) from inner products; of a vector of zeros 0."""
    lengths = np.sqrt(np.clip(products.diagonal(), 0, None))
    return products / np.maximum(np.outer(lengths, lengths), 1e-300)


def relative_distances(products: np.ndarray) -> np.ndarray:
    """Distances (k, k) from inner products, divided by the median of the lengths."""
    squares = products.diagonal()
    between = np.clip(squares[:, None] + squares[None] - 2 * products, 0, None)
    return np.sqrt(between / max(float(np.median(squares)), 1e-300))


def layer_with_classifier(key: str, head: str | None) -> str:
    """The layer of a tensor, as `layers.layer_of` has it, the classifier apart.

    Args: head: key of the classifier's matrix, if it is known.
    """
    own = head is not None and key.rpartition(".")[0] == head.rpartition(".")[0]
    return CLASSIFIER if own else layer_of(key)


def find_head(entries: Mapping[str, Entry]) -> str | None:
    """Key of the classifier's matrix (num_classes, num_features); None if no name tells it."""
    found = [
        key
        for key, entry in entries.items()
        if len(entry.shape) == 2
        and key.endswith(".weight")
        and any(part in HEADS for part in key.split("."))
    ]
    return found[-1] if found else None


@dataclass(frozen=True, kw_only=True)
class HeadMatch:
    """A model's head beside that of the model that is most like the others in it."""

    cosine: float  # mean over classes, each with its own
    matched: float  # with the class that suits it best, each taken once
    num_moved: int  # classes whose best is another


def match_heads(sources: Mapping[str, Source], head: str | None) -> dict[str, HeadMatch]:
    """How each model's rows of the classifier fit those of the most typical model.

    Rows are compared less their mean: a softmax does not see what all classes share.

    Args: head: key of the classifier's matrix; None: nothing is known.
    """
    if head is None:
        return {}
    rows = {}
    for name, source in sources.items():
        matrix = read_whole(source, head).double()
        matrix = matrix - matrix.mean(dim=0)
        rows[name] = torch.nn.functional.normalize(matrix, dim=1).numpy()
    flat = np.stack([each.ravel() for each in rows.values()])
    alike = flat @ flat.T / len(next(iter(rows.values())))
    typical = list(rows)[int(np.median(alike, axis=1).argmax())]
    matches = {}
    for name, each in rows.items():
        table = each @ rows[typical].T  # (C, C)
        own, best = linear_sum_assignment(-table)
        matches[name] = HeadMatch(
            cosine=float(table.diagonal().mean()),
            matched=float(table[own, best].mean()),
            num_moved=int((own != best).sum()),
        )
    return matches


def relabelled_accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy if the predicted classes had the names that suit them best.

    The names are found on every other example and tried on the rest, both ways round, so that
    chance gives no more than chance.
    """
    size = int(max(predictions.max(), labels.max())) + 1
    right = 0
    for part in (0, 1):
        fit = np.arange(len(labels)) % 2 == part
        table = np.zeros((size, size))
        np.add.at(table, (predictions[fit], labels[fit]), 1)
        _, names = linear_sum_assignment(-table)
        right += int((names[predictions[~fit]] == labels[~fit]).sum())
    return right / len(labels)


def statistics_gaps(sources: Mapping[str, Source]) -> dict[str, float]:
    """How far each model's BatchNorm statistics are from the models' median.

    The mean over channels of the means' difference in standard deviations and of the logarithm of
    the deviations' ratio; 0 for models without BatchNorm, or where statistics were frozen.
    """
    entries = next(iter(sources.values())).entries
    total, count = np.zeros(len(sources)), 0
    for key in [key for key in entries if key.endswith(VARIANCE)]:
        other = f"{key.removesuffix(VARIANCE)}{MEAN}"
        means, variances = (stack(sources, each) for each in (other, key))  # (k, channels)
        deviations = np.sqrt(np.maximum(variances, 0) + 1e-5)
        usual = np.median(deviations, axis=0)
        total += (np.abs(means - np.median(means, axis=0)) / usual).sum(axis=1)
        total += np.abs(np.log(deviations / usual)).sum(axis=1)
        count += means.shape[1]
    return dict(zip(sources, (total / max(count, 1)).tolist(), strict=True))


def stack(sources: Mapping[str, Source], key: str) -> np.ndarray:
    """A tensor of all models, flat: (k, number of elements) float64."""
    return np.stack(
        [read_whole(source, key).double().flatten().numpy() for source in sources.values()]
    )


def half_precision(sources: Mapping[str, Source]) -> dict[str, str]:
    """Models with tensors in half precision -> their dtype."""
    found = {}
    for name, source in sources.items():
        for entry in source.entries.values():
            if entry.dtype in HALF:
                found[name] = str(entry.dtype).removeprefix("torch.")
    return found
