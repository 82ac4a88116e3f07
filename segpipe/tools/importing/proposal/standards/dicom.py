"""DICOM series in folders with masks of another format: which belong together."""

from dataclasses import replace
from pathlib import Path

from segpipe.images.dicom.series import find_series
from segpipe.tools.importing.dicom.pairing import LABEL_MODALITIES, dicom_files
from segpipe.tools.importing.proposal.families import ending_of, find_families
from segpipe.tools.importing.proposal.roles import VOLUMES, Layout, find_layouts
from segpipe.tools.importing.reading.series import list_folders

# A file that stands for a folder of DICOM while families are looked for.
STAND_IN = "images.nii"


def find_series_layouts(source: Path, paths: list[str]) -> list[Layout]:
    """Find the layouts of series in folders and of volumes beside them.

    Args:
        source: The folder.
        paths: Paths of the files in it that are no DICOM.

    Returns:
        The layouts; empty if there is no DICOM, nothing that belongs to it, or SEG or
        RTSTRUCT in it.
    """
    drawn = [path for path in paths if ending_of(path).lower() in VOLUMES]
    folders = list(list_folders(source)) if drawn else []
    if not folders:
        return []
    inner = [f for f in folders if not any(g != f and g.startswith(f) for g in folders)]
    # The outermost folders that hold one series only: names of patients stand there.
    outer = [f for f in folders if sum(g.startswith(f) for g in inner) == 1]
    outer = [f for f in outer if not any(f != g and f.startswith(g) for g in outer)]
    for found in (outer, inner):
        marked = [f"{folder}{STAND_IN}" for folder in found]
        for way in find_families([*marked, *drawn]):
            layouts = find_layouts(way, lambda family: True) or []
            sound = [one for one in layouts if one.images.endswith(f"/{STAND_IN}")]
            if sound and not _has_labels(source):
                return [_unmarked(one) for one in sound]
    return []


def _has_labels(source: Path) -> bool:
    """Whether DICOM itself holds labels, so that nothing else is needed."""
    found = find_series(dicom_files(source))
    return any(one.modality in LABEL_MODALITIES for one in found)


def _unmarked(layout: Layout) -> Layout:
    """The layout with folders in the place of their stand-ins."""
    families = tuple(
        replace(
            family,
            pattern=family.pattern.removesuffix(STAND_IN),
            files={
                case: path.removesuffix(STAND_IN) for case, path in family.files.items()
            },
        )
        for family in layout.pictured
    )
    images = layout.images.removesuffix(STAND_IN)
    return replace(layout, images=images, pictured=families)
