"""Studies: the images to segment among files and folders."""

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from segpipe.images.dicom.file import is_dicom
from segpipe.images.dicom.series import NO_IMAGES, Series, find_series
from segpipe.images.formats.files import IMAGE_SUFFIXES, files_of, suffix_of
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.progress import track
from segpipe.tools.segmenting.manifest import results_in

# What follows the name of the case in the names of its outputs, before their suffix.
ENDINGS = r"_(probability_[^/]*|entropy|disagreement|instances|overlay)"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Study:
    """One image to segment.

    Attributes:
        name: Name of the case and of its outputs: the file's path within the input,
            without ending and channel number; the UID of a DICOM series, because names
            of files and folders may be names of patients.
        files: One file per channel, or all files of a DICOM series; none if their
            names are not UTF-8, which is a fault.
        series: The DICOM series, if it is one.
        fault: Why it cannot be read, if that is known already.
        numbers: Number of the channel of each file, if their names have one.
    """

    name: str
    files: tuple[Path, ...]
    series: Series | None = None
    fault: str | None = None
    numbers: tuple[int, ...] = ()

    @property
    def all_files(self) -> tuple[Path, ...]:
        """The files, and those of voxels that a header among them names."""
        if self.series is not None or self.fault is not None:
            return self.files
        return tuple(one for file in self.files for one in files_of(file))

    @property
    def ending(self) -> str:
        """Ending of the label map: the input's, lossless, or .dcm for a DICOM-SEG."""
        if self.series is not None:
            return ".dcm"
        own = suffix_of(self.files[0]).lower()
        return {".jpg": ".png", ".jpeg": ".png", ".nhdr": ".nrrd"}.get(own, own)

    def may_write(self, rest: str) -> bool:
        """Whether an output may be called like the case, followed by this, any case."""
        own = rf"{re.escape(self.ending)}|\.zraw|(\.failed)?\.json"
        further = rf"{ENDINGS}(\.nii\.gz|\.png|{re.escape(self.ending)})"
        return re.fullmatch(f"{own}|{further}", rest, re.IGNORECASE) is not None

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
    inputs: list[Path],
    *,
    channels: int,
    output: Path,
    at_least: int = 1,
    may_lack: bool = False,
) -> list[Study]:
    """Find all studies among files and folders, at any depth.

    Args:
        inputs: Files, or folders that are searched.
        channels: Channels of the segmenter; with several, the files NAME_0000,
            NAME_0001 … are the channels of NAME; with one, NAME_0000 is NAME, and
            NAME_0001 beside it a fault.
        output: Folder of the results; files in it, and other results that their
            manifests name, are no inputs.
        at_least: Smallest number of studies; an inbox may be empty.
        may_lack: Whether files of some channels of a case may be missing.

    Raises:
        DataError: If an input does not exist, too few are found, two studies would
            have the same outputs, or an output would replace an input.
    """
    files, faults = _search(inputs, output)
    images, others = {}, []
    for path, name in files.items():
        try:
            if path.name.lower().endswith(IMAGE_SUFFIXES):
                images[path] = name
            elif is_dicom(path):
                others.append(path)
            elif path in inputs:
                suffix_of(path)  # raises the DataError that says what is wrong
            else:
                log.info("left out %s: not an image", path.name)
        except (DataError, OSError) as error:
            faults.append(_unreadable(path, _reason(path, error), faults))
    studies = [
        *_by_case(images, channels, may_lack),
        *_by_series(others, faults),
        *faults,
    ]
    if len(studies) < at_least:
        raise DataError(
            f"{', '.join(map(str, inputs))}: expected images, found none; "
            f"known are {', '.join(IMAGE_SUFFIXES)} and DICOM"
        )
    _check_names(studies)
    read = (path for study in studies for path in study.all_files)
    _check_outputs(studies, {*files, *read}, output)
    return sorted(studies, key=lambda study: study.name)


def _search(inputs: list[Path], output: Path) -> tuple[dict[Path, str], list[Study]]:
    """All files that are no results, with their names; and faults found on the way."""
    files: dict[Path, str] = {}
    faults: list[Study] = []
    for item in inputs:
        if not item.exists():
            raise DataError(f"{item}: expected a file or a folder, found nothing")
        found, results, errors = [item], 0, list[OSError]()
        if item.is_dir():
            found.clear()
            around = _is_inside(item, output)
            for place, folders, names in os.walk(item, onerror=errors.append):
                folder = Path(place)
                # .NAME.part holds the outputs of a case that is being segmented.
                folders[:] = [n for n in folders if not re.fullmatch(r"\..*\.part", n)]
                if not around and _is_inside(folder, output):
                    folders.clear()
                    continue
                ours = results_in(folder)
                results += len(ours.intersection(names))
                found += [folder / n for n in names if n[0] != "." and n not in ours]
        for path in sorted(found):
            name = path.relative_to(item).as_posix() if path != item else path.name
            image = name.lower().endswith(IMAGE_SUFFIXES)
            if image and not is_text(name):
                shown = os.fsencode(name).decode("utf-8", "backslashreplace")
                why = f"{shown}: expected a name in UTF-8, found another; rename it"
                faults.append(Study(shown, (), fault=why))
            elif image and path.is_symlink() and not path.exists():
                why = f"{path}: expected a file, found a link to nothing; mend the link"
                faults.append(_unreadable(path, why, faults))
            elif path.is_file():
                files[path] = name
        if results:
            log.info("left out %d results of segpipe, by their manifests", results)
        if errors:
            why = (
                f"{item}: expected folders that can be read, found {len(errors)} that "
                f"cannot ({errors[0].strerror}); `find {item} -type d ! -readable` "
                "lists them: allow reading them"
            )
            faults.append(_unreadable(Path("unreadable_folders"), why, faults))
    return files, faults


