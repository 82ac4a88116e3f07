"""Outputs of a study: label map, maps, instances and overlay."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer

from segpipe.evaluation.report.pictures.overlays import plot_overlay
from segpipe.evaluation.report.pictures.planes import Exhibit, Structure, View
from segpipe.evaluation.report.pictures.views import (
    notes_of,
    shown_channels,
    size_unit,
)
from segpipe.images.dicom.seg.reading import read_seg
from segpipe.images.dicom.seg.writing import LONGEST, Algorithm, write_seg
from segpipe.images.dicom.series import DicomImage
from segpipe.images.formats import nifti, raster
from segpipe.images.formats.files import files_of, read_label, write_label
from segpipe.images.grid import SAME_GRID, Grid
from segpipe.images.values import Legend
from segpipe.images.volume import SLICES
from segpipe.project.documents import write_bytes
from segpipe.project.errors import DataError
from segpipe.project.progress import work
from segpipe.segmenter.compute import Stopwatch
from segpipe.segmenter.inference.label_slab import LabelSlab
from segpipe.segmenter.preprocessing.classes import label_dtype
from segpipe.segmenter.rules.postprocessing import apply_rules
from segpipe.tools.segmenting.opening import Opened
from segpipe.tools.segmenting.outputs.preview import Profile
from segpipe.tools.segmenting.studies import Study
from segpipe.tools.segmenting.work import Work

LONGEST_TITLE = 36  # characters that fit over the picture
MAPS_COMPRESSION = 1  # noise does not compress well: fast rather than small
FEW = 256  # instances that a DICOM-SEG lists, a segment each


class OutputFiles:
    """Segments a study and writes its outputs into a folder.

    Attributes:
        written: Paths of the files, in the order in which they were completed; a header
            before its voxels.
        counts: Voxels of each value of the label map.
        profile: Where the structures lie.
        instances: Instances of each value of the label map, if they were asked for.
    """

    def __init__(
        self, study: Study, work: Work, opened: Opened, watch: Stopwatch, folder: Path
    ) -> None:
        self.written: list[Path] = []
        self.counts: Counter[int] = Counter()
        self.instances: Counter[int] = Counter()
        self.profile = Profile(opened.source.grid.shape)
        self._work, self._opened, self._watch = work, opened, watch
        self._grid: Grid = opened.source.grid
        self._stem = folder / Path(study.name).name
        self._label = self._named(study.ending)
        self._rules = work.segmenter.spec.rules
        self._whole: Integer[np.ndarray, "i j k"] | None = None
        self._instances: Counter[int] = Counter()

    def run(self) -> None:
        """Segment and write: slice by slice if format, rules and settings allow it."""
        settings = self._work.settings
        in_slices = self._label.name.lower().endswith(nifti.SUFFIXES)
        at_once = settings.instances or self._rules or not in_slices
        kept: list[np.ndarray] = []
        inside: list[np.ndarray] = []
        with ExitStack() as stack:
            writers = self._open_writers(stack, with_labels=not at_once)
            for slab in self._slabs():
                if not at_once:
                    self._take(slab.labels)
                with self._watch.phase("write"):
                    for name, array in self._arrays(slab):
                        if name in writers:
                            writers[name].add(array)
                if at_once:
                    kept.append(slab.labels)
                if slab.inside is not None:
                    inside.append(slab.inside)
        self.written += [writer.path for writer in writers.values()]
        if kept:
            whole = np.concatenate(kept, axis=2)
            kept.clear()
            near = np.concatenate(inside, axis=2) if inside else None
            inside.clear()
            with self._watch.phase("postprocess"):
                volume = self._grid.voxel_volume
                self._whole = apply_rules(
                    whole,
                    self._rules,
                    voxel_volume=volume,
                    legend=self._work.segmenter.spec.plan.legend,
                )
            self._take(self._whole)
            with self._watch.phase("write"):
                self._write_whole(self._whole)
            if settings.instances:
                self._write_instances(self._whole, near)

    def parts(self) -> Iterator[Integer[np.ndarray, "i j _"]]:
        """The labels from the beginning, slice by slice."""
        if self._whole is None:
            for part in nifti.open_image(self._label).read():
                yield part[0].astype(np.int32)
            return
        for start in range(0, self._grid.shape[2], SLICES):
            yield self._whole[..., start : start + SLICES]

    def write_overlay(self, views: list[View], warnings: Sequence[str]) -> None:
        """Write the planes that show most, with the structures drawn on them."""
        plan, record = self._work.segmenter.spec.plan, self._work.record
        unit, size = size_unit(self._grid)
        found = plan.legend.count(self.counts)
        structures = [
            Structure(name, number, {record.name: found[name] * size})
            for number, name in enumerate(plan.structures)
            if number and found[name]
        ]
        notes = [
            *shown_channels(self._opened.source.channels, plan.channels)[1],
            *notes_of(self._grid),
        ]
        exhibit = Exhibit(views, structures, unit, notes=tuple(notes))
        path = self._named("_overlay.png")
        case = self._stem.name
        if len(case) > LONGEST_TITLE:
            case = f"{case[: LONGEST_TITLE // 2]}…{case[-LONGEST_TITLE // 2 :]}"
        title = f"{case}\n{record.name} {record.digest[:12]}"
        write_bytes(path, plot_overlay(title, exhibit, warnings=warnings))
        self.written.append(path)

    def check(self) -> None:
        """Open every output again and compare it with what was to be written.

        A label map must have the grid and as many voxels of each label, a map the grid
        and finite voxels; a picture must be whole.

        Raises:
            OSError: If one is not as it was written.
        """
        voxels = {part for file in self.written for part in files_of(file)[1:]}
        for path in self.written:
            if path in voxels:  # the header's reader reads them
                continue
            try:
                self._check(path)
            except DataError as error:
                raise OSError(
                    f"{path.name}: expected the file as it was written, found on "
                    f"opening it again: {error}; check the disk, then segment again"
                ) from error

    def _check(self, path: Path) -> None:
        if path == self._named("_overlay.png"):
            raster.read_image(path)
            return
        expected = {self._label: self.counts, self._instances_at: self._instances}
        dicom = self._opened.dicom
        if path == self._segments_at and dicom is not None:
            label = read_seg(path, dicom).label
            grid, found = label.grid, count_values(label.array)
            ids = sorted({*self._instances} - {0})
            wanted = Counter({n: self._instances[one] for n, one in enumerate(ids, 1)})
            wanted[0] = self._instances[0]
        elif path == self._label and dicom is not None:
            grid, found, wanted = self._segments(path, dicom)
        elif path.name.lower().endswith(nifti.SUFFIXES):
            stream, found = nifti.open_image(path), Counter[int]()
            grid, wanted = stream.grid, expected.get(path, Counter())
            for part in stream.read():
                if path in expected:
                    found += count_values(part[0].astype(np.int64))
        else:
            i, j, _ = self._grid.spacing
            label = read_label(
                path, spacing_mm=(i, j) if self._grid.unit == "mm" else None
            )
            grid, found = label.grid, count_values(label.array)
            wanted = expected[path]
        far = float(np.abs(self._grid.corners).max())  # NIfTI stores float32
        if not grid.matches(self._grid, tolerance=SAME_GRID + far * 1e-6):
            raise DataError(f"expected {self._grid}, found {grid}")
        if found != wanted:
            raise DataError(f"expected voxels {dict(wanted)}, found {dict(found)}")

    def _segments(
        self, path: Path, dicom: DicomImage
    ) -> tuple[Grid, Counter[int], Counter[int]]:
        """Grid and voxels of the segments of a DICOM-SEG, and the wanted voxels."""
        legend = self._work.segmenter.spec.plan.legend
        numbered = enumerate(legend.count(self.counts).values(), start=1)
        wanted = Counter(dict(numbered))
        if legend.unions is None:
            label = read_seg(path, dicom).label
            wanted[0] = self.counts[0]
            return label.grid, count_values(label.array), wanted
        found, grid = Counter[int](), dicom.image.grid
        for number, name in enumerate(legend.structures[1:], start=1):  # they overlap
            label = read_seg(path, dicom, only=frozenset({name[:LONGEST]})).label
            found[number] = int(np.count_nonzero(label.array))
        return grid, found, wanted

    def _named(self, ending: str) -> Path:
        return self._stem.with_name(self._stem.name + ending)

    @property
    def _instances_at(self) -> Path:
        ending = self._label.suffix if self._grid.unit == "px" else ".nii.gz"
        return self._named(f"_instances{ending}")

    @property
    def _segments_at(self) -> Path:
        return self._named("_instances.dcm")

    def _slabs(self) -> Iterator[LabelSlab]:
        """Segment, and tell how many slices are done."""
        settings, case = self._work.settings, self._stem.name
        total = self._grid.shape[2]
        with work(case, total=total, unit="slice") as told:
            for slab in self._work.segmenter.slabs(
                self._opened.source,
                self._work.inference,
                probabilities=settings.probabilities,
                uncertainty=settings.uncertainty,
                inside=settings.instances and self._work.segmenter.divides,
                stopwatch=self._watch,
            ):
                yield slab
                told.advance(slab.labels.shape[2])

    def _take(self, labels: Integer[np.ndarray, "i j n"]) -> None:
        self.counts.update(count_values(labels))
        self.profile.add(labels)

    def _open_writers(
        self, stack: ExitStack, *, with_labels: bool
    ) -> dict[str, nifti.SliceWriter]:
        """A writer for each file that is written slice by slice."""
        plan, settings = self._work.segmenter.spec.plan, self._work.settings
        names = [*plan.structures[1:]] if settings.probabilities else []
        maps = [f"probability_{name}" for name in names]
        maps += ["entropy", "disagreement"] if settings.uncertainty else []
        writers = {
            name: nifti.SliceWriter(
                self._named(f"_{_plain(name)}.nii.gz"),
                self._grid,
                np.dtype(np.float32),
                compresslevel=MAPS_COMPRESSION,
            )
            for name in maps
        }
        if with_labels:
            dtype = label_dtype(plan)
            writers["labels"] = nifti.SliceWriter(self._label, self._grid, dtype)
        return {name: stack.enter_context(one) for name, one in writers.items()}

    def _arrays(self, slab: LabelSlab) -> Iterator[tuple[str, np.ndarray]]:
        yield "labels", slab.labels
        if slab.probabilities is not None:
            spec = self._work.segmenter.spec
            names = spec.plan.structures[1:]
            maps = spec.outputs.of_structures(slab.probabilities)
            for name, array in zip(names, maps, strict=True):
                yield f"probability_{name}", array
        if slab.entropy is not None and slab.disagreement is not None:
            yield "entropy", slab.entropy
            yield "disagreement", slab.disagreement

    def _write_whole(self, labels: Integer[np.ndarray, "i j k"]) -> None:
        plan = self._work.segmenter.spec.plan
        if self._opened.dicom is not None:
            self._write_seg(self._label, labels, self._opened.dicom, plan.legend)
        else:
            write_label(self._label, labels, self._grid)
        self.written += files_of(self._label)

    def _write_seg(
        self,
        path: Path,
        labels: Integer[np.ndarray, "i j k"],
        dicom: DicomImage,
        legend: Legend,
        *,
        number: int = 1,
    ) -> None:
        record = self._work.record
        version = record.version or record.digest[:12]
        algorithm = Algorithm(record.name, version, record.digest)
        write_seg(
            path, labels, dicom, legend=legend, algorithm=algorithm, number=number
        )

    def _write_instances(
        self,
        labels: Integer[np.ndarray, "i j k"],
        inside: Float[np.ndarray, "i j k"] | None,
    ) -> None:
        segmenter = self._work.segmenter
        with self._watch.phase("postprocess"):
            found = segmenter.number(labels, inside, self._grid)
        self._instances = count_values(found)
        with self._watch.phase("write"):
            write_label(self._instances_at, found, self._grid)
            self.written += files_of(self._instances_at)
            dicom, count = self._opened.dicom, len({*self._instances} - {0})
            if dicom is not None and 0 < count <= FEW:
                legend = name_instances(found, labels, segmenter.spec.plan.legend)
                self._write_seg(self._segments_at, found, dicom, legend, number=2)
                self.written.append(self._segments_at)
        for value in filter(None, segmenter.spec.plan.values):
            numbers = np.unique(found[labels == value])
            self.instances[value] = int((numbers > 0).sum())


def name_instances(
    ids: Integer[np.ndarray, "i j k"],
    labels: Integer[np.ndarray, "i j k"],
    legend: Legend,
) -> Legend:
    """Each instance as a structure, named by its own one and its id: "lesion 2".

    Args:
        ids: Ids of the instances, which may have gaps; 0 for none.
        labels: The label map, which says the structure of each.
        legend: What the values of the label map stand for.
    """
    numbers, places = np.unique(ids, return_index=True)
    structures = legend.topmost(labels.reshape(-1)[places])
    named = {
        int(number): f"{legend.structures[structure][: LONGEST - 12]} {number}"
        for number, structure in zip(numbers, structures, strict=True)
        if number
    }
    return Legend(("background", *named.values()), (0, *named), None)


def count_values(labels: Integer[np.ndarray, "i j n"]) -> Counter[int]:
    """Voxels of each value that occurs."""
    low = int(labels.min())
    counts = np.bincount((labels.ravel().astype(np.int64)) - low)
    return Counter({low + n: int(c) for n, c in enumerate(counts) if c})


def _plain(name: str) -> str:
    """Name of a structure, as part of a file name."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
