"""One study: from its files to the label map, and its manifest."""

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from segpipe.project.commit import git_tags
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file, digest_json
from segpipe.segmenter.compute import Stopwatch
from segpipe.tools.segmenting.manifest import InputRecord, Manifest, manifest_path
from segpipe.tools.segmenting.opening import (
    open_study,
    warn_of_grid,
    warn_of_intensities,
)
from segpipe.tools.segmenting.outputs import OutputFiles, build_preview
from segpipe.tools.segmenting.studies import Study
from segpipe.tools.segmenting.work import Work

ML_PER_MM3 = 0.001


def record_inputs(study: Study) -> tuple[InputRecord, ...]:
    """Names and digests of the input files, without names that may be a patient's."""
    if study.series is not None:
        digests = sorted(digest_file(file) for file in study.files)
        digest = digest_json(digests)
        return (InputRecord(name=study.name, files=len(digests), sha256=digest),)
    return tuple(
        InputRecord(name=file.name, files=1, sha256=digest_file(file))
        for file in study.files
    )


def is_finished(study: Study, key: str, output: Path) -> bool:
    """Whether a manifest with this key lies there, and all its outputs unchanged."""
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
    """Write the label map, the chosen further outputs, and last the manifest.

    Raises:
        DataError: If the study cannot be read or does not fit the segmenter.
    """
    watch, settings, plan = Stopwatch(), work.settings, work.segmenter.spec.plan
    with watch.phase("read"):
        opened = open_study(
            study,
            plan,
            spacing_mm=settings.spacing_mm,
            resample_tilt=settings.resample_tilt,
        )
    source = opened.source
    warnings = [*opened.warnings, *warn_of_grid(source.grid, plan)]
    found = OutputFiles(study, work, opened, watch)
    found.run()
    with watch.phase("overlay"):
        preview = build_preview(source, found.parts, found.profile, plan.values)
        if settings.overlay:
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
        settings=settings.to_json(),
        segpipe={"version": version("segpipe"), **git_tags(Path(__file__).parent)},
        device=str(work.inference.compute),
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