def is_text(name: str) -> bool:
    """Whether a name is UTF-8, as the documents need it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_inside(folder: Path, output: Path) -> bool:
    """Whether a folder is the output or inside it, whatever links lead there."""
    if not output.exists():
        return False
    real = folder.resolve()
    return any(one.samefile(output) for one in (real, *real.parents))


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, RecursionError):
        found, mend = "one nested too deeply", "export it again"
    else:
        found, mend = str(getattr(error, "strerror", error)), "allow reading it"
    return f"{path}: expected a file that can be read, found {found}; {mend}"


def _by_case(images: dict[Path, str], channels: int, may_lack: bool) -> list[Study]:
    """Group files by case, the channels of a case together.

    Numbers that begin with _0000 count channels, also where the segmenter has one:
    another contrast is no other patient.
    """
    stems = {path: name[: -len(suffix_of(path))] for path, name in images.items()}
    first = {stem[:-5] for stem in stems.values() if stem.endswith("_0000")}
    cases: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for path, stem in stems.items():
        numbered = re.fullmatch(r"(.+)_(\d{4})", stem)
        if numbered and (channels > 1 or numbered[1] in first):
            cases[numbered[1]].append((numbered[2], path))
        else:
            cases[stem].append(("", path))
    studies = []
    for name, found in cases.items():
        numbers = [number for number, _ in sorted(found)]
        paths = tuple(path for _, path in sorted(found))
        expected = [f"{number:04d}" for number in range(len(numbers))]
        if channels == 1 and len({*numbers} - {""}) > 1:
            fault = (
                f"{paths[0]}: expected 1 channel, found "
                f"{', '.join(f'_{number}' for number in numbers if number)}; give the "
                "file of the channel alone, or, if each file is a case of its own, "
                "rename them so that no name ends in _ and four digits"
            )
            studies.append(Study(name, paths, fault=fault))
        elif len(set(numbers)) < len(numbers):
            studies += [Study(f"{name}_{_word(path)}", (path,)) for path in paths]
        elif may_lack and "" not in numbers and int(numbers[-1]) < channels:
            studies.append(Study(name, paths, numbers=tuple(map(int, numbers))))
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


def _by_series(files: list[Path], faults: list[Study]) -> list[Study]:
    """Group DICOM files by series; one that cannot be read is added to the faults."""
    members: dict[str, Series] = {}
    for path in track(files, "read headers", total=len(files), unit="file"):
        try:
            found = find_series([path])
        except (DataError, OSError, RecursionError) as error:
            faults.append(_unreadable(path, _reason(path, error), faults))
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
    return studies


def _unreadable(path: Path, fault: str, others: list[Study]) -> Study:
    """A study that names its fault; a digest tells apart files of the same name.

    Equal files, and files that cannot be read, are told apart by a number.
    """
    taken = {other.name for other in others}
    name = path.name
    if name in taken:
        try:
            name = f"{name}_{digest_file(path)[:8]}"
        except OSError:
            name = f"{name}_unreadable"
    number, stem = 1, name
    while name in taken:
        number += 1
        name = f"{stem}_{number}"
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


def _check_outputs(studies: list[Study], inputs: Iterable[Path], output: Path) -> None:
    """Refuse outputs that would replace an input.

    Files are the same if the system says so, which resolves links, hard links and
    ``..``; names of outputs are compared without upper and lower case.
    """
    scans = {_identity(path) for path in inputs}
    cases: dict[Path, dict[str, Study]] = defaultdict(dict)
    for study in studies:
        if study.fault is None:
            stem = output / study.name
            cases[stem.parent][stem.name.casefold()] = study
    for folder, by_stem in cases.items():
        if not folder.is_dir():
            continue
        for path in folder.iterdir():
            name = path.name
            for place in (n for n, letter in enumerate(name) if letter in "._"):
                owner = by_stem.get(name[:place].casefold())
                if owner and owner.may_write(name[place:]) and _identity(path) in scans:
                    why = (
                        f"{path}: expected an output that is no input, found an input, "
                        f"which the results of {owner.name} would replace; name "
                        "another folder with --output"
                    )
                    raise DataError(owner.without_places(why))


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and number of a file, through links; None for a link to nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
