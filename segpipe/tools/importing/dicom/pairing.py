"""Pair DICOM-SEG and RTSTRUCT objects with the image series they were drawn on."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segpipe.images.dicom.file import is_dicom
from segpipe.images.dicom.references import read_references
from segpipe.images.dicom.series import (
    NO_IMAGES,
    Series,
    find_series,
    read_instance_uids,
)
from segpipe.project.errors import DataError

log = logging.getLogger(__name__)
LABEL_MODALITIES = ("SEG", "RTSTRUCT")


@dataclass(frozen=True)
class LabelledSeries:
    """An image series with its labels.

    Attributes:
        images: The image series.
        labels: The files of its segmentations and structure sets.
    """

    images: Series
    labels: tuple[Path, ...]


def dicom_files(folder: Path) -> Iterator[Path]:
    """Yield all DICOM files of a folder and its subfolders, without hidden files."""
    for path in sorted(folder.rglob("*")):
        if not path.name.startswith(".") and is_dicom(path):
            yield path


def find_labelled(source: Path) -> list[LabelledSeries]:
    """Pair each segmentation and structure set with the image series that it names.

    Series without a label, doses, plans, reports and files of other formats are left
    out. The log gives their number, but no names, which may be those of patients.

    Args:
        source: A folder of DICOM files, in any nesting.

    Returns:
        The labelled series in the order of SeriesInstanceUID.

    Raises:
        DataError: If a file is damaged; if there is no segmentation or structure set;
            if the image series of one is missing or ambiguous (lists all of these).
    """
    found = find_series(dicom_files(source))
    images = {s.uid: s for s in found if s.modality not in NO_IMAGES}
    labels = [path for s in found if s.modality in LABEL_MODALITIES for path in s.files]
    if not labels:
        raise DataError(
            f"{source}: expected DICOM-SEG or RTSTRUCT objects as labels, found none "
            f"beside {len(images)} image series; add them, or name the folders of "
            "other files by --images and --labels"
        )
    drawn = _pair(labels, images)
    _log_left_out(source, found, len(images) - len(drawn))
    return [
        LabelledSeries(images[uid], tuple(sorted(drawn[uid]))) for uid in sorted(drawn)
    ]


def _pair(labels: list[Path], images: dict[str, Series]) -> dict[str, list[Path]]:
    """The labels of each series, by its UID."""
    references = {path: read_references(path) for path in labels}
    named = {path: found.series & set(images) for path, found in references.items()}
    if any(len(uids) != 1 for uids in named.values()):  # single images tell more
        holders = {
            instance: uid
            for uid, series in images.items()
            for instance in read_instance_uids(series)
        }
        for path, uids in named.items():
            if len(uids) != 1:
                instances = references[path].instances & set(holders)
                named[path] = frozenset(holders[uid] for uid in instances) or uids
    faults = [_fault(path, uids) for path, uids in named.items() if len(uids) != 1]
    if faults:
        raise DataError("\n".join(faults))
    drawn: dict[str, list[Path]] = defaultdict(list)
    for path, (uid,) in named.items():
        drawn[uid].append(path)
    return dict(drawn)


def _fault(path: Path, uids: frozenset[str]) -> str:
    if uids:
        return (
            f"{path}: expected labels of one image series, found references to "
            f"{len(uids)} that are here; export a segmentation for each series"
        )
    return (
        f"{path}: expected its image series beside it, found none that it refers to; "
        "add the series that it was drawn on, or leave the file out"
    )


def _log_left_out(source: Path, found: list[Series], unlabelled: int) -> None:
    read = sum(len(series.files) for series in found)
    visible = (p for p in source.rglob("*") if p.is_file() and p.name[0] != ".")
    counts = {
        "image series without a label": unlabelled,
        "series of other objects (doses, plans, reports)": sum(
            s.modality in NO_IMAGES and s.modality not in LABEL_MODALITIES
            for s in found
        ),
        "files that are no DICOM image or label": sum(1 for _ in visible) - read,
    }
    for what, count in counts.items():
        if count:
            log.info("left out %d %s", count, what)
