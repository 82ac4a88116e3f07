"""One study of segment: from its files to the mask and to what explains it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Integer
from tqdm import tqdm

from segpipe.commit import git_tags
from segpipe.documents import write_bytes
from segpipe.errors import DataError
from segpipe.familiarity import warn_of_grid, warn_of_intensities
from segpipe.fingerprint import digest_file, digest_json
from segpipe.grid import Grid
from segpipe.instances import instances_of_structures
from segpipe.io import formats, nifti
from segpipe.io.dicom_seg_writing import Algorithm, write_seg
from segpipe.manifest import InputRecord, Manifest, SegmenterRecord, manifest_path
from segpipe.plots import View, plot_overlay
from segpipe.postprocessing import apply_rules
from segpipe.preprocessing import label_dtype
from segpipe.previews import Profile, build_preview
from segpipe.segmenter import Inference, LabelSlab, Segmenter
from segpipe.stopwatch import Stopwatch
from segpipe.tools.opening import Opened, open_study
from segpipe.tools.studies import Study
from segpipe.volume import SLICES

ML_PER_MM3 = 0.001
LONGEST_TITLE = 36  # characters that fit over the picture
MAPS_COMPRESSION = 1  # noise does not compress well: fast rather than small


@dataclass(frozen=True)
class Outputs:
    """Which files to write besides the label map and its manifest.

    Attributes:
        probabilities: A volume a structure, NAME_probability_STRUCTURE.nii.gz.
        uncertainty: NAME_entropy.nii.gz and NAME_disagreement.nii.gz, from 0 to 1.
        instances: NAME_instances: connected components of each structure, numbered.
        overlay: NAME_overlay.png.
    """

    probabilities: bool
    uncertainty: bool
    instances: bool
    overlay: bool


@dataclass(frozen=True)
class SegmentOptions:
    """What the user may choose.

    Attributes:
        outputs: Which files besides the label map.
        inference: How.
        spacing_mm: Of images whose format carries none.
        resample_tilt: Straighten DICOM slices of a tilted gantry.
    """

    outputs: Outputs
    inference: Inference
    spacing_mm: tuple[float, float] | None
    resample_tilt: bool

    def to_json(self) -> dict[str, str | int | float | bool]:
        """All that may change a result, for the manifest."""
        inference = asdict(self.inference)
        compute = self.inference.compute.to_json()
        return {
            **{name: value for name, value in inference.items() if name != "compute"},
            **{name: value for name, value in compute.items() if name != "compile"},
            **asdict(self.outputs),
            "spacing_mm": ",".join(map(str, self.spacing_mm or ())),
            "resample_tilt": self.resample_tilt,
        }


@dataclass(frozen=True, eq=False)
class Work:
    """What is the same for all studies.

    Attributes:
        segmenter: At work.
        record: Which it is.
        options: What the user chose.
        output: Folder for the results.
    """

    segmenter: Segmenter
    record: SegmenterRecord
    options: SegmentOptions
    output: Path

    def key(self, inputs: tuple[InputRecord, ...]) -> str:
        """What the results of these inputs are known by."""
        return case_key(inputs, self.record, self.options)


def case_key(
    inputs: tuple[InputRecord, ...], record: SegmenterRecord, options: SegmentOptions
) -> str:
    """What the results of inputs are known by: the same key, the same mask."""
    return digest_json(
        {
            "inputs": [one.sha256 for one in inputs],
            "segmenter": record.digest,
            "settings": options.to_json(),
        }
    )


def record_inputs(study: Study) -> tuple[InputRecord, ...]:
    """What is read, without names that may be a patient's."""
    if study.series is not None:
        digests = sorted(digest_file(file) for file in study.files)
        digest = digest_json(digests)
        return (InputRecord(name=study.name, files=len(digests), sha256=digest),)
    return tuple(
        InputRecord(name=file.name, files=1, sha256=digest_file(file))
        for file in study.files
    )


def is_finished(study: Study, key: str, output: Path) -> bool:
    """Whether the same was done before and all of it still lies there."""
    path = manifest_path(output, study.name)
    if not path.is_file():
        return False
    try:
        manifest = Manifest.read(path)
    except DataError:
        return False
    return manifest.key == key and all(
        (path.parent / name).is_file() and digest_file(path.parent / name) == digest
        for name, digest in manifest.outputs.items()
    )


def segment_study(study: Study, inputs: tuple[InputRecord, ...], work: Work) -> None:
    """Write the label map, what was asked for beside it, and last the manifest.

    Raises:
        DataError: If the study cannot be read or is not for this segmenter.
    """
    watch, options, plan = Stopwatch(), work.options, work.segmenter.spec.plan
    with watch.phase("read"):
        opened = open_study(
            study,
            plan,
            spacing_mm=options.spacing_mm,
            resample_tilt=options.resample_tilt,
        )
    source = opened.source
    warnings = [*opened.warnings, *warn_of_grid(source.grid, plan)]
    found = _Found(study, work, opened, watch)
    found.run()
    with watch.phase("overlay"):
        preview = build_preview(source, found.parts, found.profile, plan.values)
        if options.outputs.overlay:
            found.write_overlay(preview.views)
    warnings += warn_of_intensities(preview.medians, plan)
    voxels = {
        name: found.counts[value]
        for name, value in zip(plan.structures, plan.values, strict=True)
        if value != 0
    }
    if not any(voxels.values()):
        warnings.append("no structure was found")
    millilitres = source.grid.voxel_volume * ML_PER_MM3
    Manifest(
        format_version=1,
        case=study.name,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        key=work.key(inputs),
        inputs=inputs,
        outputs={path.name: digest_file(path) for path in found.written},
        segmenter=work.record,
        settings=options.to_json(),
        segpipe={"version": version("segpipe"), **git_tags(Path(__file__).parent)},
        device=str(options.inference.compute),
        shape=source.grid.shape,
        spacing=source.grid.spacing,
        unit=source.grid.unit,
        orientation=source.grid.directions,
        voxels=voxels,
        volumes_ml={}
        if source.grid.unit == "px"
        else {name: round(count * millilitres, 6) for name, count in voxels.items()},
        seconds={name: round(value, 3) for name, value in watch.seconds.items()},
        warnings=tuple(warnings),
    ).write(manifest_path(work.output, study.name))


