"""Labelling: from an image to the labels of its slices, column by column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from segpipe.images.grid import Orientation, Triple
from segpipe.images.volume import ImageStream
from segpipe.project.errors import DataError
from segpipe.segmenter.compute import Stopwatch
from segpipe.segmenter.inference.blending import blend
from segpipe.segmenter.inference.coarse import Finder
from segpipe.segmenter.inference.cutting import columns_of
from segpipe.segmenter.inference.inference import Inference
from segpipe.segmenter.inference.label_slab import (
    LabelSlab,
    Maps,
    Wanted,
    build_maps,
    join_columns,
    label_slab,
)
from segpipe.segmenter.inference.turning import leading
from segpipe.segmenter.inference.voting import Logits
from segpipe.segmenter.preprocessing.images import case_moments, prepared_parts
from segpipe.segmenter.preprocessing.normalization import prepared_floors
from segpipe.segmenter.spec import SegmenterSpec
from segpipe.segmenter.tiles.emptiness import Near
from segpipe.segmenter.tiles.layout import Box
from segpipe.segmenter.tiles.resampling import (
    resampled_box,
    resampled_slabs,
    source_box,
)


@dataclass(frozen=True, eq=False)
class _Run:
    """A segmenter on an image.

    Attributes:
        spec: The segmenter's.
        networks: One for each fold.
        source: The image.
        moments: What case_moments returned for it.
        inference: How the networks run.
        wanted: Which maps.
        watch: Measures the phases.
        near: Where structures may be; None if they may be everywhere.
    """

    spec: SegmenterSpec
    networks: Sequence[Logits]
    source: ImageStream
    moments: list[tuple[float, float]]
    inference: Inference
    wanted: Wanted
    watch: Stopwatch
    near: Near | None = None

    @property
    def orientation(self) -> Orientation:
        """From the axes of the image to the canonical ones."""
        return self.source.grid.to_canonical

    @property
    def goal(self) -> Triple:
        """Shape of the image, along the canonical axes."""
        return self.source.grid.reoriented(self.orientation).shape

    @property
    def prepared(self) -> Triple:
        """Shape of the prepared image, along the canonical axes."""
        grid = self.source.grid.reoriented(self.orientation)
        return grid.shape_at(self.spec.plan.spacing)

    def columns(self) -> list[Box]:
        """The columns that fit the memory; none where probabilities are wanted.

        The probabilities of all classes are written slice by slice and never held.
        """
        if self.wanted.probabilities:
            return []
        return columns_of(
            self.spec,
            self.prepared,
            self.goal,
            self.inference,
            slices_at=self.orientation.slices_at,
            channels=self.spec.outputs.channels + self.wanted.uncertainty,
            voxel_bytes=self.wanted.voxel_bytes,
        )

    def parts(self) -> Iterator[Float32[np.ndarray, "channel _ j k"]]:
        """The prepared slices."""
        prepared = prepared_parts(self.source, self.spec.plan, self.moments)
        return self.watch.of("prepare", prepared)

    def looked_up(self, finder: Finder) -> "_Run":
        """The run with where structures may be."""
        at = self.orientation.slices_at
        near = finder.find(
            self.parts(),
            self.prepared,
            self.inference,
            slices_at=at,
            backwards=self.orientation.flips[at],
            stopwatch=self.watch,
        )
        return replace(self, near=near)

    def maps(self, box: Box | None) -> Iterator[tuple[int, Maps]]:
        """The first slice and the maps of slices, of the image or a box of it."""
        plan, watch, at = self.spec.plan, self.watch, self.orientation.slices_at
        shapes = leading(self.prepared, at), leading(self.goal, at)
        floors = None
        if plan.emptiness is not None and self.inference.skip_empty == "auto":
            floors = prepared_floors(plan.emptiness.floors, plan, self.moments)
        blended = blend(
            self.spec,
            self.networks,
            self.parts(),
            self.prepared,
            self.inference,
            slices_at=at,
            backwards=self.orientation.flips[at],
            with_disagreement=self.wanted.uncertainty,
            floors=floors,
            stopwatch=watch,
            within=None if box is None else source_box(box, *shapes),
            near=self.near,
        )
        blended = watch.of("blend", blended)
        if box is None:
            resampled = resampled_slabs(blended, *shapes)
        else:
            resampled = resampled_box(blended, *shapes, box)
        for slab in watch.of("resample", resampled):
            with watch.phase("label"):
                maps = build_maps(slab, self.spec, self.wanted)
            yield slab.start, maps


def label_slabs(
    spec: SegmenterSpec,
    networks: Sequence[Logits],
    source: ImageStream,
    inference: Inference,
    *,
    wanted: Wanted,
    stopwatch: Stopwatch,
    finder: Finder | None = None,
) -> Iterator[LabelSlab]:
    """Segment an image of any length, as ``Segmenter.slabs`` says.

    With a finder, structures are looked for where it says only.

    Raises:
        DataError: If the image has other channels than the training images.
    """
    plan = spec.plan
    if source.channels != len(plan.channels):
        raise DataError(
            f"expected {len(plan.channels)} channels ({', '.join(plan.channels)}), "
            f"found {source.channels}; give the files in this order"
        )
    timed = replace(source, read=lambda: stopwatch.of("read", source.read()))
    with stopwatch.phase("prepare"):
        moments = case_moments(timed, plan)
    run = _Run(spec, networks, timed, moments, inference, wanted, stopwatch)
    if finder is not None:
        run = run.looked_up(finder)
    columns = run.columns()
    if len(columns) > 1:
        goal = leading(run.goal, run.orientation.slices_at)
        found = join_columns(((box, run.maps(box)) for box in columns), goal)
    else:
        found = run.maps(None)
    for start, maps in found:
        yield label_slab(start, maps, run.orientation.slices_first)
