"""Masks that come as files: three formats in their place, and attacks, refused."""

import gzip
import io
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread

from segpipe.images.formats import itk
from segpipe.images.grid import Grid
from segpipe.images.values import Legend, Unions
from segpipe.project.errors import DataError
from segpipe.review.corrections.uploads import MOST_BYTES, read_upload
from segpipe.review.items.volumes import canonical
from tests.support.dicoms import load, write_series
from tests.support.labelled_dicoms import add_seg, drawn

LEGEND = Legend(("background", "liver", "spleen"), (0, 1, 2), None)
NESTED = Legend(
    ("background", "whole", "core"),
    (0, 1, 2),
    Unions(values=((1, 2), (2,)), order=(1, 2)),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A CT of few voxels, oblique axes as DICOM has them: i left, j back, k up."""
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder)
    return load(folder)


@pytest.fixture(scope="module")
def grid(source: Any) -> Grid:
    found = source.image.grid
    assert isinstance(found, Grid)
    return found


MASK = drawn()


def read(content: bytes, name: str, grid: Grid, legend: Legend = LEGEND) -> np.ndarray:
    return read_upload(content, name, grid=grid, shown=canonical(grid), legend=legend)


def as_nifti(array: np.ndarray, affine: np.ndarray, *, packed: bool = True) -> bytes:
    content = nib.Nifti1Image(array, affine).to_bytes()
    return gzip.compress(content) if packed else content


def as_nrrd(folder: Path, array: np.ndarray, grid: Grid) -> bytes:
    itk.write_label(folder / "m.nrrd", array, grid)
    return (folder / "m.nrrd").read_bytes()


def as_slicer(folder: Path, masks: list[tuple[str, np.ndarray]], grid: Grid) -> bytes:
    """As 3D Slicer writes it: a layer each, cut to the box of all segments."""
    drawn_ = np.argwhere(sum(mask for _, mask in masks) > 0)
    low, high = drawn_.min(0), drawn_.max(0) + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    change = np.eye(4)
    change[:3, 3] = low
    size = tuple(int(n) for n in high - low)
    assert len(size) == 3
    part = Grid(size, grid.affine @ change, "mm")
    layers = np.stack([mask[box] for _, mask in masks], axis=-1).astype(np.uint8)
    image = SimpleITK.GetImageFromArray(
        np.ascontiguousarray(layers.transpose(2, 1, 0, 3)), isVector=True
    )
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ part.affine
    image.SetSpacing(part.spacing)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / np.array(part.spacing)).ravel().tolist())
    for number, (name, _) in enumerate(masks):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", "1")
        image.SetMetaData(f"Segment{number}_Layer", str(number))
    SimpleITK.WriteImage(image, str(folder / "s.seg.nrrd"), useCompression=True)
    return (folder / "s.seg.nrrd").read_bytes()


def as_seg(folder: Path, source: Any, array: np.ndarray = MASK) -> bytes:
    return add_seg(folder / "s.dcm", source, array).read_bytes()


GOOD: dict[str, Callable[[Path, Any, Grid], tuple[bytes, str]]] = {
    "NIfTI": lambda f, s, g: (as_nifti(MASK, g.affine), "a.nii.gz"),
    "NIfTI, not packed": lambda f, s, g: (
        as_nifti(MASK, g.affine, packed=False),
        "a.NII",
    ),
    "NIfTI of the page's grid, in R, A, S": lambda f, s, g: (
        as_nifti(
            np.ascontiguousarray(g.to_canonical.apply(MASK)),
            g.reoriented(g.to_canonical).affine,
        ),
        "a.nii.gz",
    ),
    "floats": lambda f, s, g: (
        as_nifti(MASK.astype(np.float32), g.affine),
        "a.nii.gz",
    ),
    "NRRD": lambda f, s, g: (as_nrrd(f, MASK, g), "a.nrrd"),
    "3D Slicer": lambda f, s, g: (
        as_slicer(f, [("spleen", MASK == 2), ("liver", MASK == 1)], g),
        "a.seg.nrrd",
    ),
    "DICOM-SEG": lambda f, s, g: (as_seg(f, s), "a.dcm"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_mask_comes_to_its_place(
    kind: str, tmp_path: Path, source: Any, grid: Grid
) -> None:
    content, name = GOOD[kind](tmp_path, source, grid)

    assert (read(content, name, grid) == MASK).all()


def test_a_structure_inside_another_may_share_its_voxels(
    tmp_path: Path, grid: Grid
) -> None:
    whole = MASK > 0
    core = MASK == 2
    content = as_slicer(tmp_path, [("core", core), ("whole", whole)], grid)

    found = read(content, "a.seg.nrrd", grid, NESTED)
    assert (found == np.where(core, 2, whole.astype(int))).all()


def nrrd_with(content: bytes, old: bytes, new: bytes) -> bytes:
    head, between, rest = content.partition(b"\n\n")
    assert old in head
    return head.replace(old, new) + between + rest


def sized(content: bytes, sizes: bytes) -> bytes:
    line = next(row for row in content.split(b"\n") if row.startswith(b"sizes:"))
    return nrrd_with(content, line, b"sizes: " + sizes)


def huge_nifti(shape: tuple[int, int, int]) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.dtype(np.uint8))
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    return gzip.compress(bytes(header.binaryblock) + bytes(1000))


def bomb(grid: Grid) -> bytes:
    """A right header, and 1 GB of zeros behind the last voxel."""
    start = nib.Nifti1Image(MASK, grid.affine).to_bytes()
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(64):
            file.write(bytes(1 << 24))
    return packed.getvalue()


def many_frames(content: bytes) -> bytes:
    dataset = dcmread(io.BytesIO(content))
    dataset.NumberOfFrames = 10**9
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


class Evil:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("unpickled",))


PICKLE = pickle.dumps(Evil())
OVERLAP = np.array(MASK == 1)
OVERLAP[2, 2, 3] = True  # of the spleen, too

ATTACKS: dict[str, tuple[Callable[[Path, Any, Grid], tuple[bytes, str]], str]] = {
    "another shape": (
        lambda f, s, g: (as_nifti(MASK[1:], g.affine), "a.nii.gz"),
        "the grid of the image",
    ),
    "moved by half a voxel": (
        lambda f, s, g: (
            as_nifti(MASK, g.affine + np.eye(4)[:, [3, 1, 2, 0]] * 0.5),
            "a.nii.gz",
        ),
        "the grid of the image",
    ),
    "mirrored": (
        lambda f, s, g: (as_nifti(MASK, g.affine @ np.diag([-1, 1, 1, 1])), "a.nii.gz"),
        "the grid of the image",
    ),
    "NRRD of another spacing": (
        lambda f, s, g: (
            as_nrrd(f, MASK, Grid(g.shape, g.affine @ np.diag([2, 1, 1, 1]), "mm")),
            "a.nrrd",
        ),
        "the grid of the image",
    ),
    "another value": (
        lambda f, s, g: (as_nifti(MASK * 3, g.affine), "a.nii.gz"),
        "expected the values 0, 1, 2, found 3, 6",
    ),
    "a negative value": (
        lambda f, s, g: (as_nifti(MASK * -1, g.affine), "a.nii.gz"),
        "expected the values 0, 1, 2, found -2, -1",
    ),
    "no whole values": (
        lambda f, s, g: (as_nifti(MASK * np.float32(0.5), g.affine), "a.nii.gz"),
        "whole labels",
    ),
    "another structure": (
        lambda f, s, g: (
            as_slicer(f, [("kidney", MASK == 2), ("liver", MASK == 1)], g),
            "a.seg.nrrd",
        ),
        "found kidney",
    ),
    "another structure in DICOM": (
        lambda f, s, g: (
            add_seg(f / "s.dcm", s, MASK, {1: "liver", 2: "kidney"}).read_bytes(),
            "a.dcm",
        ),
        "found kidney",
    ),
    "two structures at one voxel": (
        lambda f, s, g: (
            as_slicer(f, [("liver", OVERLAP), ("spleen", MASK == 2)], g),
            "a.seg.nrrd",
        ),
        "1 of liver and spleen",
    ),
    "a header of 10^12 voxels in NIfTI": (
        lambda f, s, g: (huge_nifti((10_000, 10_000, 10_000)), "a.nii.gz"),
        "promises 1000000000000",
    ),
    "a header of 10^12 voxels in NRRD": (
        lambda f, s, g: (
            sized(as_nrrd(f, MASK, g), b"10000 10000 10000"),
            "a.nrrd",
        ),
        "promises 1000000000000",
    ),
    "a header of 10^60 voxels in NRRD": (
        lambda f, s, g: (sized(as_nrrd(f, MASK, g), b"1" + b"0" * 60), "a.nrrd"),
        "promises 1",
    ),
    "a negative size in NRRD": (
        lambda f, s, g: (sized(as_nrrd(f, MASK, g), b"-5 -4 6"), "a.nrrd"),
        "the sizes of all axes",
    ),
    "a gzip bomb": (lambda f, s, g: (bomb(g), "a.nii.gz"), "a.nii.gz"),
    "10^9 frames in DICOM": (
        lambda f, s, g: (many_frames(as_seg(f, s)), "a.dcm"),
        "promises",
    ),
    "voxels in another file": (
        lambda f, s, g: (
            nrrd_with(
                as_nrrd(f, MASK, g), b"encoding:", b"data file: /etc/passwd\nencoding:"
            ),
            "a.nrrd",
        ),
        "names other files",
    ),
    "voxels in a list of files": (
        lambda f, s, g: (
            nrrd_with(as_nrrd(f, MASK, g), b"encoding:", b"Datafile: LIST\nencoding:"),
            "a.nrrd",
        ),
        "names other files",
    ),
    "too many bytes": (
        lambda f, s, g: (bytes(MOST_BYTES + 1), "a.nii.gz"),
        "at most 67108864 bytes",
    ),
    "a pickle": (lambda f, s, g: (PICKLE, "a.pkl"), "a name that ends in"),
    "a pickle as npy": (lambda f, s, g: (PICKLE, "a.npy"), "a name that ends in"),
    "a pickle as NIfTI": (lambda f, s, g: (PICKLE, "a.nii.gz"), "no gzip data"),
    "a packed pickle": (
        lambda f, s, g: (gzip.compress(PICKLE), "a.nii.gz"),
        "header of 348 bytes",
    ),
    "a pickle as NRRD": (lambda f, s, g: (PICKLE, "a.nrrd"), "an NRRD file"),
    "a pickle as DICOM": (lambda f, s, g: (PICKLE, "a.dcm"), "a DICOM file"),
    "no bytes": (lambda f, s, g: (b"", "a.nii.gz"), "0 bytes"),
    "cut off": (
        lambda f, s, g: (as_nifti(MASK, g.affine)[:-20], "a.nii.gz"),
        "whole gzip file",
    ),
    "a CT as a mask": (
        lambda f, s, g: (
            next(p for p in Path(s.slices[0].filename).parent.iterdir()).read_bytes(),
            "a.dcm",
        ),
        "a DICOM segmentation",
    ),
    **{
        f"the name {name!r}": (
            lambda f, s, g, name=name: (as_nifti(MASK, g.affine), name),
            "a plain name",
        )
        for name in (
            "../../etc/a.nii.gz",
            "..\\a.nii.gz",
            "/a.nii.gz",
            "a\0.nii.gz",
            ".a.nii.gz",
            "a\n.nii.gz",
            "x" * 300 + ".nii.gz",
        )
    },
}

WRITTEN: list[object] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and WATCHED:
        path, mode, _ = arguments
        writing = mode is not None and set(str(mode)) & set("wax+")
        if writing and not isinstance(path, int):
            WRITTEN.append(path)


WATCHED: list[bool] = []
sys.addaudithook(_note)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_in_words_and_no_file_is_written(
    attack: str, tmp_path: Path, source: Any, grid: Grid
) -> None:
    make, words = ATTACKS[attack]
    content, name = make(tmp_path, source, grid)
    before = {*Path(tempfile.gettempdir()).glob("segpipe-*")}
    WRITTEN.clear()
    WATCHED.append(True)
    try:
        with pytest.raises(DataError, match=words) as refusal:
            read(content, name, grid)
    finally:
        WATCHED.clear()

    assert not WRITTEN
    assert {*Path(tempfile.gettempdir()).glob("segpipe-*")} <= before
    assert "segpipe-" not in str(refusal.value)
    assert "/proc" not in str(refusal.value)
