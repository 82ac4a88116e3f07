"""One study: from its files to the label map, and its manifest."""

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from segpipe.images.formats.files import files_of
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file, digest_json
from segpipe.project.origin.commit import git_tags
from segpipe.project.origin.study import PACKAGE, code_tags, in_checkout
from segpipe.segmenter.compute import Stopwatch
from segpipe.tools.segmenting.manifest import (
    InputRecord,
    Manifest,
    manifest_path,
    parts_folder,
)
from segpipe.tools.segmenting.opening import (
    open_study,
    warn_of_grid,
    warn_of_intensities,
)
from segpipe.tools.segmenting.outputs.files import OutputFiles
from segpipe.tools.segmenting.outputs.preview import build_preview
from segpipe.tools.segmenting.studies import Study
from segpipe.tools.segmenting.work import Work

ML_PER_MM3 = 0.001
log = logging.getLogger(__name__)


def record_inputs(study: Study) -> tuple[InputRecord, ...]:
    """Names and digests of the input files, without names that may be a patient's."""
    if study.series is not None:
        digests = sorted(digest_file(file) for file in study.files)
        digest = digest_json(digests)
        return (InputRecord(name=study.name, files=len(digests), sha256=digest),)
    records = []
    for file in study.files:
        parts = files_of(file)
        digests = [digest_file(part) for part in parts]
        digest = digests[0] if len(digests) == 1 else digest_json(sorted(digests))
        records.append(InputRecord(name=file.name, files=len(parts), sha256=digest))
    for number in range(max(study.numbers, default=0)):
        if number not in study.numbers:  # the key tells which channel is which
            name = f"no channel {number:04d}"
            records.insert(number, InputRecord(name=name, files=0, sha256=""))
    return tuple(records)


def is_finished(study: Study, key: str, output: Path) -> bool:
    """Whether a manifest with this key lies there, and all its outputs unchanged.

    An output of two files is whole only if the manifest lists both.
    """
    path = manifest_path(output, study.name)
    if not path.is_file():
        return False
    try:
        manifest = Manifest.read(path)
    except DataError:
        return False
    files = [path.parent / name for name in manifest.outputs]
    return (
        manifest.key == key
        and all(file.is_file() for file in files)
        and {part.name for file in files for part in files_of(file)}
        == manifest.outputs.keys()
        and all(digest_file(file) == manifest.outputs[file.name] for file in files)
    )


def segment_study(study: Study, inputs: tuple[InputRecord, ...], work: Work) -> None:
    """Write the label map, the chosen further outputs and the manifest.

    They take their places, the manifest last, when all were opened again and are as
    they were meant; until then they lie in a hidden folder. So a full disk leaves no
    mask without its manifest.

    Raises:
        DataError: If the study cannot be read, changes while it is read, or does not
            fit the segmenter.
        OSError: If an output was not stored as it was written.
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
    _tell(study, warnings)
    manifest = manifest_path(work.output, study.name)
    folder = parts_folder(work.output, study.name)
    folder.mkdir(parents=True)
    found = OutputFiles(study, work, opened, watch, folder)
    found.run()
    with watch.phase("overlay"):
        preview = build_preview(
            source, found.parts, found.profile, plan.legend, name=work.record.name
        )
        late = warn_of_intensities(preview.medians, plan)
        if not found.profile.voxels:
            late.append("no structure was found")
        _tell(study, late)
        warnings += late
        if settings.overlay:
            found.write_overlay(preview.views, warnings)
    with watch.phase("check"):
        found.check()
        if record_inputs(study) != inputs:  # digested before, read since
            raise DataError(
                f"{study.files[0]}: expected files that stay as they are while they "
                "are read, found them changed; segment them again when they are whole"
            )
    voxels = plan.legend.count(found.counts)
    outputs = {path.name: digest_file(path) for path in found.written}
    millilitres = source.grid.voxel_volume * ML_PER_MM3
    Manifest(
        format_version=1,
        case=study.name,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        key=work.key(inputs),
        inputs=inputs,
        outputs=outputs,
        segmenter=work.record,
        settings=settings.to_json(),
        segpipe=_running_code(),
        device=str(work.inference.compute),
        shape=source.grid.shape,
        spacing=source.grid.spacing,
        unit=source.grid.unit,
        orientation=source.grid.directions,
        voxels=voxels,
        volumes_ml={}
        if source.grid.unit == "px"
        else {name: round(count * millilitres, 6) for name, count in voxels.items()},
        instances=plan.legend.count(found.instances) if settings.instances else {},
        seconds={name: round(value, 3) for name, value in watch.seconds.items()},
        warnings=tuple(warnings),
    ).write(folder / manifest.name)
    for path in reversed(found.written):  # a header after its voxels
        os.replace(path, manifest.with_name(path.name))
    os.replace(folder / manifest.name, manifest)
    folder.rmdir()
    hidden = f".part.{Path(study.name).name}.zraw"  # voxels as version 0.1.0 hid them
    manifest.with_name(hidden).unlink(missing_ok=True)


def _running_code() -> dict[str, str]:
    """Version, digest and, in a checkout, commit of the running segpipe.

    An installed segpipe may lie in a repository that is not its own, such as a study's.
    """
    tags = {name.removeprefix("segpipe."): text for name, text in code_tags().items()}
    return {**tags, **(git_tags(PACKAGE) if in_checkout() else {})}


def _tell(study: Study, warnings: list[str]) -> None:
    """Say what is unusual as soon as it is known; the manifest keeps it, too."""
    for words in warnings:
        log.warning("%s: %s", study.name, words)
