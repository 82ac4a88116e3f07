"""Studies: the images to segment among files and folders."""

import logging
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from segpipe.images.dicom.file import is_dicom
from segpipe.images.dicom.series import NO_IMAGES, Series, find_series
from segpipe.images.formats.files import IMAGE_SUFFIXES, suffix_of
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Study:
    """One image to segment.

    Attributes:
        name: Name of the case and of its outputs: the file's path within the input,
            without ending and channel number; the UID of a DICOM series, because names
            of files and folders may be names of patients.
        files: One file per channel, or all files of a DICOM series.
        series: The DICOM series, if it is one.
        fault: Why it cannot be read, if that is known already.
    """

    name: str
    files: tuple[Path, ...]
    series: Series | None = None
    fault: str | None = None

    @property
    def ending(self) -> str:
        """Ending of the label map: the input's, lossless, or .dcm for a DICOM-SEG."""
        if self.series is not None:
            return ".dcm"
        own = suffix_of(self.files[0]).lower()
        return {".jpg": ".png", ".jpeg": ".png", ".nhdr": ".nrrd"}.get(own, own)

    def without_places(self, text: str) -> str:
        """A text without the folders of DICOM files, which may name a patient."""
        if self.series is None and self.fault is None:
            return text
        for file in sorted(self.files, key=lambda path: -len(str(path))):
            text = text.replace(str(file), file.name)
        for folder in {file.parent for file in self.files}:
            text = text.replace(str(folder), "its folder")
        return text


def find_studies(
    inputs: list[Path], *, channels: int, output: Path, at_least: int = 1
) -> list[Study]:
    """Find all studies among files and folders, at any depth.

    Args:
        inputs: Files, or folders that are searched.
        channels: Channels of the segmenter; with several, the files NAME_0000,
            NAME_0001 … are the channels of NAME; with one, NAME_0000 is NAME.
        output: Folder of the results; files in it are no inputs.
        at_least: Smallest number of studies; an inbox may be empty.

    Raises:
        DataError: If an input does not exist, too few are found, or two studies would
            have the same outputs.
    """
    files: dict[Path, str] = {}
    for item in inputs:
        if not item.exists():
            raise DataError(f"{item}: expected a file or a folder, found nothing")
        if item.is_file():
            files[item] = item.name
            continue
        for path in sorted(item.rglob("*")):
            inside = path.is_relative_to(output) and not item.is_relative_to(output)
            if path.is_file() and not path.name.startswith(".") and not inside:
                files[path] = path.relative_to(item).as_posix()
    images, others = {}, []
    for path, name in files.items():
        if path.name.lower().endswith(IMAGE_SUFFIXES):
            images[path] = name
        elif is_dicom(path):
            others.append(path)
        elif path in inputs:
            suffix_of(path)  # raises the DataError that says what is wrong
        else:
            log.info("left out %s: not an image", path.name)
    studies = [*_by_case(images, channels), *_by_series(others)]
    if len(studies) < at_least:
        raise DataError(
            f"{', '.join(map(str, inputs))}: expected images, found none; "
            f"known are {', '.join(IMAGE_SUFFIXES)} and DICOM"
        )
    _check_names(studies)
    return sorted(studies, key=lambda study: study.name)


def _by_case(images: dict[Path, str], channels: int) -> list[Study]:
    """Group files by case, the channels of a case together."""
    cases: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for path, name in images.items():
        stem = name[: -len(suffix_of(path))]
        numbered = re.fullmatch(r"(.+)_(\d{4})", stem)
        if numbered and (channels > 1 or numbered[2] == "0000"):
            cases[numbered[1]].append((numbered[2], path))
        else:
            cases[stem].append(("", path))
    studies = []
    for name, found in cases.items():
        numbers = [number for number, _ in sorted(found)]
        paths = tuple(path for _, path in sorted(found))
        expected = [f"{number:04d}" for number in range(len(numbers))]
        if len(set(numbers)) < len(numbers):
            studies += [Study(f"{name}_{_word(path)}", (path,)) for path in paths]
        elif numbers not in ([""], expected):
            fault = (
                f"{paths[0]}: expected the channels {', '.join(expected)}, found "
                f"{', '.join(number or 'one without number' for number in numbers)}; "
                "fetch or rename the files"
            )
            studies.append(Study(name, paths, fault=fault))
        else:
            studies.append(Study(name, paths))
    return studies


def _word(path: Path) -> str:
    """The ending as a word, to tell apart files that differ in it only."""
    return suffix_of(path).strip(".").replace(".", "_")


def _by_series(files: list[Path]) -> list[Study]:
    """Group DICOM files by series; one that cannot be read is a study of its own."""
    members: dict[str, Series] = {}
    faults: list[Study] = []
    for path in files:
        try:
            found = find_series([path])
        except DataError as error:
            faults.append(_unreadable(path, str(error), faults))
            continue
        for series in found:
            before = members.get(series.uid)
            members[series.uid] = (
                replace(before, files=(*before.files, *series.files))
                if before
                else series
            )
    studies = []
    for uid, series in members.items():
        if series.modality in NO_IMAGES:
            log.info("left out series %s: %s is not an image", uid, series.modality)
        else:
            studies.append(Study(uid, series.files, series))
    return studies + faults


def _unreadable(path: Path, fault: str, others: list[Study]) -> Study:
    """A study that names its fault; a digest tells apart files of the same name."""
    name = path.name
    if any(other.name == name for other in others):
        name = f"{name}_{digest_file(path)[:8]}"
    return Study(name, (path,), fault=fault)


def _check_names(studies: list[Study]) -> None:
    seen: dict[str, Study] = {}
    for study in studies:
        other = seen.setdefault(study.name, study)
        if other is not study:
            raise DataError(
                f"{study.files[0]}: expected a name of its own, found "
                f"{other.files[0]}, whose outputs would be called the same; "
                "segment them into two folders, or rename one"
            )
