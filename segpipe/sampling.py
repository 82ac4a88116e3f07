"""Patches from prepared cases, read from disk as they are drawn."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, Int64

from segpipe.volume import mirrored_window

Triple = tuple[int, int, int]
# Places remembered a class and case: enough to draw from, whatever the volume's size.
PLACES = 2000


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """A prepared case, memory-mapped, and where its structures are.

    Attributes:
        name: Of the case.
        image: Normalized intensities.
        label: Class indices; negative where not annotated.
        border: The border term of the weight, if the model uses it.
        annotated: Where the label counts, if the model learns from sparse annotation.
        separation: Voxels between touching instances, learnt as background, if any.
        places: For each class that the case holds (labelled), voxels of it.
    """

    name: str
    image: np.ndarray
    label: np.ndarray
    border: np.ndarray | None
    annotated: np.ndarray | None
    separation: np.ndarray | None
    places: dict[int, Int32[np.ndarray, "n 3"]]


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches and what is to be learnt from them.

    Attributes:
        image: The networks' input.
        reference: Class indices of the networks' output, negative if not annotated.
        weight: Of the loss; 0 where not annotated.
        cases: Name of the case of each patch.
    """

    image: Float32[np.ndarray, "B channel i j k"]
    reference: Int64[np.ndarray, "B oi oj ok"]
    weight: Float32[np.ndarray, "B oi oj ok"]
    cases: tuple[str, ...]


def read_case(
    artifacts: Path, name: str, *, border: bool, sparse: bool, seed: int
) -> TrainingCase:
    """Open a prepared case and note where its structures are.

    Args:
        artifacts: What the stages wrote.
        name: Of the case.
        border: Whether the border term is wanted.
        sparse: Whether only the voxels that annotate chose count.
        seed: Of the choice of places.
    """
    folder = artifacts / "preprocess" / name
    weighed = artifacts / "weigh" / name
    label = np.load(folder / "label.npy", mmap_mode="r")
    annotated = None
    if sparse:
        annotated = np.load(artifacts / "annotate" / f"{name}.npy", mmap_mode="r")
    separation = weighed / "separation.npy"
    return TrainingCase(
        name=name,
        image=np.load(folder / "image.npy", mmap_mode="r"),
        label=label,
        border=np.load(weighed / "border.npy", mmap_mode="r") if border else None,
        annotated=annotated,
        separation=(
            np.load(separation, mmap_mode="r") if separation.is_file() else None
        ),
        places=_places(label, annotated, np.random.default_rng(seed)),
    )


def _places(
    label: np.ndarray, annotated: np.ndarray | None, rng: np.random.Generator
) -> dict[int, np.ndarray]:
    """Up to PLACES voxels of each foreground class."""
    known = np.asarray(label)
    foreground = known > 0
    if annotated is not None:
        foreground &= annotated
    indices = np.flatnonzero(foreground)
    classes = known.reshape(-1)[indices]
    places = {}
    for value in np.unique(classes):
        found = indices[classes == value]
        if len(found) > PLACES:
            found = np.sort(rng.choice(found, PLACES, replace=False))
        places[int(value)] = np.stack(np.unravel_index(found, known.shape), 1).astype(
            np.int32
        )
    return places


def draw_batch(
    cases: list[TrainingCase],
    *,
    batch_size: int,
    patch_size: Triple,
    margin: Triple,
    class_weights: Float32[np.ndarray, " classes"],
    foreground_fraction: float,
    rng: np.random.Generator,
) -> Batch:
    """Draw patches: a random case, then a random place or one of a structure.

    Args:
        cases: To draw from, all alike likely.
        batch_size: Patches.
        patch_size: The network's input.
        margin: Input minus output of the network, a side: 0 for padded networks.
        class_weights: w_c of the loss, by class.
        foreground_fraction: Share of patches centred on a voxel of a structure, each
            structure of the case alike likely; a case without one gives any place.
        rng: The only source of chance.

    Returns:
        Patches. What lies beyond a volume is mirrored, with weight 0.
    """
    window = _triple(p - 2 * m for p, m in zip(patch_size, margin, strict=True))
    images, references, weights, names = [], [], [], []
    for _ in range(batch_size):
        case = cases[int(rng.integers(len(cases)))]
        names.append(case.name)
        start = _draw_start(case, window, foreground_fraction, rng)
        outer = _triple(s - m for s, m in zip(start, margin, strict=True))
        images.append(mirrored_window(case.image, outer, patch_size))
        reference, weight = _learn_from(case, start, window, class_weights)
        references.append(reference)
        weights.append(weight)
    return Batch(
        np.stack(images), np.stack(references), np.stack(weights), tuple(names)
    )


def _triple(values: Iterable[int]) -> Triple:
    i, j, k = values
    return i, j, k


def _draw_start(
    case: TrainingCase,
    window: Triple,
    foreground_fraction: float,
    rng: np.random.Generator,
) -> Triple:
    """The first voxel of an output window that holds as much of the volume as it can.

    Where a voxel of a structure is wanted, the window holds it, as near to the centre
    as the volume's edges allow.
    """
    lowest = [min(0, n - w) for n, w in zip(case.label.shape, window, strict=True)]
    highest = [max(0, n - w) for n, w in zip(case.label.shape, window, strict=True)]
    anywhere = [
        int(rng.integers(low, high + 1))
        for low, high in zip(lowest, highest, strict=True)
    ]
    wants_structure = rng.random() < foreground_fraction
    if not wants_structure or not case.places:
        return _triple(anywhere)
    structure = sorted(case.places)[int(rng.integers(len(case.places)))]
    place = case.places[structure][int(rng.integers(len(case.places[structure])))]
    return _triple(
        int(np.clip(place[n] - window[n] // 2, lowest[n], highest[n])) for n in range(3)
    )


def _learn_from(
    case: TrainingCase, start: Triple, window: Triple, class_weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Reference and weight of an output window."""
    reference = np.full(window, -1, dtype=np.int64)
    inside = tuple(
        slice(max(0, -s), min(w, n - s))
        for s, w, n in zip(start, window, case.label.shape, strict=True)
    )
    source = tuple(
        slice(s + part.start, s + part.stop)
        for s, part in zip(start, inside, strict=True)
    )
    reference[inside] = case.label[source]
    if case.separation is not None:
        region = reference[inside]
        region[case.separation[source] & (region >= 0)] = 0
    weight = np.append(class_weights, 0).astype(np.float32)[reference]
    if case.border is not None:
        weight[inside] += case.border[source]
    known = reference >= 0
    if case.annotated is not None:
        known[inside] &= case.annotated[source]
    return reference, np.where(known, weight, np.float32(0))
