"""Segmenter: from an image to a label map, with one network per fold."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int32, Integer

from segpipe.images.grid import Grid, Triple
from segpipe.images.volume import Image, ImageStream, LabelMap
from segpipe.networks.build import apply_network
from segpipe.networks.catalogue import Network
from segpipe.networks.engine import OpenVinoNetwork
from segpipe.segmenter.compute import (
    Compute,
    ComputeParams,
    Stopwatch,
    build_compute,
)
from segpipe.segmenter.inference.blending import blend
from segpipe.segmenter.inference.coarse import Finder
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.inference.label_slab import LabelSlab, Wanted
from segpipe.segmenter.inference.labelling import label_slabs
from segpipe.segmenter.inference.voting import Logits
from segpipe.segmenter.rules.instances import number_instances
from segpipe.segmenter.rules.postprocessing import apply_rules
from segpipe.segmenter.settings import SegmentSettings
from segpipe.segmenter.spec import (
    SegmenterSpec,
    coarse_spec,
    combine_specs,
    read_networks,
    spec_file,
    write_networks,
)
from segpipe.segmenter.tiles.emptiness import Near
from segpipe.segmenter.tiles.sliding_window import Slab


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
        coarse=settings.coarse,
    )


@dataclass(frozen=True, eq=False)
class Segmenter:
    """Networks with their spec: what is trained, registered and used.

    Attributes:
        spec: All that is needed besides the weights.
        networks: One network per fold; their probabilities are averaged. Their weights
            stay as they are once they have run: OpenVINO has a copy.
        coarse: Segmenter that finds where structures are, at a coarse resolution, if
            the spec says how; all else is background.
    """

    spec: SegmenterSpec
    networks: tuple[Network, ...]
    coarse: "Segmenter | None" = None
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
        coarse = None
        if spec.coarse is not None:
            first = coarse_spec(spec, spec.coarse)
            coarse = cls(first, read_networks(folder, first, "coarse"))
        return cls(spec, read_networks(folder, spec), coarse)

    def save(self, folder: Path) -> None:
        """Write spec and weights; equal segmenters give equal bytes."""
        write_networks(folder, self.networks)
        if self.coarse is not None:
            write_networks(folder, self.coarse.networks, "coarse")
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
        coarse = None
        if spec.coarse is not None:
            finders = [member.coarse for member in members if member.coarse is not None]
            coarse = cls(
                coarse_spec(spec, spec.coarse),
                tuple(net for finder in finders for net in finder.networks),
            )
        return cls(spec, networks, coarse)

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
        near: Near | None = None,
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
            near: Where structures may be, as ``finder`` finds it; by default anywhere.
        """
        return blend(
            self.spec,
            self._logits(inference.compute),
            parts,
            shape,
            inference,
            slices_at=slices_at,
            backwards=backwards,
            with_disagreement=with_disagreement,
            floors=floors,
            stopwatch=stopwatch or Stopwatch(),
            near=near,
        )

    def finder(self, inference: Inference) -> Finder | None:
        """Finds where structures may be; None if they are looked for everywhere."""
        if self.coarse is None or self.spec.coarse is None:
            return None
        if inference.coarse == "never":
            return None
        networks = self.coarse._logits(inference.compute)
        return Finder(self.coarse.spec, self.spec.coarse, networks)

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
        yield from label_slabs(
            self.spec,
            self._logits(inference.compute),
            source,
            inference,
            wanted=Wanted(probabilities, uncertainty, inside),
            stopwatch=stopwatch or Stopwatch(),
            finder=self.finder(inference),
        )

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

    def _corrected(self, labels: Integer[np.ndarray, "i j k"], grid: Grid) -> LabelMap:
        """The label map after post-processing."""
        spec, volume = self.spec, grid.voxel_volume
        array = apply_rules(
            labels, spec.rules, voxel_volume=volume, legend=spec.plan.legend
        )
        return LabelMap(array, grid)
