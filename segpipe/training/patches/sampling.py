"""Patches from prepared cases, read from disk as they are drawn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, Int64

from segpipe.dataset.prepared import open_annotated, prepared_case, weighed_case
from segpipe.images.grid import Triple
from segpipe.images.volume import mirrored_window

# Places remembered a class and case: enough to draw from, whatever the volume's size.
PLACES = 2000
QUANTILES = 256


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
        places: For each class that the case holds (labelled), voxels of it; of the
            background only for balanced sampling.
        quantiles: Of each channel's intensities, evenly from the lowest to the
            highest, if histograms are to be matched.
    """

    name: str
    image: np.ndarray
    label: np.ndarray
    border: np.ndarray | None
    annotated: np.ndarray | None
    separation: np.ndarray | None
    places: dict[int, Int32[np.ndarray, "n 3"]]
    quantiles: Float32[np.ndarray, "channel q"] | None


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches and what is to be learnt from them.

    Attributes:
        image: The networks' input.
        reference: Class indices of the networks' output, negative if not annotated.
        weight: Of the loss; 0 where not annotated.
        cases: Name of the case of each patch.
        quantiles: Of each patch's case, and of a case for it to look like.
    """

    image: Float32[np.ndarray, "B channel i j k"]
    reference: Int64[np.ndarray, "B oi oj ok"]
    weight: Float32[np.ndarray, "B oi oj ok"]
    cases: tuple[str, ...]
    quantiles: Float32[np.ndarray, "B 2 channel q"] | None


def read_training_case(
    artifacts: Path,
    name: str,
    *,
    border: bool,
    sparse: bool,
    balanced: bool,
    matched: bool,
    seed: int,
) -> TrainingCase:
    """Open a prepared case and note where its structures are.

    Args:
        artifacts: What the stages wrote.
        name: Of the case.
        border: Whether the border term is wanted.
        sparse: Whether only the voxels that annotate chose count.
        balanced: Whether patches are to be balanced: background has places too.
        matched: Whether histograms are to be matched.
        seed: Of the choice of places.
    """
    prepared, weighed = prepared_case(artifacts, name), weighed_case(artifacts, name)
    image, label = prepared.image, prepared.label
    annotated = open_annotated(artifacts, name) if sparse else None
    return TrainingCase(
        name=name,
        image=image,
        label=label,
        border=weighed.border if border else None,
        annotated=annotated,
        separation=weighed.separation,
        places=_places(label, annotated, balanced, np.random.default_rng(seed)),
        quantiles=_quantiles(image) if matched else None,
    )


def _quantiles(image: np.ndarray) -> np.ndarray:
    """QUANTILES of each channel."""
    shares = np.linspace(0, 1, QUANTILES)
    return np.stack([np.quantile(channel, shares) for channel in image]).astype(
        np.float32
    )


def _places(
    label: np.ndarray,
    annotated: np.ndarray | None,
    balanced: bool,
    rng: np.random.Generator,
) -> dict[int, np.ndarray]:
    """Up to PLACES voxels of each class, of the background only if balanced."""
    known = np.asarray(label)
    wanted = known >= (0 if balanced else 1)
    if annotated is not None:
        wanted &= annotated
    indices = np.flatnonzero(wanted)
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
    patch_size: Triple,
    margin: Triple,
    class_weights: Float32[np.ndarray, " classes"],
    foreground_fraction: float | None,
    rngs: Sequence[np.random.Generator],
) -> Batch:
    """Draw patches: a random case, then a random place or one of a structure.

    Args:
        cases: To draw from, all alike likely.
        patch_size: The network's input.
        margin: Input minus output of the network, a side: 0 for padded networks.
        class_weights: w_c of the loss, by class.
        foreground_fraction: Share of patches centred on a voxel of a structure, each
            structure of the case alike likely; a case without one gives any place.
            None balances: the centre is of each class of all cases alike likely, then
            of each case that holds it.
        rngs: One a patch, its only source of chance.

    Returns:
        Patches. What lies beyond a volume is mirrored, with weight 0.
    """
    window = _triple(p - 2 * m for p, m in zip(patch_size, margin, strict=True))
    images, references, weights, names, quantiles = [], [], [], [], []
    for rng in rngs:
        if foreground_fraction is None:
            case, start = _draw_balanced(cases, window, rng)
        else:
            case = cases[int(rng.integers(len(cases)))]
            start = _draw_start(case, window, foreground_fraction, rng)
        names.append(case.name)
        if case.quantiles is not None:
            other = cases[int(rng.integers(len(cases)))].quantiles
            assert other is not None, "all cases have quantiles, or none"
            quantiles.append(np.stack([case.quantiles, other]))
        outer = _triple(s - m for s, m in zip(start, margin, strict=True))
        images.append(mirrored_window(case.image, outer, patch_size))
        reference, weight = _learn_from(case, start, window, class_weights)
        references.append(reference)
        weights.append(weight)
    return Batch(
        np.stack(images),
        np.stack(references),
        np.stack(weights),
        tuple(names),
        np.stack(quantiles) if quantiles else None,
    )


def _triple(values: Iterable[int]) -> Triple:
    i, j, k = values
    return i, j, k


def _bounds(case: TrainingCase, window: Triple) -> tuple[list[int], list[int]]:
    """The lowest and highest starts that hold as much of the volume as they can."""
    surplus = [n - w for n, w in zip(case.label.shape, window, strict=True)]
    return [min(0, n) for n in surplus], [max(0, n) for n in surplus]


def _draw_start(
    case: TrainingCase,
    window: Triple,
    foreground_fraction: float,
    rng: np.random.Generator,
) -> Triple:
    """The first voxel of an output window, anywhere or on a structure."""
    anywhere = [
        int(rng.integers(low, high + 1))
        for low, high in zip(*_bounds(case, window), strict=True)
    ]
    wants_structure = rng.random() < foreground_fraction
    if not wants_structure or not case.places:
        return _triple(anywhere)
    structure = sorted(case.places)[int(rng.integers(len(case.places)))]
    return _start_on(case, structure, window, rng)


def _draw_balanced(
    cases: list[TrainingCase], window: Triple, rng: np.random.Generator
) -> tuple[TrainingCase, Triple]:
    """A class, a case that holds it, and a window on a voxel of it."""
    classes = sorted({value for case in cases for value in case.places})
    wanted = classes[int(rng.integers(len(classes)))]
    holding = [case for case in cases if wanted in case.places]
    case = holding[int(rng.integers(len(holding)))]
    return case, _start_on(case, wanted, window, rng)


def _start_on(
    case: TrainingCase, structure: int, window: Triple, rng: np.random.Generator
) -> Triple:
    """A window that holds a voxel of a structure.

    As near to its centre as the volume's edges allow.
    """
    lowest, highest = _bounds(case, window)
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