class _Found:
    """The outputs of a study, while they are made."""

    def __init__(
        self, study: Study, work: Work, opened: Opened, watch: Stopwatch
    ) -> None:
        self.written: list[Path] = []
        self.counts: Counter[int] = Counter()
        self.profile = Profile(opened.source.grid.shape)
        self._work, self._opened, self._watch = work, opened, watch
        self._grid: Grid = opened.source.grid
        self._stem = work.output / study.name
        self._label = self._named(study.ending)
        self._rules = work.segmenter.spec.rules
        self._whole: Integer[np.ndarray, "i j k"] | None = None

    def run(self) -> None:
        """Segment and write: slice by slice if format, rules and wishes allow it."""
        wishes = self._work.options.outputs
        in_slices = self._label.name.lower().endswith(nifti.SUFFIXES)
        at_once = wishes.instances or self._rules or not in_slices
        kept: list[np.ndarray] = []
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
        self.written += [writer.path for writer in writers.values()]
        if kept:
            whole = np.concatenate(kept, axis=2)
            kept.clear()
            with self._watch.phase("postprocess"):
                volume = self._grid.voxel_volume
                self._whole = apply_rules(whole, self._rules, voxel_volume=volume)
            self._take(self._whole)
            with self._watch.phase("write"):
                self._write_whole(self._whole)

    def parts(self) -> Iterator[Integer[np.ndarray, "i j _"]]:
        """The labels once more, slice by slice."""
        if self._whole is None:
            for part in nifti.open_image(self._label).read():
                yield part[0].astype(np.int32)
            return
        for start in range(0, self._grid.shape[2], SLICES):
            yield self._whole[..., start : start + SLICES]

    def write_overlay(self, views: list[View]) -> None:
        """Draw the planes that show most."""
        plan = self._work.segmenter.spec.plan
        legend = {
            name: number
            for number, (name, value) in enumerate(
                zip(plan.structures, plan.values, strict=True)
            )
            if number and self.counts[value]
        }
        path = self._named("_overlay.png")
        record = self._work.record
        case = self._stem.name
        if len(case) > LONGEST_TITLE:
            case = f"{case[: LONGEST_TITLE // 2]}…{case[-LONGEST_TITLE // 2 :]}"
        title = f"{case}\n{record.name} {record.digest[:12]}"
        write_bytes(path, plot_overlay(title, views, legend, drawn=record.name))
        self.written.append(path)

    def _named(self, ending: str) -> Path:
        return self._stem.with_name(self._stem.name + ending)

    def _slabs(self) -> Iterator[LabelSlab]:
        """What the segmenter gives, with a bar over the slices."""
        wishes = self._work.options.outputs
        total = self._grid.shape[2]
        with tqdm(total=total, unit="slice", leave=False, disable=None) as bar:
            for slab in self._work.segmenter.slabs(
                self._opened.source,
                self._work.options.inference,
                probabilities=wishes.probabilities,
                uncertainty=wishes.uncertainty,
                stopwatch=self._watch,
            ):
                yield slab
                bar.update(slab.labels.shape[2])

    def _take(self, labels: Integer[np.ndarray, "i j n"]) -> None:
        low = int(labels.min())
        counts = np.bincount((labels.ravel().astype(np.int64)) - low)
        self.counts.update({low + n: int(c) for n, c in enumerate(counts) if c})
        self.profile.add(labels)

    def _open_writers(
        self, stack: ExitStack, *, with_labels: bool
    ) -> dict[str, nifti.SliceWriter]:
        """A writer for each file that is written slice by slice."""
        plan, wishes = self._work.segmenter.spec.plan, self._work.options.outputs
        names = [*plan.structures[1:]] if wishes.probabilities else []
        maps = [f"probability_{name}" for name in names]
        maps += ["entropy", "disagreement"] if wishes.uncertainty else []
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
            names = self._work.segmenter.spec.plan.structures[1:]
            for name, array in zip(names, slab.probabilities[1:], strict=True):
                yield f"probability_{name}", array
        if slab.entropy is not None and slab.disagreement is not None:
            yield "entropy", slab.entropy
            yield "disagreement", slab.disagreement

    def _write_whole(self, labels: Integer[np.ndarray, "i j k"]) -> None:
        plan, record = self._work.segmenter.spec.plan, self._work.record
        if self._opened.dicom is not None:
            write_seg(
                self._label,
                labels,
                self._opened.dicom,
                structures=dict(zip(plan.values, plan.structures, strict=True)),
                algorithm=Algorithm(
                    record.name, record.version or record.digest[:12], record.digest
                ),
            )
        else:
            formats.write_label(self._label, labels, self._grid)
        self.written.append(self._label)
        if self._work.options.outputs.instances:
            found: Int32[np.ndarray, "i j k"] = instances_of_structures(
                labels, ignore=None
            )
            ending = self._label.suffix if self._grid.unit == "px" else ".nii.gz"
            path = self._named(f"_instances{ending}")
            formats.write_label(path, found, self._grid)
            self.written.append(path)


def _plain(name: str) -> str:
    """A structure's name as part of a file's."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
