"""Sampling: draw patches from cases, which are read as patches are drawn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from segpipe.images.grid import Triple
from segpipe.images.instances import learned_levels
from segpipe.images.volume import mirrored_window
from segpipe.training.patches.cases import TrainingCase
from segpipe.training.patches.geometry import Source


@dataclass(frozen=True, eq=False)
class Spot:
    """Where a patch is drawn.

    Attributes:
        case: The case.
        start: First voxel of the output window; it may lie outside the case.
        place: The voxel of a structure on which the window was drawn, if any.
        quantiles: Quantiles of the case and of a random other one, whose histogram the
            patch may get.
    """

    case: TrainingCase
    start: Triple
    place: Triple | None
    quantiles: Float32[np.ndarray, "2 channel q"] | None


@dataclass(frozen=True, eq=False)
class Patch:
    """A patch; or the boxes of its case from which it is still to be interpolated.

    Attributes:
        case: Name of the case.
        image: Input of the network.
        reference: Class indices of the output window, negative where not annotated.
        weight: Weight of each voxel in the loss; 0 where not annotated.
        sources: Places at which to interpolate the image, and reference and weight;
            None for a patch that is complete.
        quantiles: Quantiles of its spot.
    """

    case: str
    image: Float32[np.ndarray, "channel i j k"]
    reference: Int64[np.ndarray, "oi oj ok"]
    weight: Float32[np.ndarray, "oi oj ok"]
    sources: tuple[Source, Source] | None
    quantiles: Float32[np.ndarray, "2 channel q"] | None


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches with their reference and weight.

    Attributes:
        image: Input of the network.
        reference: Class indices of the output window, negative where not annotated.
        weight: Weight of each voxel in the loss; 0 where not annotated.
        cases: Name of the case of each patch.
        quantiles: Quantiles of each patch's own case and of a random other one, whose
            histogram it may get.
    """

    image: Float32[np.ndarray, "B channel i j k"]
    reference: Int64[np.ndarray, "B oi oj ok"]
    weight: Float32[np.ndarray, "B oi oj ok"]
    cases: tuple[str, ...]
    quantiles: Float32[np.ndarray, "B 2 channel q"] | None


def draw_batch(
    cases: list[TrainingCase],
    *,
    patch_size: Triple,
    margin: Triple,
    class_weights: Float32[np.ndarray, " classes"],
    foreground_fraction: float | None,
    rngs: Sequence[np.random.Generator],
) -> Batch:
    """Draw patches: a random case, then a random place or a place on a structure.

    Args:
        cases: Cases to draw from, with equal probability.
        patch_size: Input voxels of the network.
        margin: Input minus output of the network, a side; 0 for padded networks.
        class_weights: Class weight w_c of each class.
        foreground_fraction: Share of patches centred on a voxel of a structure; the
            structures of a case are equally probable, and a case without a structure
            gives a random place. None balances: background and structures of all
            cases are equally probable, then the cases that have them.
        rngs: One generator for each patch; it decides all random choices of the patch.

    Returns:
        The patches. Beyond the volume the image is mirrored and the weight is 0.
    """
    window = output_window(patch_size, margin)
    patches = [
        cut_patch(
            draw_spot(cases, window, foreground_fraction, rng),
            patch_size,
            margin=margin,
            class_weights=class_weights,
        )
        for rng in rngs
    ]
    return Batch(
        np.stack([patch.image for patch in patches]),
        np.stack([patch.reference for patch in patches]),
        np.stack([patch.weight for patch in patches]),
        tuple(patch.case for patch in patches),
        stack_quantiles(patches),
    )


def stack_quantiles(
    patches: Sequence[Patch],
) -> Float32[np.ndarray, "B 2 channel q"] | None:
    """The quantiles of patches; None unless histograms are matched."""
    found = [patch.quantiles for patch in patches if patch.quantiles is not None]
    return np.stack(found) if found else None


def output_window(patch_size: Triple, margin: Triple) -> Triple:
    """Voxels of the network's output, which is smaller by the margin on each side."""
    return _triple(p - 2 * m for p, m in zip(patch_size, margin, strict=True))


def draw_pool(
    cases: list[TrainingCase],
    group: frozenset[str],
    group_fraction: float,
    rng: np.random.Generator,
) -> list[TrainingCase]:
    """Draw the cases from which a patch is drawn: those of a group, or all others.

    Args:
        cases: All training cases.
        group: Names of the cases of the group; without one, no number is drawn.
        group_fraction: Probability of the group.
        rng: Generator that decides all random choices of the patch.
    """
    if not group:
        return cases
    wanted = rng.random() < group_fraction
    return [case for case in cases if (case.name in group) == wanted]


