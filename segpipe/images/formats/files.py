"""Read and write any known format, chosen by the ending of the file's name."""

from pathlib import Path

import numpy as np
from jaxtyping import Integer

from segpipe.images.formats import itk, nifti, raster
from segpipe.images.grid import Grid
from segpipe.images.volume import Image, ImageStream, LabelMap
from segpipe.project.errors import DataError

IMAGE_SUFFIXES = (*nifti.SUFFIXES, *raster.SUFFIXES, *itk.SUFFIXES)
# Formats of images that cannot be read, and how to convert them.
FOREIGN_FORMATS = {
    ".dcm": "import DICOM with its SEG or RTSTRUCT by `segpipe import FOLDER data`, "
    "or convert a series with `dcm2niix -z y FOLDER`",
    ".mgz": "convert it with FreeSurfer's `mri_convert IN.mgz OUT.nii.gz`",
    ".mgh": "convert it with FreeSurfer's `mri_convert IN.mgh OUT.nii.gz`",
    ".hdr": "an Analyze or NIfTI pair: join .hdr and .img into one .nii.gz",
    ".img": "an Analyze or NIfTI pair: join .hdr and .img into one .nii.gz",
    ".mnc": "convert it with `mnc2nii`",
    ".h5": "import it with `segpipe import`, --image-key and --label-key",
    ".hdf5": "import it with `segpipe import`, --image-key and --label-key",
    ".npy": "it has no geometry: write it as .nii.gz with its affine",
    ".npz": "it has no geometry: write it as .nii.gz with its affine",
    ".bmp": "convert it to .png",
    ".gif": "convert it to .png",
    ".czi": "export it as TIFF (Fiji, Bio-Formats)",
    ".lif": "export it as TIFF (Fiji, Bio-Formats)",
    ".nd2": "export it as TIFF (Fiji, Bio-Formats)",
    ".svs": "cut it into tiles and save them as TIFF (OpenSlide)",
}


def suffix_of(path: Path) -> str:
    """The ending that decides the format, such as ``.nii.gz``.

    Raises:
        DataError: If the format is not known; says how to convert a common one.
    """
    for ending in IMAGE_SUFFIXES:
        if path.name.lower().endswith(ending):
            return path.name[-len(ending) :]
    ending = path.suffix.lower()
    raise DataError(
        f"{path}: expected a name that ends in {', '.join(IMAGE_SUFFIXES)}, found "
        f"{path.suffix or 'no ending'}; "
        f"{FOREIGN_FORMATS.get(ending, 'convert the file to one of these')}"
    )


def files_of(path: Path) -> tuple[Path, ...]:
    """All files of an image: the header that was named first, then those of voxels."""
    return itk.files_of(path) if path.name.lower().endswith(itk.SUFFIXES) else (path,)


def read_image(path: Path, *, spacing_mm: tuple[float, float] | None = None) -> Image:
    """Read an image of any known format, whole and checked.

    Args:
        path: The file.
        spacing_mm: Distance of columns and of rows, for formats that store none.

    Raises:
        DataError: As for the reader of the format.
    """
    if suffix_of(path).lower() in nifti.SUFFIXES:
        return nifti.read_image(path)
    if suffix_of(path).lower() in itk.SUFFIXES:
        return itk.read_image(path)
    return raster.read_image(path, spacing_mm=spacing_mm)


def open_image(path: Path) -> ImageStream:
    """Open an image of any known format, read slice by slice if the format allows it.

    Raises:
        DataError: As for the reader of the format.
    """
    if suffix_of(path).lower() in nifti.SUFFIXES:
        return nifti.open_image(path)
    return ImageStream.of(read_image(path))


def read_label(
    path: Path, *, spacing_mm: tuple[float, float] | None = None
) -> LabelMap:
    """Read a label map of any known format, whole and checked.

    Raises:
        DataError: As for the reader of the format.
    """
    if suffix_of(path).lower() in nifti.SUFFIXES:
        return nifti.read_label(path)
    if suffix_of(path).lower() in itk.SUFFIXES:
        return itk.read_label(path)
    return raster.read_label(path, spacing_mm=spacing_mm)


def write_label(path: Path, array: Integer[np.ndarray, "i j k"], grid: Grid) -> None:
    """Write a label map in the format of the path's name, atomically."""
    if suffix_of(path).lower() in nifti.SUFFIXES:
        nifti.write_label(path, array, grid)
    elif suffix_of(path).lower() in itk.SUFFIXES:
        itk.write_label(path, array, grid)
    else:
        raster.write_label(path, array)
