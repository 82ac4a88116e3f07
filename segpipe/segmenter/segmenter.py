"""Segmenter: from an image to a label map, with one network per fold."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Integer
from torch import Tensor

from segpipe.images.grid import Grid, Orientation, Triple
from segpipe.images.volume import SLICES, Image, ImageStream, LabelMap
from segpipe.networks.build import apply_network
from segpipe.networks.catalogue import Network
from segpipe.networks.engine import OpenVinoNetwork
from segpipe.project.errors import DataError
from segpipe.segmenter.compute import (
    Compute,
    ComputeParams,
    Stopwatch,
    build_compute,
    memory_demanded,
)
from segpipe.segmenter.preprocessing.classes import values_of
from segpipe.segmenter.preprocessing.images import case_moments, prepared_parts
from segpipe.segmenter.preprocessing.normalization import prepared_floors
from segpipe.segmenter.rules.instances import number_instances
from segpipe.segmenter.rules.postprocessing import apply_rules
from segpipe.segmenter.settings import Blending, SegmentSettings, SkipEmpty
from segpipe.segmenter.sliding_window import (
    Blank,
    Slab,
    Tiling,
    resampled_slabs,
    slabs,
)
from segpipe.segmenter.spec import (
    SegmenterSpec,
    combine_specs,
    read_networks,
    spec_file,
    write_networks,
)
from segpipe.segmenter.tiling import plan_tiling

Logits = Callable[[Tensor], Tensor]  # from tiles (B c i j k)


@dataclass(frozen=True)
class Inference:
    """How a segmenter runs; results may differ slightly between choices.

    Attributes:
        overlap_fraction: Share of a tile that its neighbour covers too.
        blending: Weights of overlapping tiles.
        memory_gb: Memory for a forward pass. The size of the tiles follows from it;
            outputs are blended on the device if they take no more than this, too.
        mirror: Whether probabilities are averaged over mirrored images, too.
        compute: Device, precision and threads.
        skip_empty: ``auto`` does not compute what the plan knows to hold no structure.
    """

    overlap_fraction: float
    blending: Blending
    memory_gb: float
    mirror: bool
    compute: Compute
    skip_empty: SkipEmpty = "never"


def build_inference(settings: SegmentSettings) -> Inference:
    """Resolve device and precision, and set threads and determinism of this process.

    Raises:
        DataError: If a GPU is asked for and there is none.
    """
    params = ComputeParams(
        device=settings.device,
        precision=settings.precision,
        threads=settings.threads,
        workers=0,
        compile=False,
        engine=settings.engine,
    )
    return Inference(
        overlap_fraction=settings.overlap_fraction,
        blending=settings.blending,
        memory_gb=settings.memory_gb,
        mirror=settings.mirror,
        compute=build_compute(params),
        skip_empty=settings.skip_empty,
    )


@dataclass(frozen=True, eq=False)
class Segmenter:
    """Networks with their spec: what is trained, registered and used.

    Attributes:
        spec: All that is needed besides the weights.
        networks: One network per fold; their probabilities are averaged. Their weights
            stay as they are once they have run: OpenVINO has a copy.
    """

    spec: SegmenterSpec
    networks: tuple[Network, ...]
    _converted: dict[Compute, list[OpenVinoNetwork]] = field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def load(cls, folder: Path) -> "Segmenter":
        """Read a segmenter; nothing is unpickled.

        Raises:
            DataError: If spec or weights are missing or have another format.
        """
        spec = SegmenterSpec.read(spec_file(folder))
        return cls(spec, read_networks(folder, spec))

    def save(self, folder: Path) -> None:
        """Write spec and weights; equal segmenters give equal bytes."""
        write_networks(folder, self.networks)
        self.spec.write(spec_file(folder))

    @classmethod
    def ensemble(cls, folders: list[Path]) -> "Segmenter":
        """Read the segmenters of several folds as one.

        Only post-processing that all folds chose is kept.

        Raises:
            DataError: If they differ in plan or network.
        """
        members = [cls.load(folder) for folder in folders]
        spec = combine_specs(folders, [one.spec for one in members])
        networks = tuple(net for member in members for net in member.networks)
        return cls(spec, networks)

    def probabilities(
        self,
        parts: Iterable[Float32[np.ndarray, "channel _ j k"]],
        shape: Triple,
        inference: Inference,
        *,
        slices_at: int = 0,
        backwards: bool = False,
        with_disagreement: bool = False,
        floors: Float32[np.ndarray, " channel"] | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> Iterator[Slab]:
        """Probabilities on the prepared grid, slab by slab: mean of the folds.

        Args:
            parts: The prepared slices, in order; their axis leads, the other two follow
                in canonical order.
            shape: Shape of the prepared volume, along the canonical axes.
            inference: How the networks run.
            slices_at: The canonical axis along which slices come.
            backwards: Whether the last slice comes first.
            with_disagreement: Whether a last channel holds the disagreement of the
                folds. It is computed within each tile, so that differences between
                tiles do not count.
            floors: Prepared value of each channel where the image holds nothing, if
                the networks need not run there.
            stopwatch: Measures the time in the network.
        """
        device = inference.compute.device
        turned = self._tiling(shape, inference, slices_at, backwards)
        leading = _leading(shape, slices_at)
        classes = self.spec.network.out_channels + with_disagreement
        sums_bytes = 4 * turned.slices_held * classes * leading[1] * leading[2]
        networks = self._logits(inference.compute)
        watch = stopwatch or Stopwatch()

        def infer(tiles: Tensor) -> Tensor:
            with watch.phase("network"), memory_demanded("lower memory_gb"):
                canonical = _turn(tiles, slices_at, backwards=backwards)
                result = self._vote(networks, canonical, inference, with_disagreement)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
            return _turn_back(result, slices_at, backwards=backwards)

        return slabs(
            parts,
            leading,
            infer,
            tiling=turned,
            device=device,
            sums_on=None
            if sums_bytes <= inference.memory_gb * 1e9
            else torch.device("cpu"),
            blank=None if floors is None else self._blank(floors, classes),
        )

    def _logits(self, compute: Compute) -> list[Logits]:
        """The networks as functions of tiles, converted once where OpenVINO runs."""
        axis = self.spec.slice_axis
        networks = [network.to(compute.device).eval() for network in self.networks]
        if compute.engine == "torch":
            return [partial(apply_network, net, slice_axis=axis) for net in networks]
        if compute not in self._converted:
            self._converted.clear()
            self._converted[compute] = [
                OpenVinoNetwork(
                    network,
                    slice_axis=axis,
                    bf16=compute.precision == "bf16",
                    threads=compute.threads,
                )
                for network in networks
            ]
        return list(self._converted[compute])

    def _blank(
        self, floors: Float32[np.ndarray, " channel"], classes: int
    ) -> Blank | None:
        """What is certain where an image holds nothing, if the plan knows a reach."""
        known = self.spec.plan.emptiness
        if known is None:
            return None
        channel = None if self.spec.outputs.overlap else 0
        return Blank(floors, known.reach, classes, channel)

    def _tiling(
        self, shape: Triple, inference: Inference, slices_at: int, backwards: bool
    ) -> Tiling:
        """How a prepared volume is cut into tiles; the axis of its slices leads."""
        tiling = plan_tiling(
            self.spec.network,
            patch_size=self.spec.patch_size,
            slice_axis=self.spec.slice_axis,
            shape=shape,
            overlap_fraction=inference.overlap_fraction,
            blending=inference.blending,
            memory_gb=inference.memory_gb,
            on_cpu=inference.compute.device.type == "cpu",
        )
        return replace(
            tiling,
            window=_leading(tiling.window, slices_at),
            margin=_leading(tiling.margin, slices_at),
            backwards=backwards,
        )

    def _vote(
        self,
        networks: list[Logits],
        tiles: Float32[Tensor, "B c i j k"],
        inference: Inference,
        with_disagreement: bool,
    ) -> Float32[Tensor, "B classes oi oj ok"]:
        """Mean of the probabilities of all networks and mirrorings.

        Raises:
            DataError: If a logit is not finite. A sum of finite logits is finite unless
                they are near 1e38, and summing costs far less than the network.
        """
        axis, outputs = self.spec.slice_axis, self.spec.outputs
        axes = [2 + n for n in range(3) if n != axis] if inference.mirror else []
        flips = [f for n in range(len(axes) + 1) for f in combinations(axes, n)]
        sums: list[Tensor] = []
        total: Tensor | None = None
        own: Tensor | None = None  # sum of the entropies of the folds
        with torch.inference_mode(), inference.compute.autocast():
            for network, temperature in zip(
                networks, self.spec.temperatures, strict=True
            ):
                fold: Tensor | None = None
                for flip in flips:
                    seen = tiles.flip(flip) if flip else tiles
                    logits = network(seen).float()
                    sums.append(logits.div_(temperature).sum())
                    share = outputs.activate(logits)
                    del logits
                    share = share.flip(flip) if flip else share
                    fold = share if fold is None else fold.add_(share)
                assert fold is not None
                fold.div_(len(flips))
                if with_disagreement:
                    entropy = outputs.entropy(fold)
                    own = entropy if own is None else own.add_(entropy)
                total = fold if total is None else total.add_(fold)
            assert total is not None
            if not torch.stack(sums).isfinite().all():
                raise DataError(
                    "expected finite logits from the networks, found NaN or infinity; "
                    "look for extreme values in the image, and fetch the segmenter "
                    "again"
                )
            total.div_(len(networks))
            if own is None:
                return total
            apart = outputs.entropy(total) - own / len(networks)
            return torch.cat([total, apart], dim=1)

    def slabs(
        self,
        source: ImageStream,
        inference: Inference,
        *,
        probabilities: bool = False,
        uncertainty: bool = False,
        inside: bool = False,
        stopwatch: Stopwatch | None = None,
    ) -> Iterator["LabelSlab"]:
        """Segment an image of any length, some slices along its own axis k at a time.

        Probabilities (mean over folds, mirrored images and overlapping tiles) are
        resampled linearly to the image's own grid; ``Outputs.decode`` makes classes
        of them.
        Post-processing is left out, because it needs the whole label map: the caller
        applies ``apply_rules`` with ``spec.rules`` to it, as ``segment`` does.

        Args:
            source: Image on any grid.
            inference: How the networks run.
            probabilities: Whether slabs hold the probabilities.
            uncertainty: Whether slabs hold entropy and disagreement of the folds.
            inside: Whether slabs hold what ``number_instances`` asks for.
            stopwatch: Measures the phases read, prepare, network, blend, resample and
                label.

        Raises:
            DataError: If the image has other channels than the training images.
        """
        plan, outputs = self.spec.plan, self.spec.outputs
        if source.channels != len(plan.channels):
            raise DataError(
                f"expected {len(plan.channels)} channels ({', '.join(plan.channels)}), "
                f"found {source.channels}; give the files in this order"
            )
        orientation = source.grid.to_canonical
        frame, at = orientation.slices_first, orientation.slices_at
        canonical = source.grid.reoriented(orientation)
        prepared = canonical.shape_at(plan.spacing)
        watch = stopwatch or Stopwatch()
        timed = replace(source, read=lambda: watch.of("read", source.read()))
        with watch.phase("prepare"):
            moments = case_moments(timed, plan)
        floors = None
        if plan.emptiness is not None and inference.skip_empty == "auto":
            floors = prepared_floors(plan.emptiness.floors, plan, moments)
        blended = self.probabilities(
            watch.of("prepare", prepared_parts(timed, plan, moments)),
            prepared,
            inference,
            slices_at=at,
            backwards=orientation.flips[at],
            with_disagreement=uncertainty,
            floors=floors,
            stopwatch=watch,
        )
        resampled = resampled_slabs(
            watch.of("blend", blended),
            _leading(prepared, at),
            _leading(canonical.shape, at),
        )
        for slab in watch.of("resample", resampled):
            shares = slab.values[:, : outputs.channels]
            with watch.phase("label"):
                labels, own = self._decode(shares, inside=inside)
                labelled = LabelSlab(
                    start=slab.start,
                    labels=_stored(frame, labels),
                    inside=_stored(frame, own) if inside else None,
                    probabilities=_stored(frame, shares) if probabilities else None,
                    **self._uncertainties(frame, slab.values) if uncertainty else {},
                )
            yield labelled

    def label_by_target(
        self,
        target: Integer[np.ndarray, "i j k"],
        grid: Grid,
        inference: Inference,
    ) -> tuple[LabelMap, Float32[np.ndarray, "oi oj ok"]]:
        """The label map of a network that learned a target without any error.

        The target goes through tiles, blending, resampling and post-processing as the
        probabilities of the networks do; these are not run.

        Args:
            target: Class indices on the prepared grid, along the canonical axes.
            grid: Grid of the image.
            inference: Tiles, blending and memory.

        Returns:
            The label map, and what ``number`` takes beside it.
        """
        turn = grid.to_canonical
        frame, at = turn.slices_first, turn.slices_at
        backwards = turn.flips[at]
        i, j, k = target.shape
        tiling = self._tiling((i, j, k), inference, at, backwards)
        turned = np.moveaxis(target, at, 0)[:: -1 if backwards else 1]
        parts = (
            self.spec.outputs.encode(turned[start : start + SLICES])
            for start in range(0, len(turned), SLICES)
        )
        inner = tuple(
            slice(margin, margin + size)
            for margin, size in zip(tiling.margin, tiling.window, strict=True)
        )
        leading, shape = _leading((i, j, k), at), grid.reoriented(turn).shape
        blended = slabs(
            parts,
            leading,
            lambda tiles: tiles[:, :, inner[0], inner[1], inner[2]],
            tiling=tiling,
            device=torch.device("cpu"),
        )
        labels, inside = [], []
        for slab in resampled_slabs(blended, leading, _leading(shape, at)):
            classes, own = self._decode(slab.values, inside=True)
            labels.append(_stored(frame, classes))
            inside.append(_stored(frame, own))
        label = self._corrected(np.concatenate(labels, axis=2), grid)
        return label, np.concatenate(inside, axis=2)

    def segment(self, image: Image, inference: Inference) -> LabelMap:
        """Segment an image, with post-processing.

        Returns:
            The label map on the image's grid, in the values of the data set.

        Raises:
            DataError: If the image has other channels than the training images.
        """
        slabs_found = self.slabs(ImageStream.of(image), inference)
        whole = np.concatenate([slab.labels for slab in slabs_found], axis=2)
        return self._corrected(whole, image.grid)

    def segment_instances(
        self, image: Image, inference: Inference
    ) -> tuple[LabelMap, LabelMap]:
        """Segment an image, and tell the instances of its structures apart.

        Returns:
            The label map as of ``segment``, and instance ids on the same grid, 0 for no
            instance.

        Raises:
            DataError: If the image has other channels than the training images.
        """
        found = [
            (slab.labels, slab.inside)
            for slab in self.slabs(
                ImageStream.of(image), inference, inside=self.divides
            )
        ]
        whole = np.concatenate([labels for labels, _ in found], axis=2)
        parts = [own for _, own in found if own is not None]
        label = self._corrected(whole, image.grid)
        inside = np.concatenate(parts, axis=2) if parts else None
        return label, LabelMap(self.number(label.array, inside, image.grid), image.grid)

    @property
    def divides(self) -> bool:
        """Whether the instances are told apart by more than the label map."""
        rules = self.spec.instances
        return any(rule.seeds in ("probability", "depth") for rule in rules)

    def number(
        self,
        label: Integer[np.ndarray, "i j k"],
        inside: Float[np.ndarray, "i j k"] | None,
        grid: Grid,
    ) -> Int32[np.ndarray, "i j k"]:
        """The instances of a label map after post-processing, by the spec's rules.

        Args:
            label: Values of the data set.
            inside: The slabs' ``inside``, if ``divides``.
            grid: Grid of both.
        """
        spec = self.spec
        return number_instances(
            label,
            inside,
            grid=grid,
            values=spec.plan.values[1:],
            rules=spec.instances,
            separation=spec.lines,
        )

    def _decode(
        self, shares: Float[Tensor, "n channels j k"], *, inside: bool
    ) -> tuple[Integer[np.ndarray, "n j k"], Float32[np.ndarray, "m j k"]]:
        """The data set's value of each voxel, and the probability of its structure.

        There is no slice of it (m = 0) unless it is asked for.
        """
        outputs = self.spec.outputs
        classes = outputs.decode(shares)
        own = shares[:0, 0]
        if inside:
            own = outputs.inside(shares, classes)
        return values_of(classes.cpu().numpy(), self.spec.plan), own.cpu().numpy()

    def _uncertainties(
        self, frame: Orientation, values: Tensor
    ) -> dict[str, np.ndarray]:
        """Entropy of the probabilities, and disagreement, the channel after them."""
        channels = self.spec.outputs.channels
        entropy = self.spec.outputs.entropy(values[:, :channels])
        disagreement = values[:, channels:].clamp(min=0)
        return {
            "entropy": _stored(frame, entropy)[0],
            "disagreement": _stored(frame, disagreement)[0],
        }

    def _corrected(self, labels: Integer[np.ndarray, "i j k"], grid: Grid) -> LabelMap:
        """The label map after post-processing."""
        spec, volume = self.spec, grid.voxel_volume
        array = apply_rules(
            labels, spec.rules, voxel_volume=volume, legend=spec.plan.legend
        )
        return LabelMap(array, grid)


@dataclass(frozen=True, eq=False)
class LabelSlab:
    """Segmented slices of an image, on its own grid.

    Attributes:
        start: Index of the first slice along k.
        labels: Labels in the values of the data set.
        inside: Probability of the structure that is written at each voxel, without
            contact, if asked for; 0 in the background.
        probabilities: Probability of each channel, if asked for.
        entropy: Entropy of the probabilities, from 0 (certain) to 1 (all of them
            equally likely), if asked for.
        disagreement: Part of the entropy that comes from differences between folds:
            entropy of the mean minus mean of the entropies; 0 for a single fold.

    Source:
        Houlsby 2011, arXiv:1112.5745, section 2, the objective of BALD.
    """

    start: int
    labels: Integer[np.ndarray, "i j n"]
    inside: Float[np.ndarray, "i j n"] | None = None
    probabilities: Float32[np.ndarray, "channel i j n"] | None = None
    entropy: Float32[np.ndarray, "i j n"] | None = None
    disagreement: Float32[np.ndarray, "i j n"] | None = None


def _stored(frame: Orientation, values: Tensor | np.ndarray) -> np.ndarray:
    """Turn slices (n j k) or (n class j k) to the axes of their file, with n last."""
    if isinstance(values, Tensor):
        values = values.transpose(0, 1).cpu().numpy()
    return np.ascontiguousarray(frame.undo(values))


def _leading(triple: Triple, axis: int) -> Triple:
    """The entry of one axis first, then the others in order."""
    rest = [value for n, value in enumerate(triple) if n != axis]
    return triple[axis], rest[0], rest[1]


def _turn(tiles: Tensor, slices_at: int, *, backwards: bool) -> Tensor:
    """Turn tiles from the order in which slices come to the canonical axes."""
    return (tiles.flip(2) if backwards else tiles).movedim(2, 2 + slices_at)


def _turn_back(tiles: Tensor, slices_at: int, *, backwards: bool) -> Tensor:
    """The inverse of _turn."""
    moved = tiles.movedim(2 + slices_at, 2)
    return moved.flip(2) if backwards else moved