def draw_spot(
    cases: list[TrainingCase],
    window: Triple,
    foreground_fraction: float | None,
    rng: np.random.Generator,
) -> Spot:
    """Draw the case and the place of a patch, as draw_batch says.

    Args:
        cases: Cases to draw from.
        window: Voxels of the output window.
        foreground_fraction: Share of patches on a structure; None balances classes.
        rng: Generator that decides all random choices.
    """
    place: Triple | None
    if foreground_fraction is None:
        case, (start, place) = _draw_balanced(cases, window, rng)
    else:
        case = cases[int(rng.integers(len(cases)))]
        start, place = _draw_start(case, window, foreground_fraction, rng)
    quantiles = None
    if case.quantiles is not None:
        other = cases[int(rng.integers(len(cases)))].quantiles
        assert other is not None, "all cases have quantiles, or none"
        quantiles = np.stack([case.quantiles, other])
    return Spot(case, start, place, quantiles)


def cut_patch(
    spot: Spot,
    patch_size: Triple,
    *,
    margin: Triple,
    class_weights: Float32[np.ndarray, " classes"],
    sources: tuple[Source, Source] | None = None,
) -> Patch:
    """Cut a patch, or the boxes from which it is interpolated.

    Args:
        spot: Where it is drawn.
        patch_size: Input voxels of the network.
        margin: Input minus output of the network, a side.
        class_weights: Class weight w_c of each class.
        sources: Boxes of the image and of the reference, if it is interpolated.

    Returns:
        The patch. Beyond the case the image is mirrored and the weight is 0.
    """
    if sources is None:
        start = _triple(s - m for s, m in zip(spot.start, margin, strict=True))
        outer = start, patch_size
        inner = spot.start, output_window(patch_size, margin)
    else:
        outer, inner = ((source.start, source.size) for source in sources)
    image = mirrored_window(spot.case.image, *outer)
    reference, weight = _cut_reference(spot.case, *inner, class_weights)
    name = spot.case.name
    return Patch(name, image, reference, weight, sources, spot.quantiles)


def _triple(values: Iterable[int]) -> Triple:
    i, j, k = values
    return i, j, k


def _bounds(case: TrainingCase, window: Triple) -> tuple[list[int], list[int]]:
    """Lowest and highest start of windows that lie in the volume as far as possible."""
    surplus = [n - w for n, w in zip(case.label.shape, window, strict=True)]
    return [min(0, n) for n in surplus], [max(0, n) for n in surplus]


def _draw_start(
    case: TrainingCase,
    window: Triple,
    foreground_fraction: float,
    rng: np.random.Generator,
) -> tuple[Triple, Triple | None]:
    """Draw the first voxel of an output window, anywhere or on a structure's voxel."""
    anywhere = [
        int(rng.integers(low, high + 1))
        for low, high in zip(*_bounds(case, window), strict=True)
    ]
    wants_structure = rng.random() < foreground_fraction
    if not wants_structure or not case.places:
        return _triple(anywhere), None
    structure = sorted(case.places)[int(rng.integers(len(case.places)))]
    return _start_on(case, structure, window, rng)


def _draw_balanced(
    cases: list[TrainingCase], window: Triple, rng: np.random.Generator
) -> tuple[TrainingCase, tuple[Triple, Triple]]:
    """Draw a structure, a case that has it, and a window on one of its voxels."""
    classes = sorted({value for case in cases for value in case.places})
    wanted = classes[int(rng.integers(len(classes)))]
    holding = [case for case in cases if wanted in case.places]
    case = holding[int(rng.integers(len(holding)))]
    return case, _start_on(case, wanted, window, rng)


def _start_on(
    case: TrainingCase, structure: int, window: Triple, rng: np.random.Generator
) -> tuple[Triple, Triple]:
    """Draw a window on a voxel of a structure, centred as far as the edges allow.

    Returns:
        The window's first voxel, and the voxel.
    """
    lowest, highest = _bounds(case, window)
    place = case.places[structure][int(rng.integers(len(case.places[structure])))]
    start = _triple(
        int(np.clip(place[n] - window[n] // 2, lowest[n], highest[n])) for n in range(3)
    )
    return start, _triple(place.tolist())


def _cut_reference(
    case: TrainingCase, start: Triple, window: Triple, class_weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the reference and the weight of a window, which may lie outside the case."""
    reference = np.full(window, -1, dtype=np.int64)
    inside = tuple(
        slice(min(w, max(0, -s)), max(0, min(w, n - s)))
        for s, w, n in zip(start, window, case.label.shape, strict=True)
    )
    source = tuple(
        slice(s + part.start, s + part.stop)
        for s, part in zip(start, inside, strict=True)
    )
    reference[inside] = case.label[source]
    if case.levels is not None:
        reference[inside] = learned_levels(reference[inside], case.levels[source])
    if case.separation is not None and case.line is not None:
        region = reference[inside]
        region[case.separation[source] & (region >= 0)] = case.line
    weight = np.append(class_weights, 0).astype(np.float32)[reference]
    if case.border is not None:
        weight[inside] += case.border[source]
    return reference, np.where(reference >= 0, weight, np.float32(0))
