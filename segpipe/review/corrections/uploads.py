"""Uploads: masks that people send as files, read without writing them to a disk.

Whatever a header promises is compared with the image first: no more than that many
voxels is ever unpacked.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Integer

from segpipe.images.dicom.file import read_header
from segpipe.images.dicom.seg.reading import read_seg
from segpipe.images.formats import itk, nifti, slicer
from segpipe.images.grid import SAME_GRID, Grid
from segpipe.images.values import Legend
from segpipe.images.volume import LabelMap
from segpipe.project.errors import DataError
from segpipe.tools.importing.reading.painting import Painting

MOST_BYTES = 64 << 20  # of a file; a body of 600 slices has 20 MB as DICOM-SEG
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".dcm")
FORBIDDEN = frozenset("/\\\0:")  # in a name: it is one, and no path
Masks = Iterator[tuple[str, LabelMap]]


def read_upload(
    content: bytes, name: str, *, grid: Grid, shown: Grid, legend: Legend
) -> Integer[np.ndarray, "i j k"]:
    """Read a mask that somebody sent.

    Args:
        content: The file's bytes.
        name: Its name, of which only the ending counts.
        grid: The grid of the image, on which the mask is returned.
        shown: The grid of the image as readers see it; a mask may lie on this, too.
        legend: The structures, and the values that a voxel may have.

    Returns:
        The label map on the grid of the image, in the data set's values.

    Raises:
        DataError: If it is another format, larger than stated, damaged, on another
            grid, has other values or structures, or two structures at one voxel that do
            not overlap.
    """
    ending = _check_name(name)
    if len(content) > MOST_BYTES:
        raise DataError(
            f"{name}: expected a file of at most {MOST_BYTES} bytes, found "
            f"{len(content)}; send the mask alone, compressed"
        )
    with _in_memory(content, ending) as path:
        try:
            _check_promise(path, ending, grid, len(legend.structures) - 1)
            label = _read(path, ending, grid, legend)
            named = bool(slicer.find_segments(path))
            return _placed(label, grid=grid, shown=shown, may_be_cut=named)
        except DataError as error:
            # Nobody outside needs to know where this server keeps what.
            raise DataError(str(error).replace(str(path), name)) from None


def _check_name(name: str) -> str:
    """The ending of a name, if it is one of a format that is read."""
    strange = FORBIDDEN & {*name} or not name.isprintable() or len(name) > 255
    if strange or name.startswith("."):
        raise DataError(
            "the file: expected a plain name, found a path or signs that no name has; "
            "rename the file"
        )
    ending = next((one for one in ENDINGS if name.lower().endswith(one)), None)
    if ending is None:
        raise DataError(
            f"{name}: expected a name that ends in {', '.join(ENDINGS)}, found another "
            "one; export the mask as NIfTI, NRRD or DICOM-SEG"
        )
    return ending


@contextmanager
def _in_memory(content: bytes, ending: str) -> Iterator[Path]:
    """A path by which readers find bytes that lie in memory.

    Linux gives memory a name below /proc; a link with the right ending leads there. A
    system without that gets a file, which is deleted at once after reading.
    """
    with tempfile.TemporaryDirectory(prefix="segpipe-") as folder:
        path = Path(folder) / f"file{ending}"
        if not hasattr(os, "memfd_create"):
            path.write_bytes(content)
            yield path
            return
        with os.fdopen(os.memfd_create("upload"), "wb") as file:
            file.write(content)
            file.flush()
            path.symlink_to(f"/proc/self/fd/{file.fileno()}")
            yield path


def _check_promise(path: Path, ending: str, grid: Grid, structures: int) -> None:
    """Compare what a header promises with the image, before anything is unpacked."""
    if ending == ".nrrd":
        if not path.read_bytes()[:4] == b"NRRD":
            raise DataError(
                f"{path}: expected an NRRD file, found another format; is its name "
                "right?"
            )
        if itk.is_detached(path):
            raise DataError(
                f"{path}: expected the voxels in the file itself, found a header that "
                "names other files; write the mask as one .nrrd file"
            )
        promised = itk.promised_voxels(path)
    elif ending == ".dcm":
        header = read_header(path, ["NumberOfFrames", "Rows", "Columns"])
        sizes = (header.get("NumberOfFrames") or 1, header.get("Rows"))
        promised = 1
        for size in (*sizes, header.get("Columns")):
            promised *= max(0, int(size or 0))
    else:
        promised = nifti.promised_voxels(path)
    largest = int(np.prod(grid.shape)) * max(1, structures)
    if not 0 < promised <= largest:
        size = " x ".join(map(str, grid.shape))
        raise DataError(
            f"{path}: expected the grid of the image, {size} voxels, found a header "
            f"that promises {promised}; send a mask that was drawn on this image"
        )


def _read(path: Path, ending: str, grid: Grid, legend: Legend) -> LabelMap:
    if ending == ".dcm":
        return _compose(path, _segments(path, grid, legend), legend)
    if ending == ".nrrd" and slicer.find_segments(path):
        return _compose(path, _layers(path), legend)
    label = nifti.read_label(path) if ending != ".nrrd" else itk.read_label(path)
    strange = sorted({*np.unique(label.array).tolist()} - {*legend.values})
    if strange:
        raise DataError(
            f"{path}: expected the values {', '.join(map(str, legend.values))}, found "
            f"{', '.join(map(str, strange[:8]))}; draw with the values of the "
            "structures"
        )
    return label


def _segments(path: Path, grid: Grid, legend: Legend) -> Masks:
    """The segments of a DICOM-SEG; those that may overlap are read one by one."""
    names = legend.structures[1:]
    asked = [frozenset(names)]
    if legend.unions is not None:
        asked = [frozenset({name}) for name in names]
    for only in asked:
        found = read_seg(path, grid=grid, only=only)
        if strange := [name for name in found.left_out if name not in names]:
            raise _unknown(path, strange, legend)
        array = found.label.array
        for name, value in found.structures.items():
            yield name, LabelMap((array == value).astype(np.int16), grid)


def _layers(path: Path) -> Masks:
    """The segments of 3D Slicer."""
    layers = slicer.read_layers(path)
    for segment in slicer.find_segments(path):
        if segment.layer >= len(layers):
            raise DataError(
                f"{path}: expected the segment {segment.name!r} in one of "
                f"{len(layers)} layers, found Layer {segment.layer}; write the file "
                "again with 3D Slicer"
            )
        layer = layers[segment.layer]
        mask = (layer.array == segment.value).astype(np.int16)
        yield segment.name, LabelMap(mask, layer.grid)


def _compose(path: Path, masks: Masks, legend: Legend) -> LabelMap:
    """One label map of named masks; a voxel of two is refused unless one holds both."""
    read: dict[str, LabelMap] = {}
    names = legend.structures[1:]
    for name, mask in masks:
        if name not in names or name in read:
            raise _unknown(path, [f"{name} twice" if name in read else name], legend)
        read[name] = mask
    if not read:
        raise _unknown(path, ["none"], legend)
    first = next(iter(read.values()))
    whole: Int32[np.ndarray, "i j k"] = np.zeros(first.array.shape, np.int32)
    painting = Painting(whole, None, _holders(legend))
    for name, value in zip(names, _values(legend), strict=True):
        if name in read:
            painting.paint(read[name].array != 0, value)
    if painting.contested:
        called = dict(zip(_values(legend), names, strict=True))
        found = ", ".join(
            f"{count} of {called[one]} and {called[other]}"
            for (one, other), count in painting.contested.items()
        )
        raise DataError(
            f"{path}: expected each voxel in one structure, found voxels in two: "
            f"{found}; draw them apart"
        )
    return LabelMap(whole, first.grid)


def _values(legend: Legend) -> tuple[int, ...]:
    """The value as which each structure is drawn, without background."""
    return legend.values[1:] if legend.unions is None else legend.unions.order


def _holders(legend: Legend) -> dict[int, frozenset[str]]:
    """The structures that hold each value; empty if none overlap."""
    if legend.unions is None:
        return {}
    pairs = list(zip(legend.structures[1:], legend.members[1:], strict=True))
    return {
        value: frozenset(name for name, own in pairs if value in own)
        for value in legend.values[1:]
    }


def _unknown(path: Path, found: list[str], legend: Legend) -> DataError:
    return DataError(
        f"{path}: expected segments named {', '.join(legend.structures[1:])}, found "
        f"{', '.join(found[:8])}; name them as the structures"
    )


def _placed(
    label: LabelMap, *, grid: Grid, shown: Grid, may_be_cut: bool
) -> Integer[np.ndarray, "i j k"]:
    """The mask on the grid of the image, from any order of the same axes.

    A mask that 3D Slicer cut to the box of its segments is put back into its place;
    no other one may be a part.

    Raises:
        DataError: If it lies on another grid.
    """
    if grid.shape[2] == 1:
        known = (grid, shown)
        if any(label.grid.matches(one, tolerance=SAME_GRID) for one in known):
            return label.array
        raise _elsewhere(label.grid.distance(shown), label, grid)
    own, turn = label.grid.to_canonical, grid.to_canonical
    goal = grid.reoriented(turn)
    start = label.grid.reoriented(own).start_in(goal, tolerance=SAME_GRID)
    if start is None or not (may_be_cut or label.array.size == np.prod(grid.shape)):
        raise _elsewhere(label.grid.reoriented(own).distance(goal), label, grid)
    whole = np.zeros(goal.shape, label.array.dtype)
    part = own.apply(label.array)
    box = zip(start, part.shape, strict=True)
    whole[tuple(slice(low, low + size) for low, size in box)] = part
    return np.ascontiguousarray(turn.undo(whole))


def _elsewhere(away: float, label: LabelMap, grid: Grid) -> DataError:
    size, own = (" x ".join(map(str, one.shape)) for one in (grid, label.grid))
    found = f"{away:.3g} mm beside it" if away < np.inf else f"{own} voxels"
    return DataError(
        f"the mask: expected the grid of the image, {size} voxels, found another: "
        f"{found}; export it with the image as reference volume"
    )
